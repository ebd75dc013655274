"""Room on the disk that is kept for the ledger: a full disk must not end a run halfway, with the node out of service
and Heat waiting.

A file of the size that the writes of a whole run need lies beside the ledger, and is given up when the disk has no room
for the next one.
"""

import contextlib
import os
from pathlib import Path

RESERVE_BYTES = 2 << 20
# What one transaction may need at most, for itself and for its journal: two bodies of 256 KiB are the largest that it
# writes.
NEEDED_BYTES = 1 << 20
NAME = "ledger.reserve"


def keep(directory: Path) -> None:
    """Make the reserve where it is not there and the disk has ample room. Where that cannot be done there is none."""
    path = directory / NAME
    with contextlib.suppress(OSError):
        if (path.exists() and path.stat().st_size == RESERVE_BYTES) or _free(directory) < 2 * (
            RESERVE_BYTES + NEEDED_BYTES
        ):
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)


def give_up_if_needed(directory: Path) -> None:
    """Before a write: free the room of the reserve where the disk has too little of its own."""
    with contextlib.suppress(OSError):
        if _free(directory) < NEEDED_BYTES:
            (directory / NAME).unlink(missing_ok=True)


def is_kept(directory: Path) -> bool:
    """Is there one? Then the ledger beside it was in use; without one, given up on a full disk say, nothing is
    known.
    """
    return (directory / NAME).exists()


def drop(directory: Path) -> None:
    """Of a ledger that is there no more. Raises OSError."""
    (directory / NAME).unlink(missing_ok=True)


def _free(directory: Path) -> int:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize
