"""The files that dpkg's database lists for the installed packages (dpkg(1), "FILES"; deb-md5sums(5)).

dpkg records a checksum for regular files and nothing else: no type, no mode, no target of a link.

A file that another installed package Replaces is neither unpacked nor put into the list of its own package. Its
checksum stays recorded, so the checksums are read as well. A link that is lost so is known to the package file alone.
"""

import os
import re
from fnmatch import translate
from pathlib import Path
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_bytes, read_text
from os_update_agent.model.errors import PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.packages import Identity, Package
from os_update_agent.node import process
from os_update_agent.packages.file_faults import Listed

# dpkg reads its own settings there, also for another root.
_SETTINGS = Path("/etc/dpkg")

#  /etc/app.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
#  /etc/app.conf d4e7a7b88a71b5ffd9e2644e71a0cfab obsolete
#  /etc/app.conf newconffile
_CONFFILE = re.compile(
    r"(?P<path>/.*) (?:(?P<sum>[0-9a-f]{32})|newconffile)(?P<flags>(?: obsolete| remove-on-upgrade)*)"
)
# ./lib/systemd/system/system-systemd\\x2dcryptsetup.slice   ./usr/share/\303\244
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# path-exclude=/usr/share/doc/*
_FILTER = re.compile(r"\s*(?:--)?path-(?P<verb>exclude|include)(?:\s*=\s*|\s+)(?P<glob>/\S+)\s*")


class Look(NamedTuple):
    """The owner, the group and the mode of a file."""

    user: str
    group: str
    mode: int


def listed_files(
    admin: Path,
    packages: Sequence[Package],
    conffiles: Mapping[Tuple[str, str], str],
    changed: Collection[Identity],
    files: Mapping[Identity, Path],
) -> Iterator[Listed]:
    """Yield each path that the packages list, except for configuration files and those that dpkg's path-exclude leaves
    out.

    ``conffiles`` holds dpkg's text about the configuration files for the name and architecture of each package that has
    some. The content of the ``changed`` packages is listed, too. ``files`` are package files whose paths count as well.
    """
    moved = _all_diversions(admin)
    is_left_out = left_out(filter_lines())
    for package in packages:
        lines = conffiles.get((package.name, package.arch), "").split("\n")
        own_configuration = frozenset(match["path"] for match in map(_CONFFILE.match, map(str.strip, lines)) if match)
        sums = _sums(admin, package)
        own = frozenset(paths_of(admin, package))
        packed = frozenset(_packed(files[package.identity])) if package.identity in files else frozenset()
        name, arch, version = package.identity
        is_changed = package.identity in changed
        for path in (own | sums.keys() | packed) - own_configuration:
            if is_left_out is not None and is_left_out(path):
                continue
            place, by = moved.get(path, (path, name))
            known = sums.get(path, "") if path in own else ""
            yield Listed(
                *(path, path if by == name else place, name, arch, version),
                "file" if known else "any",
                known if is_changed else "",
            )


def _packed(file: Path) -> Iterator[str]:
    """Yield the paths in a package file."""
    yield from packed_paths(process.run(["dpkg-deb", "--contents", str(file)]).stdout)


def packed_paths(text: str) -> Iterator[str]:
    """Yield the paths in what dpkg-deb --contents prints. tar writes a backslash, and what cannot be printed, with a
    backslash (tar: quoting style "escape").
    """
    return (path for path, _ in _packed_rows(text))


def packed_looks(text: str, paths: Collection[str]) -> Dict[str, Look]:
    """Return how those of the paths look that are in what dpkg-deb --contents prints. Links have no look."""
    rows = ((path, fields) for path, fields in _packed_rows(text) if path in paths and fields[0][0] in "-dh")
    return {path: Look(*fields[1].partition("/")[::2], _mode(fields[0])) for path, fields in rows}


