"""Checks that rpm's own test transaction leaves out: paths of another type, and file systems that cannot be
written. Runs in the worker, Python 3.6.

On a file system that is mounted read-only rpm's test reports that space is missing.
"""

import os
import re
import stat
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import Identity, Refused
from os_update_agent.packages.dnf.worker.file_types import DIRECTORY, LINK_TO_DIRECTORY, OTHER, Listed, misfits
from os_update_agent.packages.dnf.worker.rpm_files import identity_of, label_of, read_header

_GHOST = 64
_MOUNTS = "/proc/self/mountinfo"
# Kernel file systems, which no package has files on.
_OTHERS = ("/proc", "/sys", "/dev", "/run")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def check(root: str, files: Sequence[str], goes: Sequence[Identity], places: Sequence[str]) -> None:
    """Check a transaction that installs the package ``files`` and removes ``goes``. ``places`` are directories that dnf
    and rpm write to themselves.

    Raises Refused with everything that would stop it.
    """
    coming = [listed(read_header(path)) for path in files]
    leaving = [listed(header) for header in installed(root, goes)]
    problems = _read_only(root, coming, leaving, places)
    found = misfits(coming, lambda path: type_below(root, path), leaving)
    problems += [f"{misfit.text} (move it away first)" for misfit in found if not misfit.is_open]
    if problems:
        raise Refused("; ".join(problems))


def database_of(root: str) -> str:
    """Return the directory of rpm's database."""
    return str(root.rstrip("/") + rpm.expandMacro("%{_dbpath}"))


def installed(root: str, wanted: Sequence[Identity]) -> List[Any]:
    """Return the headers of installed packages."""
    transaction = rpm.TransactionSet(root)
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES | rpm._RPMVSF_NODIGESTS)
    names = sorted({identity[0] for identity in wanted})
    found = [header for name in names for header in transaction.dbMatch("name", name)]
    transaction.closeDB()
    return [header for header in found if identity_of(header) in wanted]


def listed(header: Any) -> Listed:
    """Return the files of a package."""
    flags = header[rpm.RPMTAG_FILEFLAGS] or ()
    names = map(text_of, header[rpm.RPMTAG_FILENAMES] or ())
    modes = (mode & 0xFFFF for mode in header[rpm.RPMTAG_FILEMODES] or ())
    files = {name: mode for name, mode, flag in zip(names, modes, flags) if not flag & _GHOST}
    pretrans, pre = header[rpm.RPMTAG_PRETRANS], header[rpm.RPMTAG_PREIN]
    has_pretrans = bool(pretrans or header[rpm.RPMTAG_PRETRANSPROG])
    has_pre = bool(pre or header[rpm.RPMTAG_PREINPROG])
    return Listed(label_of(header), files, has_pretrans, f"{text_of(pretrans)} {text_of(pre)}", has_pre)


def type_below(root: str, path: str) -> Optional[str]:
    """Return the type of a path below the root, as file_types.py has it."""
    place = root.rstrip("/") + path
    try:
        mode = os.lstat(place).st_mode
    except OSError:
        return None
    if stat.S_ISLNK(mode):
        return LINK_TO_DIRECTORY if _leads_to_directory(root, path) else OTHER
    return DIRECTORY if stat.S_ISDIR(mode) else OTHER


def target_of(path: str, goal: str) -> str:
    """Return the path that a symbolic link leads to, its own root being /."""
    return os.path.normpath(os.path.join(os.path.dirname(path), goal))


def _leads_to_directory(root: str, path: str) -> bool:
    """Is the link one to a directory? An absolute link in a private root leads below that root."""
    for _ in range(8):
        place = root.rstrip("/") + path
        if not os.path.islink(place):
            return os.path.isdir(place)
        path = target_of(path, os.readlink(place))
    return False


def _read_only(root: str, coming: Sequence[Listed], leaving: Sequence[Listed], places: Sequence[str]) -> List[str]:
    """Return a sentence for each mount that is read-only and that the transaction writes to."""
    mounts = [mount for mount in _mounted_read_only() if _concerns(mount, root)]
    if not mounts:
        return []
    shared = [path for path in rpm.expandMacro("%{?_netsharedpath}").split(":") if path]
    found: Dict[str, str] = {}
    for place, writer in _writers(root, coming, leaving, places, shared):
        mount = _mount_of(place, mounts)
        if mount and mount not in found and _is_read_only(place):
            found[mount] = writer
    return [f"{mount} is mounted read-only, and {writer} writes there" for mount, writer in sorted(found.items())]


def _writers(
    root: str, coming: Sequence[Listed], leaving: Sequence[Listed], places: Sequence[str], shared: Sequence[str]
) -> Iterable[Tuple[str, str]]:
    """Yield the directories that are written to, each with the name of who writes."""
    for place in places:
        yield os.path.realpath(place), "the package manager"
    for package in (*coming, *leaving):
        for directory in sorted({path.rpartition("/")[0] for path in package.modes}):
            if not any(f"{directory}/".startswith(f"{path.rstrip('/')}/") for path in shared):
                yield os.path.realpath(root.rstrip("/") + (directory or "/")), package.label


def _mount_of(place: str, mounts: Sequence[str]) -> str:
    """Return the innermost of the mounts that has the place; "" if none has it."""
    return max((mount for mount in mounts if _is_below(place, mount)), key=len, default="")


def _is_below(place: str, mount: str) -> bool:
    return mount == "/" or place == mount or place.startswith(f"{mount}/")


def _concerns(mount: str, root: str) -> bool:
    base = os.path.realpath(root)
    return (_is_below(mount, base) or _is_below(base, mount)) and not any(_is_below(mount, one) for one in _OTHERS)


def _is_read_only(place: str) -> bool:
    """Is the directory, or the nearest one above it that is there, on a file system that cannot be written?"""
    while not os.path.isdir(place) and place != "/":
        place = os.path.dirname(place)
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)


def _mounted_read_only() -> List[str]:
    """Return the mount points that are read-only (proc(5), mountinfo)."""
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
        rows = [line.split() for line in lines]
    return [
        _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), row[4])
        for row in rows
        if "ro" in row[5].split(",") or "ro" in row[-1].split(",")
    ]


def text_of(value: Any) -> str:
    """Return the text of a tag, which older bindings give as bytes; "" for a tag without a value."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value or "")
