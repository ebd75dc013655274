"""The last way to an old .deb that no repository has any more: build it again from the files of the installed package.

dpkg-deb only builds; dpkg's database says what belongs in. The result is not the original: every file that somebody has
changed goes in as it is on the disk. Of edited configuration files edited_texts.py puts in the packaged text.
"""

import contextlib
import logging
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, Mapping, Optional, Set, Tuple

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.packages import Package
from os_update_agent.node import process
from os_update_agent.packages.apt.dpkg_files import diversions, listed_paths, packaged_texts, parse_conffiles
from os_update_agent.packages.apt.edited_texts import EDITED_FIELD, Texts, with_packaged_texts
from os_update_agent.packages.apt.pack_sources import PackSources, copy_control, link_or_copy
from os_update_agent.packages.files import regular_size
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

# What dpkg adds to a package's own control record when it is installed (dpkg-query(1), deb-control(5)).
_DPKG_FIELDS = ("Status", "Config-Version", "Conffiles", "Triggers-Pending", "Triggers-Awaited")
# Links to /usr on a merged system that packages may still ship as directories; a directory over such a link changes
# nothing.
_MERGED = frozenset({"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32"})
# What images leave out with dpkg's path-exclude, as Debian's slim container images do.
_EXCLUDED = tuple(f"/usr/share/{name}/" for name in ("doc", "man", "locale", "info", "lintian", "linda", "groff"))
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class _Database:
    """What dpkg's database holds about one installed package. ``moved`` maps a path to where a diversion has put it."""

    control: str
    control_files: Tuple[Path, ...]
    paths: Tuple[str, ...]
    conffiles: FrozenSet[str]
    sums: Mapping[str, PackagedText]
    obsolete: FrozenSet[str]
    moved: Dict[str, str]
    installed_kb: int

    @property
    def current_texts(self) -> Dict[str, PackagedText]:
        """The packaged texts of the configuration files that this version has."""
        return {path: text for path, text in self.sums.items() if path in self.conffiles}

    @cached_property
    def parents(self) -> FrozenSet[str]:
        """All that has something below it, so that it is a directory in the package whatever it is on the disk."""
        found: Set[str] = set()
        for path in self.paths:
            while (path := os.path.dirname(path)) not in found and path != "/":
                found.add(path)
        return frozenset(found | _MERGED)


def repack(package: Package, root: Path, directory: Path) -> Path:
    """Build NAME_VERSION_ARCH.deb (a colon of the version as %3a) in ``directory`` from the files below ``root``; it is
    only ours to read.

    Where it can be, the files are hard links in a private directory beside the result: the originals are never written,
    not even their modes. Works without root's rights for files that may be read, which all become root's in the package
    then.

    Raises PackageError: the package is not installed in this version, a file is missing, or dpkg-deb complains.
    """
    result = directory / f"{package.name}_{package.version.replace(':', '%3a')}_{package.arch}.deb"
    try:
        database = _read_database(package, root)
        with _scratch(directory) as scratch:
            tree, built = scratch / "tree", scratch / "built.deb"
            _make_directory(tree)
            packed = _fill(tree, root, package, database)
            kept = [path for path in sorted(directory.glob(f"{package.name}_*.deb")) if regular_size(path) > 0]
            texts = with_packaged_texts(tree, root, database.current_texts, kept, packed)
            _write_control(tree / "DEBIAN", database, packed, texts)
            _build(tree, built)
            os.replace(built, result)
    except (OSError, CommandFailed) as error:
        raise PackageError(f"{package.label} cannot be packed again: {error}") from error
    return result


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A private directory that goes away again; tempfile.TemporaryDirectory would change modes of files that resist,
    which are not ours.
    """
    path = tempfile.mkdtemp(dir=directory, prefix=".repack-")
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path)


def _read_database(package: Package, root: Path) -> _Database:
    admin = root / "var/lib/dpkg"
    spec = f"{package.name}:{package.arch}"
    control = _query(admin, "--status", spec)
    version = re.search(r"^Version: (.*)$", control, re.MULTILINE)
    incomplete = re.search(r"^Status: .* (config-files|half-installed|not-installed)$", control, re.MULTILINE)
    if not version or version[1] != package.version or incomplete:
        raise PackageError(f"{package.label} cannot be packed again: it is not what is installed")
    text = _query(admin, "-W", "-f", "${Conffiles}\n", spec)
    conffiles, obsolete = parse_conffiles(text)
    files = _query(admin, "--control-path", spec).splitlines()
    listed = listed_paths(admin, package)
    return _Database(
        without_dpkg_fields(control),
        tuple(map(Path, files)),
        listed,
        conffiles,
        packaged_texts(text),
        obsolete,
        diversions(admin, package.name),
        int(size[1]) if (size := re.search(r"^Installed-Size: (\d{1,12})$", control, re.MULTILINE)) else 0,
    )


def without_dpkg_fields(record: str) -> str:
    """The control file of a package from its record in dpkg's database, without what an earlier rebuild has added."""
    kept, skipping = [], False
    for line in record.rstrip("\n").split("\n"):
        if not line.startswith((" ", "\t")):
            skipping = line.split(":")[0] in (*_DPKG_FIELDS, EDITED_FIELD)
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _query(admin: Path, *arguments: str) -> str:
    return process.run(["dpkg-query", f"--admindir={admin}", *arguments]).stdout


