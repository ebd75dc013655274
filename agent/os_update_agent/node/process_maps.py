"""Which services run code from which files: who would still run the old code when packages are replaced."""

import re
from pathlib import Path
from typing import Dict, FrozenSet, Set, Tuple

from os_update_agent.node.reboot import HOST, unit_of

# 7f6cc1a28000-7f6cc1b7d000 r-xp 00028000 fe:00 329706    /usr/lib/x86_64-linux-gnu/libc.so.6
_CODE = re.compile(r"^\S+ ..x. \S+ \S+ \d+ +(/.*?)(?: \(deleted\))?$", re.MULTILINE)


def services_with(paths: FrozenSet[str], root: Path, proc: Path = Path("/proc")) -> Tuple[str, ...]:
    """The system services that run code from one of the files. Nothing for another root than the machine's own.

    What we may not read is left out: only root sees everything.
    """
    if root != HOST:
        return ()
    wanted = frozenset(map(_plain, paths))
    return tuple(sorted(unit for unit, files in _mapped(proc).items() if not wanted.isdisjoint(files)))


def _mapped(proc: Path) -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {}
    for process in proc.glob("[0-9]*"):
        try:
            unit = unit_of((process / "cgroup").read_text(encoding="utf-8", errors="replace"))
            maps = (process / "maps").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if unit:
            found.setdefault(unit, set()).update(map(_plain, _CODE.findall(maps)))
    return found


def _plain(path: str) -> str:
    """A package may name /lib what the kernel names /usr/lib."""
    return path[len("/usr") :] if path.startswith("/usr/") else path
