"""Locks: our own, one for every door of the node, and a look at who holds somebody else's."""

import fcntl
import json
import logging
import os
import struct
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Tuple

from os_update_agent.config.bounded_files import FILE_LIMIT, read_bytes, read_text
from os_update_agent.model.bounded_json import read_json
from os_update_agent.model.errors import AgentError, Busy
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1

# A lock file and the id of the process that holds it.
Held = Tuple[Path, int]

# Our own locks are open file description locks (fcntl(2)): asking about one does not take it, and a lock goes with its
# last descriptor. Each byte of a file is a lock of its own, whether or not the file is so long.
_FLOCK = "hhqqi4x"
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

# A claim's record in its file: the holder's process id, and the time (CLOCK_MONOTONIC) at which it was made.
_RECORD = struct.Struct("qd")
# The first claim and those that others may make when it is too old.
_CLAIMS = 4


class Claim(NamedTuple):
    """The claim of another process: its process id (0 if it is in another PID namespace) and the seconds since then."""

    pid: int
    age: float


@contextmanager
def node_lock(path: Path, *, doing: str, timeout: float) -> Iterator[None]:
    """Hold the node's lock; waits at most ``timeout`` seconds and then raises Busy that names the holder.

    ``doing`` is told to those who wait; it must hold no secret.
    """
    descriptor = _open(path)
    try:
        if not _wait(lambda: _take(descriptor), timeout):
            raise Busy(f"another os-update-agent is at work: {_told(path)}; waited {timeout:g} s for {path}")
        # A note for those who wait. It may fail, on a full disk for example; the lock holds without it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "doing": doing}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def try_lock(path: Path, byte: Optional[int] = None, *, note: str = "") -> Iterator[bool]:
    """Hold one byte, or the whole file, if nobody else does: yield True, or False at once. Raises AgentError.

    The holder leaves ``note`` in the file, and the note stays when the lock is gone.
    """
    descriptor = take(path, byte, note=note)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def take(path: Path, byte: Optional[int] = None, *, note: str = "") -> Optional[int]:
    """Do the same without an end: return the descriptor that holds the lock until it is closed, None at once if another
    one holds it. Raises AgentError.
    """
    descriptor = _open(path)
    if not _take(descriptor, _one(byte, fcntl.F_WRLCK)):
        os.close(descriptor)
        return None
    if note:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note.encode(), 0)
    return descriptor


@contextmanager
def claim(path: Path, number: int, *, stale: float) -> Iterator[Optional[Claim]]:
    """Claim a number until the end of the block: yield None if it is ours. Otherwise yield the present claim, at once.

    A claim that is older than ``stale`` seconds does not count, because its holder may have been stopped. Then one
    other process may claim the number as well. No other file of the process may be this one: a record lock goes with
    the first descriptor that is closed (fcntl(2)), and it is the kind that names its holder. Raises AgentError.
    """
    descriptor = _open(path)
    try:
        yield _claimed(path, descriptor, number, stale)
    finally:
        os.close(descriptor)


def _claimed(path: Path, descriptor: int, number: int, stale: float) -> Optional[Claim]:
    found = None
    for place in range(_CLAIMS):
        at = (number * _CLAIMS + place) * _RECORD.size
        lock = _one(at, fcntl.F_WRLCK)
        if _take(descriptor, lock, fcntl.F_SETLK):
            with suppress(OSError):
                os.pwrite(descriptor, _RECORD.pack(os.getpid(), time.monotonic()), at)
            return None
        kind, holder = _asked(descriptor, fcntl.F_GETLK, lock)
        # A holder that was killed leaves its record. One that has just begun may not have written its own yet.
        record = os.pread(descriptor, _RECORD.size, at)
        pid, since = _RECORD.unpack(record) if len(record) == _RECORD.size else (0, 0.0)
        is_known = kind != fcntl.F_UNLCK and pid == holder
        found = Claim(0 if kind == fcntl.F_UNLCK else holder, max(0.0, time.monotonic() - since) if is_known else 0.0)
        if found.age < stale:
            return found
        who = f"{process_name(found.pid)} (process {found.pid})"
        log.warning(logged(claim=path, holder=who, why=f"it holds it for {found.age:.0f} s, so it does not count"))
    return found


