"""The files on the disk that may go into a rebuilt package.

dpkg's database only names paths. Whoever can write to a directory of a package, such as the user of a web server, may
have put anything in the place of its files: a link to a secret file, a pipe, or a file that never ends. What would not
be the package's own file is refused; nothing is read but a regular file that was looked at before.
"""

import os
import shutil
import stat
from pathlib import Path
from typing import Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.files import open_regular
from os_update_agent.packages.installed_files import on_disk, pseudo_mounts

# Bytes that a package may have grown beyond twice the size that dpkg knows.
_GROWTH = 1 << 30
# Bytes of a control file.
CONTROL_LIMIT = 64 << 20


class PackSources:
    """The files of one installed package below ``root``. ``installed_kb`` is the size that dpkg knows, in KiB."""

    def __init__(self, root: Path, label: str, installed_kb: int) -> None:
        self._root = root
        self._label = label
        self._left = 2 * 1024 * installed_kb + _GROWTH
        self._limit = self._left
        self._pseudo = pseudo_mounts()

    def find(self, path: str, listed: str, *, follow: bool) -> Tuple[Path, os.stat_result]:
        """Return the file that the path of a package means, and its status.

        Args:
            path: Where the file is; a diversion may have moved it.
            listed: The path that the package lists.
            follow: The last part may be a link.

        Raises:
            FileNotFoundError: There is no such file.
            PackageError: It is not the package's own file.
        """
        for one in (path, listed):
            if not one.startswith("/") or {"..", ".", ""} & set(one[1:].split("/")):
                raise self._refused(one, "it is not a plain absolute path")
        source = on_disk(self._root, path, follow=follow, owners=frozenset((0, os.geteuid())))
        status = os.lstat(source)
        if not stat.S_ISDIR(status.st_mode) and f"{source}/".startswith(self._pseudo):
            raise self._refused(path, "the kernel makes it up")
        if stat.S_ISREG(status.st_mode):
            self._left -= status.st_size
            if self._left < 0:
                raise self._refused(path, f"the files of the package have more than {self._limit} bytes")
        elif not (stat.S_ISLNK(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise self._refused(path, "it is neither a file, a link nor a directory")
        return source, status

    def _refused(self, path: str, why: str) -> PackageError:
        return PackageError(f"{self._label} cannot be packed again: {path}: {why}")


def link_or_copy(source: Path, status: os.stat_result, target: Path, other: Path) -> bool:
    """Make a regular file also the target: by a hard link to ``other``, one of its names, or else by a copy with its
    owner and mode. Returns whether it was copied.

    Raises OSError, also if the file is not the one of ``status`` any more.
    """
    try:
        os.link(other, target)
    except FileExistsError:
        raise
    except OSError:  # another filesystem, somebody else's file (protected_hardlinks), or too many links
        _copy(source, status, target)
        return True
    if other == source and not os.path.samestat(os.lstat(target), status):
        target.unlink()
        raise OSError(f"{source} was replaced while it was packed")
    return False


def _copy(source: Path, status: os.stat_result, target: Path) -> None:
    with open_regular(source) as file:
        if not os.path.samestat(os.fstat(file.fileno()), status):
            raise OSError(f"{source} was replaced while it was packed")
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy)
    shutil.copystat(source, target, follow_symlinks=False)
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
        target.chmod(stat.S_IMODE(status.st_mode))  # chown takes setuid away


def copy_control(source: Path, target: Path) -> None:
    """Copy a control file of dpkg's database; an executable one stays executable. Raises OSError."""
    with open_regular(source) as file:
        status = os.fstat(file.fileno())
        if status.st_size > CONTROL_LIMIT:
            raise OSError(f"{source} has more than {CONTROL_LIMIT} bytes")
        target.write_bytes(file.read(CONTROL_LIMIT))
    target.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
