"""Finds file systems that a transaction would have to write to and cannot.

A package manager meets a read-only /usr in the middle of a transaction, when the node has already left its cluster.
"""

import os
from pathlib import Path
from typing import Iterable, List, Set, Tuple

from os_update_agent.packages.disk_space import existing
from os_update_agent.packages.installed_files import on_disk

# No package has its files there.
_OTHERS = ("/proc", "/sys", "/dev", "/run", "/tmp")


def read_only_below(root: Path, paths: Iterable[str]) -> Tuple[str, ...]:
    """Return the mount points, without the root, of the read-only file systems that hold the directories of the paths.

    ``paths`` are absolute and without the root. A directory that does not exist counts as part of the one in which it
    would be made.
    """
    if not _read_only_mounts(root):
        return ()
    found: Set[str] = set()
    for directory in sorted({os.path.dirname(path) for path in paths}):
        place = existing(on_disk(root, directory, follow=True))
        if _is_read_only(place):
            found.add(_mount_point(root, place))
    return tuple(sorted(found))


def _read_only_mounts(root: Path) -> List[str]:
    """Return the read-only mounts in which the root lies, or that lie in it (proc(5), mountinfo)."""
    try:
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        lines = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").split("\n")]
    except (OSError, ValueError):
        return []
    base = str(root).rstrip("/")
    others = tuple(f"{base}{other}" for other in _OTHERS)
    return [
        fields[4]
        for fields in lines
        if "-" in fields and "ro" in (*fields[5].split(","), *fields[-1].split(","))
        if f"{base}/".startswith(fields[4].rstrip("/") + "/") or fields[4].startswith(f"{base}/")
        if not fields[4].startswith(others)
    ]


def _is_read_only(place: Path) -> bool:
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _mount_point(root: Path, place: Path) -> str:
    """Return the highest directory at or below the root that is read-only with the place."""
    while place != root and root in place.parents and _is_read_only(place.parent):
        place = place.parent
    return f"/{place.relative_to(root)}" if place != root and root in place.parents else "/"
