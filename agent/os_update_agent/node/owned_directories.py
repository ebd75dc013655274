"""Opens a directory in which another user may write, so that a link that he plants leads nobody elsewhere.

The directory of node-exporter's textfile collector belongs to the user of that program on many nodes. He could put a
link in its place between a look at it and its use. So each part of the path is opened by the descriptor of the part
before, and a link is followed only if root, or this process's own user, owns it.
"""

import errno
import os
import stat
from pathlib import Path
from typing import List

_LINKS_AT_MOST = 40
_PART = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(path: Path) -> int:
    """Return a descriptor of the directory, for functions that take a dir_fd. Raises OSError."""
    left: List[str] = [part for part in path.parts if part != "/"]
    links = 0
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while left:
            part = left.pop(0)
            place, before = os.open(part, _PART, dir_fd=place), place
            found = os.fstat(place)
            if not stat.S_ISLNK(found.st_mode):
                os.close(before)
                continue
            links += 1
            if found.st_uid not in (0, os.geteuid()) or links > _LINKS_AT_MOST:
                os.close(before)
                raise OSError(errno.ELOOP, f"the part {part!r} is a link of user {found.st_uid}", str(path))
            target = os.readlink("", dir_fd=place)
            os.close(place)
            place = before
            left[:0] = [name for name in target.split("/") if name not in ("", ".")]
            if target.startswith("/"):
                os.close(place)
                place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return place
    except BaseException:
        os.close(place)
        raise


def write_file(path: Path, text: str, mode: int) -> None:
    """Write a file in one step, whoever else may write to its directory. Raises OSError."""
    directory = open_directory(path.parent)
    staging = f".{path.name}.{os.urandom(8).hex()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(staging, flags, 0o600, dir_fd=directory), "w", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.rename(staging, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                os.unlink(staging, dir_fd=directory)
                raise
    finally:
        os.close(directory)
