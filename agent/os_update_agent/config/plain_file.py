"""Reads a file whose path somebody else has named, without waiting for anybody."""

import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_text(path: Path) -> str:
    """Return the text of a regular file, in UTF-8. A named pipe, which would let its reader wait for ever, and a device
    are errors. Raises OSError, UnicodeDecodeError.
    """
    with open(os.open(path, _FLAGS), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not _is_null(file.fileno()):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read().decode("utf-8")


def _is_null(descriptor: int) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))
