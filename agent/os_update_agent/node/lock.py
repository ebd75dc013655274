"""Locks: our own, one for every door of the node, and a look at who holds somebody else's."""

import fcntl
import json
import os
import struct
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional

from os_update_agent.errors import AgentError, Busy

POLL_SECONDS = 0.1


@contextmanager
def node_lock(path: Path, *, doing: str, timeout: float) -> Iterator[None]:
    """Hold the node's lock; waits at most ``timeout`` seconds and then raises Busy that names the holder.

    ``doing`` is told to those who wait; it must hold no secret.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"the lock {path} cannot be opened: {error.strerror}") from error
    try:
        if not _wait(lambda: _take(descriptor), timeout):
            raise Busy(f"another os-update-agent is at work: {_told(path)}; waited {timeout:g} s for {path}")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "doing": doing}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def wait_until_free(paths: Iterable[Path], *, timeout: float) -> None:
    """Wait until nobody holds a record lock (apt's and dpkg's kind) on any of the files; raises Busy that names the holder."""
    paths = tuple(paths)
    if not _wait(lambda: not any(holder(path) for path in paths), timeout):
        path, pid = next((path, pid) for path in paths for pid in [holder(path)] if pid)
        raise Busy(f"{path} is held by {process_name(pid)} (process {pid}); waited {timeout:g} s")


def holder(path: Path) -> int:
    """The process id that holds a record lock on the file, 0 where nobody does (fcntl(2), F_GETLK)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        return 0 if kind == fcntl.F_UNLCK else int(pid)
    finally:
        os.close(descriptor)


def process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() or "a process"
    except OSError:
        return "a process"


def node_holder(path: Path) -> Optional[str]:
    """Who holds the node's lock just now, in words; None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _take(descriptor) else _told(path)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _told(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"{note['doing']} (process {note['pid']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "a process that has not said what it does"


def _wait(is_free: Callable[[], bool], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while not is_free():
        if time.monotonic() >= end:
            return False
        time.sleep(min(POLL_SECONDS, max(0.0, end - time.monotonic())))
    return True
