"""The identity of a build of a .deb: what tells two packages of the same name, version and architecture apart.

dpkg's database holds no checksum of a package file. It keeps the control fields and the md5sums of the files
(deb-md5sums(5)); a package without md5sums gets them from dpkg when it is unpacked. The digest is made of both, so that
it can be computed for an installed package and for a package file.

Maintainer scripts and the text of configuration files are not part of it. Whoever builds a package again changes its
changelog at least, whose checksum counts.
"""

import gzip
import lzma
import os
import re
import tarfile
import tempfile
import zlib
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Literal,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.packages import Identity
from os_update_agent.node import process
from os_update_agent.packages.files import open_regular

# The fields that a rebuild changes. dpkg normalizes some others ("Essential: no" goes), and lets an override win over
# the section and the priority.
FIELDS = (
    *("Source", "Installed-Size", "Maintainer", "Description"),
    *("Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks", "Replaces", "Provides"),
)
_SEPARATOR, _END = "\x1f", "\x1e"
# For dpkg-query and dpkg-deb, which both print a field as dpkg itself has read it.
FORMAT = _SEPARATOR.join(("${Package}", "${Architecture}", "${Version}", *(f"${{{name}}}" for name in FIELDS))) + _END

_DIGITS = 32
# Bytes of a file that is read as a whole: a control file, or the text of a configuration file.
_LARGEST, _BLOCK = 64 << 20, 1 << 18
_MAGIC = b"!<arch>\n"
_HEADER = 60
_NAME = re.compile(r"^Package:\s*(\S+)", re.M)


def parse_fields(text: str) -> Dict[Identity, str]:
    """Return the fields of each package in what dpkg printed with FORMAT, as one text."""
    found = {}
    for record in text.split(_END)[:-1]:
        name, arch, version, fields = record.split(_SEPARATOR, 3)
        found[name, arch, version] = fields
    return found


def digest(fields: str, sums: str) -> str:
    """Return the digest of a build with these fields, and with md5sums of this sha256."""
    import hashlib  # late: it loads OpenSSL

    text = f"{sums} {' '.join(fields.split())}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


_UNREADABLE = (OSError, EOFError, ValueError, KeyError, tarfile.TarError, lzma.LZMAError, zlib.error, CommandFailed)


class InstalledBuilds:
    """The digests of the builds that are installed below a dpkg database. Remembers the md5sums that it has read."""

    def __init__(self, admin: Path) -> None:
        self._admin = admin
        self._known: Dict[str, Tuple[Tuple[int, int, int], str]] = {}

    def digests(self, text: str) -> Dict[Identity, str]:
        """Return the digest of each package that has md5sums, from what dpkg-query printed with FORMAT.

        Without md5sums, as after a database was repaired by hand, the build is unknown.
        """
        files = {entry.name: entry for entry in os.scandir(self._admin / "info") if entry.name.endswith(".md5sums")}
        found = {}
        for identity, fields in parse_fields(text).items():
            name, arch, _ = identity
            # Packages that are Multi-Arch: same have files with their architecture.
            entry = files.get(f"{name}:{arch}.md5sums") or files.get(f"{name}.md5sums")
            sums = self._sums(entry) if entry is not None else ""
            if sums:
                found[identity] = digest(fields, sums)
        return found

    def _sums(self, entry: "os.DirEntry[str]") -> str:
        """Return the sha256 of the md5sums, "" if dpkg has just removed them."""
        try:
            return self._known_sums(entry)
        except FileNotFoundError:
            return ""

    def _known_sums(self, entry: "os.DirEntry[str]") -> str:
        status = entry.stat()
        mark = status.st_ino, status.st_size, status.st_mtime_ns
        known = self._known.get(entry.name)
        if known is None or known[0] != mark:
            known = self._known[entry.name] = mark, _sha256(Path(entry.path).read_bytes())
        return known[1]


class PackageFile(NamedTuple):
    """What a package file says of its build: the text of its control file and its md5sums."""

    control: str
    sums: bytes


def digests_of_files(
    paths: Sequence[Path], work: Path, is_left_out: Optional[Callable[[str], bool]]
) -> Dict[Path, str]:
    """Return the digest of the build in each package file that can be read.

    ``work`` is a directory for dpkg's input. ``is_left_out`` says which paths dpkg does not unpack: it makes no md5sums
    of them.
    """
    files: Dict[Path, PackageFile] = {}
    for path in paths:
        with suppress(*_UNREADABLE):
            files[path] = read_package_file(path, is_left_out)
    fields = dict(zip(files, _normalized([file.control for file in files.values()], work)))
    return {path: digest(fields[path], _sha256(file.sums)) for path, file in files.items() if fields[path]}


def _normalized(records: Sequence[str], work: Path) -> List[str]:
    """Return the fields of control files as dpkg itself reads them ("" if it cannot), with one process for many.

    dpkg-query reads them as the database of a node on which they are installed.
    """
    found = [""] * len(records)
    left = {number: _NAME.search(record) for number, record in enumerate(records)}
    while left:
        batch: Dict[str, int] = {}
        for number, name in left.items():
            # No two packages of one name in one database.
            batch.setdefault(name[1] if name else "", number)
        for number in batch.values():
            del left[number]
        batch.pop("", None)
        shown = _shown([records[number] for number in batch.values()], work)
        for name_, number in batch.items():
            found[number] = shown.get(name_, "")
    return found


