"""The locks of dnf 4 and of rpm: their holders, and waiting for them. dnf's are files with a process id, rpm's is a
record lock.
"""

import time
from pathlib import Path
from typing import Optional, Sequence

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.errors import Busy
from os_update_agent.node.locks import Held, holder, process_name

POLL_SECONDS = 0.1


def wait_until_free(files: Sequence[Path], rpm_lock: Path, *, timeout: float) -> None:
    """Wait until none of dnf's lock files and rpm's lock is held. Raises Busy that names the holder after ``timeout``
    seconds.
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
    """Return the first lock that is held just now, with its holder."""
    for path in files:
        pid = _writer(path)
        if pid:
            return path, pid
    pid = holder(rpm_lock)
    return (rpm_lock, pid) if pid else None


def _writer(path: Path) -> int:
    """Return the process that has written its id into a lock file, 0 if it has ended: dnf takes over the lock of a dead
    process as well.
    """
    try:
        pid = int(read_text(path).strip() or "0")
    except (OSError, ValueError):
        return 0
    return pid if pid and Path(f"/proc/{pid}/stat").exists() else 0
