"""Reads the files below /etc, and puts them back.

Root works here in directories that may belong to somebody else. What is written follows no symbolic link, and nothing
is written into a directory that another user may write.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.etc_files import EtcFile, Listing, PackagedText

# The content of a larger file is not kept, and a file that is even larger is not read at all.
LARGEST = 1 << 20
_NOT_READ = 64 << 20
# etckeeper's history has a life of its own.
_NOT_OURS = (".git", ".hg", ".bzr", ".svn", "_darcs")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotWritten(Exception):
    """Why a file was not put back."""


def read_etc(
    root: Path, packaged: Mapping[str, PackagedText], keep: Optional[Callable[[str, bytes], None]] = None
) -> Listing:
    """Return the files and directories below /etc of the root, and the ``packaged`` configuration files elsewhere.
    ``keep`` takes the path and the content of each file that is not too large, those of packages first.

    A file that cannot be read is listed without its content.
    """
    above = root.as_posix().rstrip("/")
    places = {place.removeprefix(above): place for place in _walk(root / "etc")}
    places.update({path: f"{above}{path}" for path in packaged if path not in places})
    found: Dict[str, EtcFile] = {}
    for path in (*packaged, *sorted(places.keys() - packaged.keys())):
        text = packaged.get(path)
        try:
            file = _read(path, places[path], text, keep)
        except (FileNotFoundError, NotADirectoryError):
            file = EtcFile(path, "absent", "", "", "", True, text.package) if text is not None else None
        except OSError:
            continue
        if file is not None:
            found[path] = file
    return found


def _walk(top: Path) -> Iterator[str]:
    """Yield what is below a directory, but for other file systems and the archives of version control."""
    directories: List[str] = []
    device = -1
    with contextlib.suppress(OSError):
        device = os.stat(top).st_dev
        directories = [str(top)]
    while directories:
        with contextlib.suppress(OSError), os.scandir(directories.pop()) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry.path
                elif entry.name not in _NOT_OURS and entry.stat(follow_symlinks=False).st_dev == device:
                    directories.append(entry.path)
                    yield entry.path


def _read(
    path: str, place: str, packaged: Optional[PackagedText], keep: Optional[Callable[[str, bytes], None]]
) -> Optional[EtcFile]:
    status = os.lstat(place)
    owner, mode = f"{status.st_uid}:{status.st_gid}", f"{stat.S_IMODE(status.st_mode):o}"
    package = packaged.package if packaged is not None else ""
    if stat.S_ISLNK(status.st_mode):
        # A package has no link in the place of a configuration file: somebody has made it one.
        return EtcFile(path, "link", "", owner, os.readlink(place), packaged is not None, package)
    if stat.S_ISDIR(status.st_mode):
        return EtcFile(path, "directory", mode, owner, "")
    if not stat.S_ISREG(status.st_mode):
        return None
    content = read_regular(place)
    if content is not None and keep is not None:
        keep(path, content)
    algorithms = ("sha256", packaged.algorithm if packaged is not None else "sha256")
    if content is not None:
        own, other = (hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in algorithms)
    else:
        own, other = _hashes(place, algorithms)
    return EtcFile(path, "file", mode, owner, own, packaged is not None and other != packaged.content, package)


def _hashes(place: str, algorithms: Sequence[str]) -> Sequence[str]:
    """Return the hashes of a large file; empty ones if it cannot be read, or is too large even for that."""
    digests = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    try:
        with open(os.open(place, _FILE), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > _NOT_READ:
                return ["" for _ in digests]
            while block := file.read(LARGEST):
                for digest in digests:
                    digest.update(block)
    except OSError:
        return ["" for _ in digests]
    return [digest.hexdigest() for digest in digests]


def read_regular(place: "str | os.PathLike[str]") -> Optional[bytes]:
    """Return the content of a regular file that is not too large; None if it is anything else or cannot be read. A
    link is not followed, and a pipe does not block.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(place, _FILE)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
                return file.read()
    return None


def put_back(root: Path, file: EtcFile, content: bytes, recorded: Listing) -> None:
    """Make the file or link what it was. Another file or link in its place is replaced; a directory that is gone is
    made as it is ``recorded``.

    Raises NotWritten, if another user may write the directory, or if there is a directory in its place.
    """

    def write(directory: int, new: str) -> None:
        if file.kind == "link":
            os.symlink(file.content, new, dir_fd=directory)
            if os.geteuid() == 0:
                os.chown(new, *_owner(file), dir_fd=directory, follow_symlinks=False)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600, dir_fd=directory), "wb") as target:
            target.write(content)
            _take_attributes(directory, name, target.fileno())
            if os.geteuid() == 0:
                os.fchown(target.fileno(), *_owner(file))
            os.fchmod(target.fileno(), int(file.mode, 8))
            target.flush()
            os.fsync(target.fileno())

    parent, name = os.path.split(file.path)
    with _opened(root, parent, recorded) as directory:
        new = f".{name}.os-update-agent"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=directory)
            write(directory, new)
            os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(new, dir_fd=directory)
            raise NotWritten(error.strerror or str(error)) from error


def remove(root: Path, path: str) -> None:
    """Remove a file or link. Raises NotWritten as put_back() does."""
    parent, name = os.path.split(path)
    with _opened(root, parent, None) as directory:
        try:
            os.unlink(name, dir_fd=directory)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error


def _take_attributes(directory: int, name: str, target: int) -> None:
    """Give the new file the extended attributes of the present one: its SELinux label, say."""
    with contextlib.suppress(OSError):
        source = os.open(name, _FILE, dir_fd=directory)
        try:
            for attribute in os.listxattr(source):
                with contextlib.suppress(OSError):
                    os.setxattr(target, attribute, os.getxattr(source, attribute))
        finally:
            os.close(source)


def _owner(file: EtcFile) -> Tuple[int, int]:
    user, group = map(int, file.owner.split(":"))
    return user, group


@contextlib.contextmanager
def _opened(root: Path, path: str, recorded: Optional[Listing]) -> Iterator[int]:
    """Open a directory below the root, part by part, without following a link. With ``recorded`` the parts that are
    gone are made. Raises NotWritten.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    here = ""
    try:
        for part in (part for part in path.split("/") if part):
            here = f"{here}/{part}"
            is_new = recorded is not None and _made(part, descriptor)
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            if is_new and recorded is not None:
                was = recorded.get(here)
                if was is not None and was.kind == "directory" and os.geteuid() == 0:
                    os.fchown(descriptor, *_owner(was))
                os.fchmod(descriptor, int(was.mode, 8) if was is not None and was.mode else 0o755)
            status = os.fstat(descriptor)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise NotWritten("another user may write its directory")
        yield descriptor
    except OSError as error:
        raise NotWritten(error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def _made(name: str, directory: int) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        return False
    return True
