"""The kept package files (law 3): what is there, fetch, check, prune.

A package manager does not check the signature of a file that it is given by path, so the agent keeps the sha256 of each
file: what the signed index says, which the package manager has checked, else its own. It is compared again before the
file is used.
"""

import logging
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Collection, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from os_update_agent.ledger import Ledger
from os_update_agent.model.builds import file_word
from os_update_agent.model.errors import AgentError, NotRestorable, PackageError
from os_update_agent.model.package_files import ArchiveEntry, Build, Offer
from os_update_agent.model.packages import Identity, Package
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.disk_space import existing, free_bytes
from os_update_agent.packages.files import (
    adopted,
    checksum,
    drop,
    drop_unfinished,
    mark_of,
    onto_the_disk,
    regular_size,
    unreadable,
)
from os_update_agent.packages.kept_files import KeptFiles, unneeded
from os_update_agent.text.log_lines import logged
from os_update_agent.text.phrases import amount

log = logging.getLogger(__name__)

# The disk writes what it is asked for at the same time in one go; one file after the other costs a turn for each.
_AT_ONCE = 8

# Where files are made ready; what a kill has left of them is nobody's.
_STAGING = (".fetch-*", ".repack-*")

REPOSITORY = "repository"
REPACK = "repack"


def missing(directory: Path, ledger: Ledger, packages: Sequence[Package]) -> Tuple[Package, ...]:
    """Which of the packages have no file in the directory of the size that the ledger says."""
    return _missing(directory, KeptFiles(ledger.archive_entries()), packages)


def _missing(directory: Path, kept: KeptFiles, packages: Sequence[Package]) -> Tuple[Package, ...]:
    found = [(package, kept.of(package)) for package in packages]
    return tuple(package for package, entry in found if entry is None or not _is_there(directory, entry))


def _is_there(directory: Path, entry: ArchiveEntry) -> bool:
    return regular_size(directory / entry.file) == entry.size


