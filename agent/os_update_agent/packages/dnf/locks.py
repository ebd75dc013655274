"""Who holds the locks of dnf 4 and of rpm, and waiting for them: dnf's are files with a process id, rpm's is a record
lock.
"""

import time
from pathlib import Path
from typing import Optional, Sequence

from os_update_agent.model.errors import Busy
from os_update_agent.node.locks import Held, holder, process_name

POLL_SECONDS = 0.1


def wait_until_free(files: Sequence[Path], rpm_lock: Path, *, timeout: float) -> None:
    """Wait until nobody holds one of dnf's lock files nor rpm's lock; raises Busy that names the holder after
    ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        held = first_held(files, rpm_lock)
        if held is None:
            return
        if time.monotonic() >= end:
            path, pid = held
            raise Busy(f"{path} is held by {process_name(pid)} (process {pid}); waited {timeout:g} s")
        time.sleep(POLL_SECONDS)


def first_held(files: Sequence[Path], rpm_lock: Path) -> Optional[Held]:
    """The first of the locks that somebody holds just now, and who does."""
    for path in files:
        pid = _writer(path)
        if pid:
            return path, pid
    pid = holder(rpm_lock)
    return (rpm_lock, pid) if pid else None


def _writer(path: Path) -> int:
    """The process that has written its id into a lock file, 0 where it is gone: dnf, too, takes the lock of a dead
    process over.
    """
    try:
        pid = int(path.read_text(encoding="ascii").strip() or "0")
    except (OSError, ValueError):
        return 0
    return pid if pid and Path(f"/proc/{pid}/stat").exists() else 0
