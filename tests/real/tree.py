"""Reads a tree and compares two readings. Times are left out."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

BLOCK = 1 << 20
TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """One path of a tree.

    Attributes:
        type: The type in one word.
        mode: The permissions. 0 for a link, which has none.
        owner: "user:group" as numbers.
        content: The hash of a file, the target of a link, the numbers of a device; "" for others.
        attributes: The extended attributes (capabilities, ACLs).
    """

    type: str
    mode: int
    owner: str
    content: str = ""
    attributes: Tuple[Tuple[str, str], ...] = ()


Tree = Mapping[str, Entry]


class Difference(NamedTuple):
    """A path that is not the same in two trees.

    Attributes:
        path: The path, from the root of the tree.
        parts: What differs: "missing" or "new", else fields of Entry.
        before: The entry in the first tree, None if it is new.
        after: The entry in the second tree, None if it is missing.
    """

    path: str
    parts: Tuple[str, ...]
    before: Optional[Entry]
    after: Optional[Entry]


def read(root: Path) -> Dict[str, Entry]:
    """Return every path below the root on the root's own file system. Nobody may write to it meanwhile."""
    found = list(_walk(root))
    with ThreadPoolExecutor(2) as pool:
        contents = pool.map(_content, found)
        return {"/" + os.path.relpath(path, root): entry for path, entry in zip(found, contents)}


def _walk(root: Path) -> Iterator[str]:
    device = os.lstat(root).st_dev
    todo = [str(root)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                yield entry.path
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                    todo.append(entry.path)


def _content(path: str) -> Entry:
    status = os.lstat(path)
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    owner = f"{status.st_uid}:{status.st_gid}"
    attributes = tuple(
        (name, os.getxattr(path, name, follow_symlinks=False).hex())
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    if kind == "link":
        return Entry(kind, 0, owner, os.readlink(path), attributes)
    content = _hash(path) if kind == "file" else str(status.st_rdev) if kind == "device" else ""
    return Entry(kind, stat.S_IMODE(status.st_mode), owner, content, attributes)


def _hash(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def compare(before: Tree, after: Tree) -> List[Difference]:
    """Return every difference, in the order of the paths."""
    found = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        parts = _parts(old, new)
        if parts:
            found.append(Difference(path, parts, old, new))
    return found


def _parts(old: Optional[Entry], new: Optional[Entry]) -> Tuple[str, ...]:
    if old is None:
        return ("new",)
    if new is None:
        return ("missing",)
    if old.type != new.type:
        return ("type",)
    return tuple(name for name, a, b in zip(Entry._fields, old, new) if a != b)


def told(difference: Difference) -> str:
    """Return the difference in words."""
    before, after = difference.before, difference.after
    if before is None or after is None:
        entry = before or after
        assert entry is not None
        to = f" -> {entry.content}" if entry.type == "link" else ""
        return f"{difference.parts[0]} ({entry.type} {entry.mode:04o} {entry.owner}{to})"
    words = []
    for part in difference.parts:
        old, new = getattr(before, part), getattr(after, part)
        if part == "mode":
            old, new = f"{old:04o}", f"{new:04o}"
        if part == "content" and before.type == "file":
            words.append("content")
        else:
            words.append(f"{part} {old} -> {new}")
    return ", ".join(words)