class Archive:
    """The files below ``directory`` that the ledger knows. What the ledger does not know is not trusted."""

    def __init__(self, directory: Path, ledger: Ledger, backend: Backend) -> None:
        self.directory = directory
        self._ledger = ledger
        self._backend = backend
        self._sound: Dict[str, Tuple[int, int, int]] = {}
        self._disk = ThreadPoolExecutor(_AT_ONCE)
        self._on_the_way: Dict[Build, Tuple[ArchiveEntry, Future[None]]] = {}
        # The builds that have come from the repositories, and packages of which these have only another build.
        self.fetched: Dict[Identity, str] = {}
        self._foreign: Set[Package] = set()

    def prepare(self) -> None:
        """Make the directory, for the agent's eyes only. Raises AgentError where that is impossible."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"the archive {self.directory} cannot be made: {error.strerror}") from error

    def rebuilt(self, packages: Iterable[Package]) -> Tuple[Package, ...]:
        """Return the packages whose file was rebuilt from the installed files."""
        kept = self._kept()
        found = ((package, kept.of(package)) for package in packages)
        return tuple(package for package, entry in found if entry is not None and entry.origin == REPACK)

    def missing(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """Which of the packages have no file here of the size that the ledger says."""
        missing = _missing(self.directory, self._kept(), packages)
        # A planned other build is whatever the repository has now.
        return tuple(package for package in missing if not (package.is_planned and package.identity in self.fetched))

    def obtain(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """See that sound files of exactly these builds are here, from the repositories where they are not. Returns what
        nobody has. Raises PackageError.
        """
        self._drop_damaged(packages)
        self._look_into(packages)
        missing = self.missing(packages)
        wanted = [package for package in missing if package not in self._foreign]
        # A repository has one build of a version: it is fetched once, and looked at.
        first: Dict[Identity, Package] = {}
        for package in wanted:
            first.setdefault(package.identity, package)
        asked = tuple(first.values())
        if not asked:
            return missing
        available, _ = self._backend.available(asked)
        self.check_room(sum(offer.size for offer in available.values()))
        self._set_aside(tuple(available))
        for package, offer in available.items():
            drop_unfinished(self.directory / self._backend.file_name(package), offer)
        self._backend.fetch(tuple(available))
        self._adopt(available, REPOSITORY, {package.identity for package in wanted if package.digest})
        missing = self.missing(packages)
        self._foreign.update(package for package in missing if package.identity in self.fetched)
        return missing

    def _look_into(self, packages: Sequence[Package]) -> None:
        """Find out which builds are in the kept files that may be those of the packages."""
        entries = self._kept().unproven(packages)
        paths = {self.directory / entry.file: entry for entry in entries if _is_there(self.directory, entry)}
        if paths:
            found = self._backend.builds(tuple(paths))
            self._ledger.replace_archive_entries(
                paths.values(), [entry._replace(digest=found[path]) for path, entry in paths.items() if path in found]
            )

    def _set_aside(self, packages: Sequence[Package]) -> None:
        """Give the files of other builds another name before files of the packages come."""
        kept = self._kept()
        for package in packages:
            for entry in kept.in_place_of(package, self._backend.file_name(package)):
                if not _is_there(self.directory, entry):
                    self._drop(entry)
                    continue
                stem, suffix = os.path.splitext(entry.file)
                other = entry._replace(file=f"{stem}.{file_word(entry.digest)}{suffix}")
                self.flush()
                shutil.copy2(self.directory / entry.file, self.directory / other.file)
                onto_the_disk(self.directory / other.file)
                onto_the_disk(self.directory)
                self._ledger.replace_archive_entries([entry], [other])
                (self.directory / entry.file).unlink()

    def _drop_damaged(self, packages: Sequence[Package]) -> None:
        """Forget files that have changed since they were kept, while there is still time to get them anew."""
        kept = self._kept()
        found = (kept.of(package) for package in packages)
        entries = [entry for entry in found if entry is not None and _is_there(self.directory, entry)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sound = list(pool.map(self._is_sound, entries))
        for entry, is_sound in zip(entries, sound):
            if not is_sound:
                log.warning(logged(archive=entry.file, dropped="yes", why="it is damaged"))
                self._drop(entry)

    def _is_sound(self, entry: ArchiveEntry) -> bool:
        """Is the file what it was when it was kept? One that this run has read, and nobody has written since, is not
        read again.
        """
        path = self.directory / entry.file
        try:
            found = os.lstat(path)
        except OSError as error:
            raise unreadable(path, error) from error
        mark = mark_of(found)
        if self._sound.get(entry.file) != mark:
            if checksum(path) != entry.sha256:
                return False
            self._sound[entry.file] = mark
        return True

    def _drop(self, entry: ArchiveEntry) -> None:
        self._on_the_way.pop(entry.build, None)
        self._ledger.drop_archive_entries([entry])
        drop(self.directory / entry.file)

    def repack(self, packages: Sequence[Package]) -> Mapping[Package, str]:
        """Rebuild the files of installed packages. Returns those that cannot be rebuilt, with the reason."""
        done: List[Package] = []
        failed: Dict[Package, str] = {}
        self._set_aside(packages)
        for package in packages:
            try:
                self._backend.repack(package)
                done.append(package)
            except AgentError as error:
                failed[package] = str(error)
        self._adopt(dict.fromkeys(done, Offer(0)), REPACK)
        return failed

    def _adopt(self, offers: Mapping[Package, Offer], origin: str, looked_into: Collection[Identity] = ()) -> None:
        """Take new files over; find out which builds those of ``looked_into`` are."""
        paths = [self.directory / self._backend.file_name(package) for package in offers]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            not_told = [path for path, offer in zip(paths, offers.values()) if offer.installed_kb is None]
            asked = pool.submit(self._backend.installed_sizes, not_told)
            kept = list(pool.map(adopted, paths, offers.values()))
        sizes = asked.result()
        looked_at = [path for path, package in zip(paths, offers) if package.identity in looked_into]
        builds = self._backend.builds(looked_at) if looked_at else {}
        for (package, offer), path, (sha256, found) in zip(offers.items(), paths, kept):
            # A rebuilt file stands for the installed one.
            build = package.digest if origin == REPACK else builds.get(path, "")
            if not build and package.identity in looked_into:
                log.warning(logged(package=package.label, kept="no", why="its file cannot be read"))
                path.unlink(missing_ok=True)
                continue
            installed = sizes.get(package.identity, 0) if offer.installed_kb is None else offer.installed_kb
            entry = ArchiveEntry(path.name, *package.identity, sha256, found.st_size, installed, origin, build)
            if origin == REPOSITORY:
                self.fetched[entry.identity] = build
            self._on_the_way[entry.build] = entry, self._disk.submit(onto_the_disk, path)
            self._sound[path.name] = mark_of(found)

    def flush(self) -> None:
        """Return when what was obtained is there after a power cut, too: only then the ledger has it. Raises
        PackageError; what could not be written is gone then.
        """
        on_the_way, self._on_the_way = self._on_the_way, {}
        errors = {entry: one.exception() for entry, one in on_the_way.values()}
        written = [entry for entry, error in errors.items() if error is None]
        if written:
            onto_the_disk(self.directory)
            self._ledger.add_archive_entries(written)
        for entry in errors.keys() - set(written):
            with suppress(OSError):
                (self.directory / entry.file).unlink(missing_ok=True)
        for error in errors.values():
            if error is not None:
                raise error

    def _kept(self) -> KeptFiles:
        """What the ledger has, and what is on its way to the disk."""
        stored = (entry for entry in self._ledger.archive_entries() if entry.build not in self._on_the_way)
        return KeptFiles((*stored, *(entry for entry, _ in self._on_the_way.values())))

    def files(self, packages: Sequence[Package], *, only_look: bool = False) -> Tuple[Path, ...]:
        """The checked files of the packages; a damaged one is dropped from the archive. With ``only_look`` nothing is
        read, and nothing dropped. Raises NotRestorable that names what is missing.
        """
        kept = self._kept()
        paths: List[Path] = []
        lost: List[str] = []
        for package in packages:
            entry = kept.of(package)
            path = self.directory / entry.file if entry else self.directory
            if entry is None or not _is_there(self.directory, entry) or not (only_look or self._is_sound(entry)):
                if entry is not None and not only_look:
                    self._drop(entry)
                lost.append(package.label)
            else:
                paths.append(path)
        if lost:
            raise NotRestorable(f"the archive has no sound file for {', '.join(lost)}")
        return tuple(paths)

    def installed_kb(self, packages: Sequence[Package]) -> Dict[Identity, int]:
        kept = self._kept()
        entries = (kept.of(package) for package in packages)
        return {entry.identity: entry.installed_kb for entry in entries if entry is not None}

    def prune(self, needed: Iterable[Package]) -> Tuple[int, int]:
        """Drop every file that no kept state needs, and what the ledger does not know. Returns (files, bytes) that
        went.
        """
        gone = unneeded(self._ledger.archive_entries(), needed)
        self._ledger.drop_archive_entries(gone)
        known = self._ledger.archive_files()
        files = size = 0
        for path in self.directory.iterdir() if self.directory.is_dir() else ():
            if path.name not in known and path.name != "lock" and path.is_file():
                size += path.stat().st_size
                path.unlink()
                files += 1
        for place in (found for pattern in _STAGING for found in self.directory.glob(pattern)):
            left = [found.lstat().st_size for found in place.rglob("*") if found.is_file() and not found.is_symlink()]
            shutil.rmtree(place, ignore_errors=True)
            files, size = files + len(left), size + sum(left)
        return files, size

    def check_room(self, size: int) -> None:
        """Raises PackageError where the disk has no room for so many bytes of package files."""
        free = free_bytes(existing(self.directory))
        if size > free:
            raise PackageError(
                f"not enough space for the package files: {amount(size)} are needed, {amount(free)} are free in"
                f" {self.directory}"
            )
