"""One package file on the disk: its checksum, what a download has left of it, and flushing it."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer

_BUFFER = 1 << 17


def mark_of(found: os.stat_result) -> Tuple[int, int, int]:
    """Return what differs after each write to the file."""
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def adopted(path: Path, offer: Offer) -> Tuple[str, os.stat_result]:
    """Return the sha256 of a file that was just fetched, and its status before it was read. Raises PackageError; a file
    of another size than its repository says is removed.

    The package manager has just compared the file with the checksum of its repository: it is not read for that again.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if offer.size and found.st_size != offer.size:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise PackageError(
            f"{path.name} has {found.st_size} bytes, and should have {offer.size} by what its repository says"
        )
    return offer.sha256 or checksum(path), found


def drop_unfinished(path: Path, offer: Offer) -> None:
    """Remove what an interrupted download has left: apt would take it for whole by its size. A whole file stays.

    Raises PackageError.
    """
    try:
        if path.exists() and not (
            offer.sha256 and path.stat().st_size == offer.size and checksum(path) == offer.sha256
        ):
            path.unlink()
    except OSError as error:
        raise PackageError(f"{path} cannot be removed: {error.strerror}") from error


def onto_the_disk(path: Path) -> None:
    """Flush a file or a directory. Raises PackageError."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PackageError(f"{path} cannot be written: {error.strerror}") from error


def checksum(path: Path) -> str:
    """Return the sha256 of a file. Raises PackageError."""
    digest = hashlib.sha256()
    # One buffer for all: a new block for each read costs more than the reading.
    buffer = bytearray(_BUFFER)
    blocks = memoryview(buffer)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(blocks[:count])
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def unreadable(path: Path, error: OSError) -> PackageError:
    return PackageError(f"{path} cannot be read: {error.strerror}")
