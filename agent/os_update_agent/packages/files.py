"""One package file on the disk: its checksum, what a download has left of it, and flushing it."""

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer

_BUFFER = 1 << 17


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file to read it. A link is not followed, and a pipe does not block. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def regular_size(path: Path) -> int:
    """Return the number of bytes of a regular file, -1 for anything else and where there is nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def drop(path: Path) -> None:
    """Remove whatever is in the place of a package file: also a directory, and a link but not its target.

    Raises PackageError.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise PackageError(f"{path} cannot be removed: {error.strerror}") from error


def mark_of(found: os.stat_result) -> Tuple[int, int, int]:
    """Return what differs after each write to the file."""
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def adopted(path: Path, offer: Offer) -> Tuple[str, os.stat_result]:
    """Return the sha256 of a file that was just fetched, and its status before it was read. Raises PackageError; a file
    of another size than its repository says is removed.

    The package manager has just compared the file with the checksum of its repository: it is not read for that again.
    """
    try:
        found = os.lstat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise PackageError(f"{path} is no regular file")
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
    if os.path.lexists(path) and not (
        offer.sha256 and regular_size(path) == offer.size and checksum(path) == offer.sha256
    ):
        drop(path)


def onto_the_disk(path: Path) -> None:
    """Flush a file or a directory. Raises PackageError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
        with open_regular(path) as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                digest.update(blocks[:count])
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def unreadable(path: Path, error: OSError) -> PackageError:
    return PackageError(f"{path} cannot be read: {error.strerror}")
