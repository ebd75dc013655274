"""Reads files of any length and kind: one may be longer than the memory, or a FIFO that nobody ever writes to."""

import errno
import os
import stat
from pathlib import Path

from os_update_agent.model.bounded_json import longer_than

# Settings, lists of names, and notes: agent.conf with each option ten times has 10 KiB.
FILE_LIMIT = 1 << 20
# A package manager's record of thousands of packages, or the kernel's of thousands of mounts.
RECORD_LIMIT = 16 << 20
_BLOCK = 1 << 20
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a disk"}


def read_bytes(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """Return the content of a file of at most ``limit`` bytes; a device such as /dev/null may stand for one.

    Raises OSError, which names the limit, if the file is longer, and for a directory, a FIFO, or a socket.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        found = os.fstat(descriptor)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISCHR(found.st_mode)):
            raise OSError(errno.EINVAL, f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}", str(path))
        # Files below /proc say that they have no length.
        length, content = found.st_size, b""
        if length <= limit:
            content = _first(descriptor, limit + 1)
            length = len(content)
    finally:
        os.close(descriptor)
    if length > limit:
        raise OSError(errno.EFBIG, longer_than(limit, length), str(path))
    return content


def read_text(path: Path, limit: int = FILE_LIMIT, *, errors: str = "strict") -> str:
    """Return the text of a file in UTF-8, with "\\n" at the end of each line. Raises OSError as read_bytes(), and
    UnicodeDecodeError.
    """
    return read_bytes(path, limit).decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")


def words_of(error: Exception) -> str:
    """Return why a file could not be read, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _first(descriptor: int, count: int) -> bytes:
    """Return the first ``count`` bytes of a file, or all if it has fewer."""
    blocks = []
    while count > 0:
        block = os.read(descriptor, min(count, _BLOCK))
        if not block:
            break
        blocks.append(block)
        count -= len(block)
    return b"".join(blocks)