def _fill(tree: Path, root: Path, package: Package, database: _Database) -> Set[str]:
    """Put the files of the package into the tree; returns the paths that are there now."""
    packed: Set[str] = set()
    copied: Dict[Tuple[int, int], Path] = {}
    sources = PackSources(root, package.label, database.installed_kb)
    for path in sorted(set(database.paths) - database.obsolete):
        try:
            source, status = sources.find(database.moved.get(path, path), path, follow=path in database.conffiles)
        except FileNotFoundError as error:
            # An administrator may delete configuration files, and an image leave out documentation.
            if path in database.conffiles or path.startswith(_EXCLUDED):
                log.info(logged(package=package.label, path=path, packed="no", why="it is not on the disk"))
                continue
            raise PackageError(f"{package.label} cannot be packed again: {path} is missing") from error
        target = tree / path.lstrip("/")
        if stat.S_ISDIR(status.st_mode):
            _make_directory(target, status)
        elif stat.S_ISLNK(status.st_mode) and path in database.parents:
            _make_directory(target)
        else:
            _make_directory(target.parent)
            _place(source, status, target, copied)
        packed.add(path)
    return packed


def _make_directory(path: Path, status: Optional[os.stat_result] = None) -> None:
    """A directory whose mode no umask spoils; one without a status that is there already stays as it is."""
    if status is None and path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(status.st_mode) if status else _DIRECTORY_MODE
    if os.geteuid() != 0:
        mode |= stat.S_IRWXU  # else nothing could be put into it
    elif status:
        os.chown(path, status.st_uid, status.st_gid)
    path.chmod(mode)


def _place(source: Path, status: os.stat_result, target: Path, copied: Dict[Tuple[int, int], Path]) -> None:
    """One file that is no directory. A hard link shares the original's inode: nothing may be changed at it here."""
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
        return
    inode = (status.st_dev, status.st_ino)
    if link_or_copy(source, status, target, copied.get(inode, source)):
        copied[inode] = target


def _write_control(directory: Path, database: _Database, packed: Set[str], texts: Texts) -> None:
    directory.mkdir()
    directory.chmod(_DIRECTORY_MODE)
    for source in database.control_files:
        copy_control(source, directory / source.name.rsplit(".", 1)[1])
    (directory / "control").write_text(f"{database.control}{texts.field()}", encoding="utf-8")
    conffiles = sorted(database.conffiles & packed)
    if conffiles:
        (directory / "conffiles").write_text("".join(f"{path}\n" for path in conffiles), encoding="utf-8")


def _build(tree: Path, built: Path) -> None:
    # Without root's rights the files are ours; the package must not hand them to whoever has our number elsewhere.
    owner = [] if os.geteuid() == 0 else ["--root-owner-group"]
    process.run(
        ["dpkg-deb", *owner, "-Zgzip", "-z1", "--build", str(tree), str(built)], env={"TMPDIR": str(built.parent)}
    )
    built.chmod(0o600)  # it may hold configuration files with secrets
    with open(built, "rb") as file:
        os.fsync(file.fileno())