def _shown(records: Sequence[str], work: Path) -> Dict[str, str]:
    with tempfile.TemporaryDirectory(dir=work) as directory:
        for name in ("info", "updates"):
            Path(directory, name).mkdir()
        text = "".join(f"{record.strip()}\nStatus: install ok installed\n\n" for record in records)
        Path(directory, "status").write_text(text, encoding="utf-8", errors="surrogateescape")
        done = process.run(["dpkg-query", f"--admindir={directory}", "--show", f"--showformat={FORMAT}"], ok=None)
    return {name: fields for (name, _, _), fields in parse_fields(done.stdout).items()}


def read_package_file(path: Path, is_left_out: Optional[Callable[[str], bool]]) -> PackageFile:
    """Return the control file and the md5sums of a package file. Raises OSError, ValueError, KeyError, tarfile.TarError
    and the errors of the compressions.
    """
    with opened_member(path, "control") as members:
        found = {member.name.removeprefix("./"): _content(members, member) for member in members if member.isreg()}
    sums = found.get("md5sums")
    if sums is None:
        sums = _own_sums(path, is_left_out)
    return PackageFile(str(found["control"], "utf-8", "replace"), sums)


def control_of(path: Path) -> str:
    """Return the text of the control file in a package file. Raises PackageError."""
    try:
        with opened_member(path, "control") as members:
            return next(
                str(_content(members, one), "utf-8", "surrogateescape")
                for one in members
                if one.name.removeprefix("./") == "control"
            )
    except (*_UNREADABLE, StopIteration) as error:
        raise PackageError(f"{path.name} cannot be read: {error}") from error


def packed_paths(path: Path) -> Tuple[str, ...]:
    """Return the paths of regular files in a package file, as its md5sums and conffiles name them; none if it brings
    neither, or cannot be read.
    """
    with suppress(*_UNREADABLE), opened_member(path, "control") as members:
        found = {member.name.removeprefix("./"): _content(members, member) for member in members if member.isreg()}
        sums, conffiles = (str(found.get(name, b""), "utf-8", "surrogateescape") for name in ("md5sums", "conffiles"))
        paths = (f"/{line[34:]}" for line in sums.splitlines() if line[34:])
        return (*paths, *(line.split()[-1] for line in conffiles.splitlines() if line.strip()))
    return ()


def packed_content(path: Path, wanted: str) -> Optional[bytes]:
    """Return the content of one file in a package file; None if there is no such file, or nothing can be read."""
    with suppress(*_UNREADABLE), opened_member(path, "data") as members:
        for member in members:
            if member.isreg() and member.name.removeprefix("./") == wanted.lstrip("/"):
                return _content(members, member)
    return None


def _own_sums(path: Path, is_left_out: Optional[Callable[[str], bool]]) -> bytes:
    """Return the md5sums that dpkg makes when it unpacks a package file that brings none."""
    sums: Dict[str, str] = {}
    with opened_member(path, "data") as members:
        for member in members:
            name = member.name.removeprefix("./")
            if is_left_out is not None and is_left_out(f"/{name}"):
                continue
            if member.islnk():
                # A hard link has the content of the member that came before it.
                sums[name] = sums.get(member.linkname.removeprefix("./"), "")
            elif member.isreg():
                sums[name] = _md5(members, member)
    lines = "".join(f"{known}  {name}\n" for name, known in sums.items() if known)
    return lines.encode("utf-8", "surrogateescape")


def _md5(members: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    import hashlib

    digest, file = hashlib.md5(usedforsecurity=False), members.extractfile(member)
    while file is not None and (block := file.read(_BLOCK)):
        digest.update(block)
    return digest.hexdigest()


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > _LARGEST:
        raise ValueError(f"{member.name} has more than {_LARGEST} bytes")
    file = members.extractfile(member)
    assert file is not None
    return file.read()


@contextmanager
def opened_member(path: Path, kind: Literal["control", "data"]) -> Iterator[tarfile.TarFile]:
    """Open the tar archive in a package file (deb(5)) that holds its control files or its data, to be read from its
    beginning to its end.
    """
    with open_regular(path) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("no package file")
        while len(header := file.read(_HEADER)) == _HEADER:
            # control.tar.xz  1717171717  0     0     100644  1234      `\n
            name, size = str(header[:16].rstrip().rstrip(b"/"), "ascii"), int(header[48:58])
            start = file.tell()
            if name.startswith(f"{kind}.tar"):
                break
            file.seek(start + size + size % 2)
        else:
            raise ValueError(f"no {kind} archive")
        opener = _OPENERS.get(name.removeprefix(f"{kind}.tar"))
        if opener is not None:
            with opener(file) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as members:
                yield members
            return
    # A compression that Python does not know (zstd, as Ubuntu uses it).
    option = {"control": "--ctrl-tarfile", "data": "--fsys-tarfile"}[kind]
    with tempfile.TemporaryFile(dir=path.parent) as unpacked_file:
        process.run_to_file(["dpkg-deb", option, str(path)], unpacked_file, errors=False)
        unpacked_file.seek(0)
        with tarfile.open(fileobj=unpacked_file, mode="r|") as members:
            yield members


_OPENERS: Mapping[str, Callable[[IO[bytes]], ContextManager[Any]]] = {
    "": nullcontext,
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": lzma.LZMAFile,
}
