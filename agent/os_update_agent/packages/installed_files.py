"""Compares the files on the disk with what the installed packages list."""

import os
import stat
from pathlib import Path
from typing import Collection, Dict, Iterable, Iterator, Optional, Tuple

from os_update_agent.packages.file_faults import FileFault, Kind, Listed

_BLOCK = 1 << 18
_MOST_LINKS = 40
# A service that ends takes its directory along.
_VOLATILE = ("/run/", "/var/run/", "/tmp/", "/var/tmp/", "/dev/", "/proc/", "/sys/")
# File systems whose files the kernel makes up: one may be endless, or wait for ever.
_PSEUDO = (
    "proc",
    "sysfs",
    "cgroup",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "bpf",
    "devpts",
    "mqueue",
    "efivarfs",
)
_NETWORK = ("nfs", "cifs", "smb", "ceph", "fuse", "afs", "9p", "glusterfs", "autofs")
# A link to a directory will do for a directory: packages of a system with a merged /usr still list /bin.
_FORMATS = {"file": (stat.S_IFREG,), "link": (stat.S_IFLNK,), "directory": (stat.S_IFDIR, stat.S_IFLNK)}


def faults_of(listed: Iterable[Listed], root: Path) -> Iterator[FileFault]:
    """Yield a fault for each path that is not on the disk below ``root`` as it is listed."""
    found = _Finder(root)
    passed_over = (*_VOLATILE, *(network_mounts() if root == Path("/") else ()))
    for one in listed:
        if one.place.startswith(passed_over):
            continue
        kind = _kind_of_fault(one, found(one.place))
        if kind is not None:
            yield FileFault(one.path, one.name, one.arch, one.version, kind)


def _kind_of_fault(one: Listed, path: str) -> Optional[Kind]:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "missing"
    if one.type != "any" and stat.S_IFMT(mode) not in _FORMATS[one.type]:
        return "of another type"
    if one.content and _content(path, mode, one.algorithm) != one.content:
        return "with other content"
    return None


def _content(path: str, mode: int, algorithm: str) -> str:
    """Return the target of a link, the hash of a file; "" if it cannot be read."""
    import hashlib  # late: it loads OpenSSL

    try:
        if stat.S_ISLNK(mode):
            return os.readlink(path)
        digest = hashlib.new(algorithm, usedforsecurity=False)
        # Without Python's buffers: most files are small. The owner of the directory may just have put a pipe there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while block := os.read(descriptor, _BLOCK):
                digest.update(block)
        finally:
            os.close(descriptor)
        return digest.hexdigest()
    except OSError:
        return ""


def network_mounts() -> Tuple[str, ...]:
    """Return the mount points of network file systems, each with a slash at its end. A server that is down would let
    the first look wait for ever.
    """
    return _mounts_of(_NETWORK)


def pseudo_mounts() -> Tuple[str, ...]:
    """Return the mount points of file systems that the kernel makes up, each with a slash at its end."""
    return _mounts_of(_PSEUDO)


def _mounts_of(wanted: Tuple[str, ...]) -> Tuple[str, ...]:
    try:
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw (proc(5))
        lines = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").split("\n")]
        kinds = {fields[4]: fields[fields.index("-") + 1] for fields in lines if "-" in fields}
    except (OSError, ValueError, LookupError):
        return ()
    return tuple(f"{place}/" for place, kind in kinds.items() if kind.startswith(wanted) and place != "/")


class _Finder:
    """Finds paths below a root. An absolute link below a private root leads to a place in that root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_private = root != Path("/")
        # The place of each directory that was looked for, by its path; that of the root itself has no name.
        self._directories: Dict[str, str] = {"": str(root)}

    def __call__(self, place: str) -> str:
        if not self._is_private:
            return place
        # os.path would take a third of the whole check for two parts of a path.
        directory, _, name = place.rpartition("/")
        return f"{self._directories.get(directory) or self._directory(directory)}/{name}"

    def _directory(self, path: str) -> str:
        """Return where a directory is. One look for each of its parents that is new."""
        below = []
        while path not in self._directories:
            path, _, name = path.rpartition("/")
            below.append(name)
        for name in reversed(below):
            here, path = f"{self._directories[path]}/{name}", f"{path}/{name}"
            self._directories[path] = self._followed(path, here) if name == ".." or os.path.islink(here) else here
        return self._directories[path]

    def _followed(self, path: str, here: str) -> str:
        try:
            return str(on_disk(self._root, path, follow=True))
        except OSError:
            return here


def on_disk(root: Path, path: str, *, follow: bool, owners: Collection[int] = ()) -> Path:
    """Return where a path of a package is below the root, whose absolute links mean the root itself. The last part is
    not followed unless asked. ``owners`` are the users whose links are followed; without them those of everybody.

    Raises OSError for links in a circle, and for one of another user.
    """
    if root == Path("/") and not follow and not owners:
        return Path(path)
    done, parts, links = Path("/"), path.strip("/").split("/"), 0
    while parts:
        part = parts.pop(0)
        here = root / (done / part).relative_to("/")
        if part == "..":
            done = done.parent
        elif here.is_symlink() and (parts or follow):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(f"too many links in {path}")
            owner = os.lstat(here).st_uid
            if owners and owner not in owners:
                raise OSError(f"{here} is a link of user {owner}, which is not followed")
            to = os.readlink(here)
            done = Path("/") if to.startswith("/") else done
            parts = [item for item in to.split("/") if item not in ("", ".")] + parts
        else:
            done = done / part
    return root / done.relative_to("/")
