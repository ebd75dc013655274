"""The texts of configuration files in rebuilt packages.

dpkg takes the text in a package for the packaged one. If that were an edited text, a later update would replace it
without a word. So the packaged text goes into a rebuilt package, where it can be found: beside the file, or in another
kept version of the package. Otherwise the edited text goes in with an empty line more at its end, so that dpkg sees an
edit; settle_edits() takes that line away where it has come to the disk. A file that somebody has removed goes in, too,
because dpkg keeps it in its list; settle_edits() removes it again.
"""

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from os_update_agent.model.etc_files import PackagedText
from os_update_agent.node import process
from os_update_agent.node.etc_files import read_regular
from os_update_agent.packages.apt.builds import packed_content
from os_update_agent.packages.apt.pack_sources import CONTROL_LIMIT
from os_update_agent.packages.installed_files import on_disk

# Beside an edited file dpkg and ucf leave the packaged text of some version.
_BESIDE = (".dpkg-dist", ".dpkg-new", ".dpkg-old", ".ucf-dist", ".ucf-old")
# The control field that names the configuration files of which the package has another text than dpkg was told.
EDITED_FIELD = "Rebuilt-Conffiles"
_MARK = b"\n"
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o644


class Texts(NamedTuple):
    """Configuration files of a rebuilt package: those whose packaged text is not known, and those that somebody has
    removed.
    """

    unknown: Tuple[str, ...] = ()
    removed: Tuple[str, ...] = ()

    def field(self) -> str:
        """Return the lines for the control file: nothing if there are no such files."""
        return f"{EDITED_FIELD}: {json.dumps(self)}\n" if any(self) else ""

    @classmethod
    def of(cls, text: str) -> "Texts":
        """Return the files of the control field of a rebuilt package. What cannot be read counts as none."""
        try:
            unknown, removed = json.loads(text)
            return cls(tuple(map(str, unknown)), tuple(map(str, removed)))
        except (ValueError, TypeError):
            return cls()


def with_packaged_texts(
    tree: Path, root: Path, texts: Mapping[str, PackagedText], kept: Sequence[Path], packed: Set[str]
) -> Texts:
    """Put the packaged text in the place of each configuration file that somebody has edited or removed; ``packed`` are
    the paths of the package, which grow by the removed ones.
    """
    unknown: List[str] = []
    removed: List[str] = []
    for path, known in texts.items():
        target = tree / path.lstrip("/")
        if target.is_symlink() or target.is_dir():
            continue
        if target.exists() and target.stat().st_size > CONTROL_LIMIT:
            raise OSError(f"the configuration file {path} has more than {CONTROL_LIMIT} bytes")
        content = target.read_bytes() if target.exists() else None
        if content is not None and _md5(content) == known.content:
            continue
        found = found_text(path, known.content, root, kept)
        if found is None:
            unknown.append(path)
        if content is None:
            removed.append(path)
            packed.add(path)
        _write(target, found if found is not None else (content or b"") + _MARK)
    return Texts(tuple(unknown), tuple(removed))


def _write(target: Path, text: bytes) -> None:
    """Write a file of its own in the place of a hard link to the original, with its mode and owner."""
    status = target.stat() if target.exists() else None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_bytes(text)
    if status is not None and os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
    target.chmod(stat.S_IMODE(status.st_mode) if status is not None else _MODE)


def found_text(path: str, known: str, root: Path, kept: Sequence[Path]) -> Optional[bytes]:
    """Return the text with the md5 that dpkg knows, from beside the file or from a kept package file."""
    place = root / path.lstrip("/")
    for suffix in _BESIDE:
        content = read_regular(place.with_name(place.name + suffix))
        if content is not None and _md5(content) == known:
            return content
    for file in kept:
        packed = packed_content(file, path)
        if packed is not None and _md5(packed) == known:
            return packed
    return None


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def settle_edits(files: Sequence[Path], root: Path) -> Tuple[str, ...]:
    """After rebuilt packages were installed, take away the marks and the removed files that have come to the disk with
    them.

    Returns the configuration files whose packaged text is not known.
    """
    unknown: Dict[str, None] = {}
    for file in files:
        texts = Texts.of(process.run(["dpkg-deb", "--field", str(file), EDITED_FIELD], ok=None).stdout)
        for path in dict.fromkeys((*texts.unknown, *texts.removed)):
            shipped = packed_content(file, path)
            if shipped is not None:
                _settle(path, shipped, root, is_removed=path in texts.removed, is_known=path not in texts.unknown)
        unknown.update(dict.fromkeys(texts.unknown))
    return tuple(unknown)


def _settle(path: str, shipped: bytes, root: Path, *, is_removed: bool, is_known: bool) -> None:
    with contextlib.suppress(OSError):
        place = on_disk(root, path, follow=True)
        beside = on_disk(root, f"{path}.dpkg-dist", follow=False)
        if not is_known and read_regular(beside) == shipped:
            beside.unlink()
        if is_removed:
            if read_regular(place) == shipped:
                place.unlink()
        elif not is_known:
            descriptor = os.open(place, _OPEN)
            with open(descriptor, "r+b", buffering=0) as opened:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and opened.read(len(shipped) + 1) == shipped:
                    os.ftruncate(descriptor, len(shipped) - len(_MARK))
