"""The contents of files that a run may change, in one archive that only its owner may read."""

import contextlib
import os
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Collection, Dict

# What comes when so much is kept already is not kept.
MOST = 64 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Copies:
    """The contents of files, written into one archive that only its owner may read.

    Attributes:
        failure: Why not everything could be kept ("" if it could).
    """

    def __init__(self, path: Path) -> None:
        """Begin the archive beside ``path``, where it is put at the end of the block. Raises OSError."""
        self.failure = ""
        self._path = path
        # One run at a time writes here, into a directory that is its owner's alone.
        self._new = path.with_name(f".{path.name}.new")
        self._new.unlink(missing_ok=True)
        self._file = open(os.open(self._new, _NEW, 0o600), "w+b")  # noqa: SIM115
        self._members = tarfile.open(fileobj=self._file, mode="w|")  # noqa: SIM115
        self._size = 0
        self._is_whole = True

    def add(self, path: str, content: bytes) -> None:
        """Keep the content of a file, unless too much is kept already or the disk is full."""
        if not self._is_whole:
            return
        if self._size + len(content) > MOST:
            self.failure = self.failure or f"they take more than {MOST >> 20} MiB"
            return
        member = tarfile.TarInfo(path)
        member.size = len(content)
        try:
            self._members.addfile(member, BytesIO(content))
            self._size += len(content)
        except OSError as error:
            # A member that was cut off makes the rest of the archive unreadable.
            self._is_whole = False
            self.failure = str(error)

    def __enter__(self) -> "Copies":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and self._is_whole:
                self._members.close()
                self._file.flush()
                os.fsync(self._file.fileno())
                os.replace(self._new, self._path)
        except OSError as error:
            self.failure = str(error)
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._new)


def kept_contents(path: Path, wanted: Collection[str]) -> Dict[str, bytes]:
    """Return the kept contents of the wanted paths in an archive. Raises OSError; a damaged archive is one."""
    found: Dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:") as members:
            for member in members:
                name = f"/{member.name.lstrip('/')}"
                if name in wanted and member.isreg():
                    file = members.extractfile(member)
                    found[name] = file.read() if file is not None else b""
    except (tarfile.TarError, EOFError) as error:
        raise OSError(f"{path} is damaged: {error}") from error
    return found


def keep_only(path: Path, wanted: Collection[str]) -> None:
    """Write an archive anew with the wanted paths alone; remove it if it holds none of them. Raises OSError, and leaves
    the archive as it is.
    """
    if not path.exists():
        return
    found = kept_contents(path, wanted)
    if not found:
        path.unlink(missing_ok=True)
        return
    with Copies(path) as copies:
        for name, content in found.items():
            copies.add(name, content)
    if copies.failure:
        raise OSError(copies.failure)
