"""Reads the files below /etc, keeps copies of them, and puts copies back.

Root works here in directories that may belong to somebody else. Nothing follows a symbolic link, and nothing is written
into a directory that another user may write.
"""

import contextlib
import hashlib
import os
import stat
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import IO, Callable, Collection, Dict, Iterator, List, Mapping, Optional

from os_update_agent.model.etc_files import EtcFile, Listing, PackagedText

# The content of a larger file is not kept, nor what comes when so much is kept already.
LARGEST = 1 << 20
MOST = 64 << 20
_BLOCK = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotWritten(Exception):
    """Why a file was not put back."""


def read_etc(
    root: Path, packaged: Mapping[str, PackagedText], keep: Optional[Callable[[str, bytes], None]] = None
) -> Listing:
    """Return the files below /etc of the root, and the ``packaged`` configuration files elsewhere. ``keep`` takes the
    path and the content of each file that is not too large.

    A file that cannot be read is listed without its content.
    """
    places = {place.as_posix().removeprefix(root.as_posix().rstrip("/")): place for place in _walk(root / "etc")}
    places.update({path: root / path.lstrip("/") for path in packaged if path not in places})
    found: Dict[str, EtcFile] = {}
    for path in sorted(places):
        try:
            file = _read(path, places[path], packaged.get(path), keep)
        except OSError:
            file = EtcFile(path, "absent", "", "", "", is_edited=True) if path in packaged else None
        if file is not None:
            found[path] = file
    return found


def _walk(top: Path) -> Iterator[Path]:
    directories: List[str] = [str(top)]
    while directories:
        with contextlib.suppress(OSError), os.scandir(directories.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                else:
                    yield Path(entry.path)


def _read(
    path: str, place: Path, packaged: Optional[PackagedText], keep: Optional[Callable[[str, bytes], None]]
) -> Optional[EtcFile]:
    status = os.lstat(place)
    owner = f"{status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return EtcFile(path, "link", "", owner, os.readlink(place))
    if not stat.S_ISREG(status.st_mode):
        return None
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    try:
        descriptor = os.open(place, _FILE)
    except OSError:
        return EtcFile(path, "file", mode, owner, "")
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        if status.st_size > LARGEST:
            return EtcFile(path, "file", mode, owner, _hash_of(file))
        content = file.read()
    if keep is not None:
        keep(path, content)
    is_edited = packaged is not None and _hash(packaged.algorithm, content) != packaged.content
    return EtcFile(path, "file", mode, owner, _hash("sha256", content), is_edited)


def _hash_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _hash(algorithm: str, content: bytes) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


class Copies:
    """The contents of files, written into one archive that only its owner may read.

    Attributes:
        failure: Why not everything could be kept ("" if it could).
    """

    def __init__(self, path: Path) -> None:
        """Begin the archive beside ``path``, where it is put at the end of the block. Raises OSError."""
        self.failure = ""
        self._path = path
        descriptor, self._new = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        self._file = open(descriptor, "w+b")  # noqa: SIM115
        self._members = tarfile.open(fileobj=self._file, mode="w|")  # noqa: SIM115
        self._size = 0

    def add(self, path: str, content: bytes) -> None:
        """Keep the content of a file, unless too much is kept already or the disk is full."""
        self._size += len(content)
        if self._size <= MOST and not self.failure:
            member = tarfile.TarInfo(path)
            member.size = len(content)
            try:
                self._members.addfile(member, BytesIO(content))
            except OSError as error:
                self.failure = str(error)

    def __enter__(self) -> "Copies":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and not self.failure:
                self._members.close()
                self._file.flush()
                os.fsync(self._file.fileno())
                os.replace(self._new, self._path)
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._new)


def kept_contents(path: Path, wanted: Collection[str]) -> Dict[str, bytes]:
    """Return the kept contents of the wanted paths in an archive; nothing if it is not there or damaged."""
    found: Dict[str, bytes] = {}
    with contextlib.suppress(OSError, tarfile.TarError), tarfile.open(path, "r:") as members:
        for member in members:
            name = f"/{member.name.lstrip('/')}"
            if name in wanted and member.isreg():
                file = members.extractfile(member)
                found[name] = file.read() if file is not None else b""
    return found


def keep_only(path: Path, wanted: Collection[str]) -> None:
    """Write an archive anew with the wanted paths alone; remove it if it holds none of them. Raises OSError."""
    found = kept_contents(path, wanted)
    if not found:
        path.unlink(missing_ok=True)
        return
    with Copies(path) as copies:
        for name, content in found.items():
            copies.add(name, content)


def put_back(root: Path, file: EtcFile, content: bytes) -> None:
    """Make the file or link what it was. Another file or link in its place is replaced.

    Raises NotWritten, if another user may write the directory, or if there is a directory in its place.
    """

    def write(directory: int, new: str) -> None:
        if file.kind == "link":
            os.symlink(file.content, new, dir_fd=directory)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600, dir_fd=directory), "wb") as target:
            target.write(content)
            _take_attributes(directory, name, target.fileno())
            user, group = map(int, file.owner.split(":"))
            if os.geteuid() == 0:
                os.fchown(target.fileno(), user, group)
            os.fchmod(target.fileno(), int(file.mode, 8))
            target.flush()
            os.fsync(target.fileno())

    parent, name = os.path.split(file.path)
    with _opened(root, parent, make=True) as directory:
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
    with _opened(root, parent, make=False) as directory:
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


@contextlib.contextmanager
def _opened(root: Path, path: str, *, make: bool) -> Iterator[int]:
    """Open a directory below the root, part by part, without following a link. Raises NotWritten."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in (part for part in path.split("/") if part):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
            inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            status = os.fstat(descriptor)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise NotWritten("another user may write its directory")
        yield descriptor
    except OSError as error:
        raise NotWritten(error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