@contextmanager
def shared_lock(path: Path, byte: int) -> Iterator[None]:
    """Hold one byte that everybody locks in this way, any number at once: it shows that somebody is there.

    Raises AgentError.
    """
    descriptor = _open(path)
    try:
        _take(descriptor, _one(byte, fcntl.F_RDLCK))
        yield
    finally:
        os.close(descriptor)


def check_lock(path: Path) -> None:
    """Raise AgentError if the lock file can neither be opened nor made."""
    os.close(_open(path))


def is_held(path: Path, byte: int = 0) -> bool:
    """Ask whether anybody holds the byte, in whichever way, or the whole file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _asked(descriptor, fcntl.F_OFD_GETLK, _one(byte, fcntl.F_WRLCK))[0] != fcntl.F_UNLCK
    finally:
        os.close(descriptor)


def note_in(path: Path) -> str:
    """Return the note that the last holder of a try_lock left, '' where there is none."""
    try:
        return read_text(path, errors="replace")
    except OSError:
        return ""


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise AgentError(f"the lock {path} cannot be opened: {error.strerror}") from error


def wait_until_free(paths: Iterable[Path], *, timeout: float) -> None:
    """Wait until nobody holds a record lock (apt's and dpkg's kind) on any of the files; raises Busy that names the
    holder.
    """
    paths = tuple(paths)
    if not _wait(lambda: first_held(paths) is None, timeout):
        held = first_held(paths)
        if held is not None:
            path, pid = held
            raise Busy(f"{path} is held by {process_name(pid)} (process {pid}); waited {timeout:g} s")


@contextmanager
def record_locked(path: Path) -> Iterator[bool]:
    """Hold a record lock on the file (apt's, dpkg's and dnf 5's kind) meanwhile, or not: False where somebody else
    does.

    A process has such a lock once: it goes when the process closes the file anywhere.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # As dnf 5 makes it: who is not root reads it, to wait for its holder, or cannot list packages any more.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it may have removed the file, as dnf 5.2 does.
            is_ours = os.path.samestat(os.fstat(descriptor), path.stat())
        except (BlockingIOError, PermissionError, FileNotFoundError):
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def first_held(paths: Iterable[Path]) -> Optional[Held]:
    """The first of the files that somebody holds a record lock on just now, and who does."""
    return next(((path, pid) for path, pid in ((path, holder(path)) for path in paths) if pid), None)


def holder(path: Path) -> int:
    """The process id that holds a record lock on the file, 0 where nobody does (fcntl(2), F_GETLK)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        kind, pid = _asked(descriptor, fcntl.F_GETLK)
        return 0 if kind == fcntl.F_UNLCK else pid
    finally:
        os.close(descriptor)


def _asked(descriptor: int, question: int, lock: bytes = _WHOLE_FILE) -> Tuple[int, int]:
    """Return the kind of a lock that is in the way of ``lock``, and the process id of its holder."""
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, question, lock))
    return kind, pid


def _one(byte: Optional[int], kind: int) -> bytes:
    """Return the lock of one byte, or of the whole file."""
    return struct.pack(_FLOCK, kind, os.SEEK_SET, byte or 0, 0 if byte is None else 1, 0)


def process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() or "a process"
    except OSError:
        return "a process"


def node_holder(path: Path) -> Optional[str]:
    """Who holds the node's lock just now, in words; None when it is free."""
    return _told(path) if is_held(path) else None


def works_for_node_holder(pid: int, path: Path) -> bool:
    """Was the process started, directly or not, by the one that holds the node's lock?"""
    try:
        boss = int(read_json(read_bytes(path), FILE_LIMIT)["pid"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return False
    while pid > 1 and pid != boss:
        pid = _parent(pid)
    return pid == boss and is_held(path)


def _parent(pid: int) -> int:
    """0 where the process is gone. The name in parentheses may hold anything (proc(5))."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
        )
    except (OSError, ValueError, IndexError):
        return 0


def _take(descriptor: int, lock: bytes = _WHOLE_FILE, command: int = fcntl.F_OFD_SETLK) -> bool:
    try:
        fcntl.fcntl(descriptor, command, lock)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _told(path: Path) -> str:
    try:
        note = read_json(read_bytes(path), FILE_LIMIT)
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