def _mode(shown: str) -> int:
    """Return the mode that ls and tar show as "-rwsr-xr-x"."""
    mode = 0
    for place, letter in enumerate(shown[1:10]):
        bit = 0o400 >> place
        mode |= bit if letter in "rwxst" else 0
        mode |= 0o4000 >> (place // 3) if letter in "sStT" else 0
    return mode


def _packed_rows(text: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield each path with the fields of its line: mode, owner, size, day, time, and the path as it is shown."""
    for line in text.split("\n"):
        # lrwxrwxrwx root/root         0 2026-01-02 10:11 ./usr/lib/libapp.so.1 -> libapp.so.1.0
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("./"):
            shown = fields[5].partition({"l": " -> ", "h": " link to "}.get(line[0], "\n"))[0]
            path = os.fsdecode(_ESCAPED.sub(_unescaped, os.fsencode(shown)))[1:].rstrip("/")
            if path:
                yield path, fields


def _unescaped(match: "re.Match[bytes]") -> bytes:
    found = match[1]
    return bytes([int(found, 8)]) if found.isdigit() else _ESCAPES.get(found, found)


def _sums(admin: Path, package: Package) -> Dict[str, str]:
    try:
        text = os.fsdecode(read_bytes(_information(admin, package, "md5sums"), RECORD_LIMIT))
    except OSError:
        return {}
    lines = (line.partition("  ") for line in text.split("\n"))
    return {f"/{path.removeprefix('./')}": checksum for checksum, _, path in lines if path}


def listed_paths(admin: Path, package: Package) -> Tuple[str, ...]:
    """Return the paths that an installed package lists. Raises OSError."""
    text = os.fsdecode(read_bytes(_information(admin, package, "list"), RECORD_LIMIT))
    return tuple(path for path in text.split("\n") if path not in ("", "/", "/."))


def paths_of(admin: Path, package: Package) -> Tuple[str, ...]:
    """The same; nothing for a package without a list. dpkg only warns of that."""
    try:
        return listed_paths(admin, package)
    except FileNotFoundError:
        return ()


def _information(admin: Path, package: Package, kind: str) -> Path:
    # Packages that are Multi-Arch: same have files with their architecture.
    with_arch = admin / f"info/{package.name}:{package.arch}.{kind}"
    return with_arch if with_arch.exists() else admin / f"info/{package.name}.{kind}"


def diversions(admin: Path, name: str) -> Dict[str, str]:
    try:
        return parse_diversions(os.fsdecode(read_bytes(admin / "diversions", RECORD_LIMIT)), name)
    except FileNotFoundError:
        return {}


def _all_diversions(admin: Path) -> Dict[str, Tuple[str, str]]:
    """Return where each diverted path is, and who diverts it (":" is nobody)."""
    try:
        lines = os.fsdecode(read_bytes(admin / "diversions", RECORD_LIMIT)).split("\n")
    except FileNotFoundError:
        return {}
    return {source: (target, by) for source, target, by in zip(lines[0::3], lines[1::3], lines[2::3])}


def parse_conffiles(text: str) -> Tuple[FrozenSet[str], FrozenSet[str]]:
    """The configuration files of a package's version, and those that only earlier versions had (obsolete, or to be
    removed).
    """
    current: Set[str] = set()
    obsolete: Set[str] = set()
    for line in text.split("\n"):
        if match := _CONFFILE.fullmatch(line.strip()):
            (obsolete if match["flags"] else current).add(match["path"])
        elif line.strip():
            raise PackageError(f"dpkg's database names a configuration file in an unknown way: {line.strip()!r}")
    return frozenset(current), frozenset(obsolete)


def packaged_texts(text: str, package: str = "") -> Dict[str, PackagedText]:
    """Return what a package has as the text of its configuration files, from dpkg-query's text about them.

    An obsolete file counts, too: an operator may have edited it as well.
    """
    found = map(_CONFFILE.fullmatch, map(str.strip, text.split("\n")))
    return {match["path"]: PackagedText("md5", match["sum"], package) for match in found if match and match["sum"]}


def registered_texts(database: Path) -> Dict[str, PackagedText]:
    """Return the same for the files that ucf has registered (ucf(1)): those that packages' scripts make."""
    try:
        registry = os.fsdecode(read_bytes(database / "registry", RECORD_LIMIT)).splitlines()
        hashes = os.fsdecode(read_bytes(database / "hashfile", RECORD_LIMIT)).splitlines()
    except OSError:
        return {}
    # openssh-server /etc/ssh/sshd_config          0bb5c2...  /etc/ssh/sshd_config
    owners = {path: package for package, _, path in (line.partition(" ") for line in registry)}
    rows = (line.split(None, 1) for line in hashes)
    return {row[1]: PackagedText("md5", row[0], owners.get(row[1], "")) for row in rows if len(row) == 2}


def parse_diversions(text: str, name: str) -> Dict[str, str]:
    """Return the new place of each diverted file of a package. dpkg's text has three lines for each diversion: the
    path, the new place, and the package that diverts (":" for the administrator).

    The files of the package that diverts stay in their places.
    """
    lines = text.split("\n")
    groups = zip(lines[0::3], lines[1::3], lines[2::3])
    return {source: target for source, target, owner in groups if owner != name}


def filter_lines() -> List[str]:
    """Return the lines of dpkg's settings, in the order in which dpkg reads them. What cannot be read is left out."""
    lines: List[str] = []
    for file in (*sorted((_SETTINGS / "dpkg.cfg.d").glob("*")), _SETTINGS / "dpkg.cfg"):
        try:
            lines += read_text(file, errors="replace").splitlines()
        except OSError:
            continue
    return lines


def left_out(lines: Sequence[str]) -> Optional[Callable[[str], bool]]:
    """Return the function that says whether dpkg leaves a path out, None if it leaves out none. The last glob that
    matches decides.
    """
    found = [match for match in map(_FILTER.fullmatch, lines) if match]
    rules = [(re.compile(translate(match["glob"])), match["verb"] == "exclude") for match in found]
    if not rules:
        return None

    def is_left_out(path: str) -> bool:
        return next((verdict for glob, verdict in reversed(rules) if glob.match(path)), False)

    return is_left_out
