"""rpm on one root: where its database is, how rpm is called, and what its exit status and complaints mean.

Facts (rpm(8), and measured): `rpm -qa` on a damaged database prints an error, lists nothing and ends with 0. A query
for several names ends with an error status if one of them is not installed.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Collection, Dict, FrozenSet, List, Mapping, Sequence, Tuple

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Identity, Package
from os_update_agent.node.locks import holder
from os_update_agent.node.process import Completed, run
from os_update_agent.packages.file_faults import FileFault
from os_update_agent.packages.installed_files import faults_of
from os_update_agent.packages.interruption import Instances
from os_update_agent.packages.rpm import parse
from os_update_agent.packages.rpm.place import database_below


@dataclass
class RpmCalls:
    """rpm on ``root``."""

    root: Path

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """Return what each package in the files takes on the disk: (name, architecture, version) -> KiB."""
        return parse.parse_sizes(_of_files(parse.STATE_FORMAT, files))

    def builds(self, files: Sequence[Path]) -> Dict[Path, str]:
        """Return the digest of each package file that can be read."""
        try:
            digests = parse.parse_builds(_of_files(parse.BUILD_FORMAT, files))
        except CommandFailed:
            # One of them is damaged: rpm names none of those that it has read.
            return {} if len(files) == 1 else {path: one for file in files for path, one in self.builds([file]).items()}
        return {file: digest for file, digest in zip(files, digests) if digest}

    def new_kernels(self, files: Sequence[Path]) -> NewKernels:
        """Return what the package files put below /boot. A kernel consists of several packages and counts once."""
        return parse.parse_new_kernels(_of_files(parse.FILES_FORMAT, files))

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]:
        """Return the paths of all files of installed packages. Raises PackageError."""
        if not packages:
            return frozenset()
        return frozenset(self._rpm("-ql", *dict.fromkeys(package.name for package in packages)).splitlines())

    def file_faults(
        self, changed: Collection[Identity] = (), files: Mapping[Identity, Path] = MappingProxyType({})
    ) -> Tuple[FileFault, ...]:
        """Return the files of the installed packages that are not there as rpm has them, without %config and %ghost.
        Raises PackageError.
        """
        listed = parse.parse_listed(self._rpm("-qa", "--queryformat", parse.LISTED_FORMAT), changed)
        return tuple(faults_of(listed, self.root))

    def packaged_texts(self) -> Mapping[str, PackagedText]:
        """Return the hash of the packaged text of each %config file. Raises PackageError."""
        return parse.parse_packaged_texts(self._rpm("-qa", "--configfiles", "--queryformat", parse.CONFIG_FORMAT))

    def _instances(self) -> Instances:
        """Return the installed packages with their numbers in the database. Raises PackageError."""
        return parse.parse_instances(self._rpm("-qa", "--queryformat", parse.INSTANCES_FORMAT))

    def _installed_since(
        self, moment: float, names: Collection[str], suggested: Collection[Identity]
    ) -> Tuple[str, ...]:
        """Return the names of the packages, given by name or identity, that were installed after ``moment`` (seconds
        since the epoch). Raises PackageError.
        """
        asked = dict.fromkeys((*names, *(identity[0] for identity in suggested)))
        done = run(["rpm", *self._root_options(), "-q", "--queryformat", parse.TIMES_FORMAT, *asked], ok=None)
        _check(done, "the package database cannot be read")
        return parse.parse_installed_since(done.stdout, moment, names, suggested)

    def _providers(self, provides: Sequence[str]) -> FrozenSet[str]:
        """Return the names of the installed packages that provide one of these."""
        done = run(
            ["rpm", *self._root_options(), "-q", "--whatprovides", "--queryformat", r"%{name}\t\n", *provides], ok=None
        )
        # "no package provides kernel-PAE" is no error, and is no line with a tab.
        return frozenset(line[:-1] for line in done.stdout.splitlines() if line.endswith("\t"))

    def _rpm(self, *arguments: str) -> str:
        """Return what rpm prints. Raises PackageError if it complains, whatever its exit status is."""
        try:
            done = run(["rpm", *self._root_options(), *arguments])
        except CommandFailed as error:
            raise PackageError(f"the package database cannot be read: {error}") from error
        _check(done, "the package database is damaged, or rpm is not well set up")
        return done.stdout

    def _verify(self) -> bool:
        """Verify the database. Returns False if another process holds its lock, which the verification needs. Raises
        PackageError.
        """
        try:
            self._rpm("--verifydb")
        except PackageError:
            if not holder(self._rpm_lock):
                raise
            return False
        return True

    def _root_options(self) -> List[str]:
        return ["--root", str(self.root), "--dbpath", f"/{self._dbpath}"] if self._is_private else []

    @property
    def _rpm_lock(self) -> Path:
        return self.root / self._dbpath / ".rpm.lock"

    @property
    def _is_private(self) -> bool:
        return self.root != Path("/")

    @property
    def _dbpath(self) -> Path:
        """The directory of the database, relative to the root."""
        return database_below(self.root) if self._is_private else Path(evaluated("%{_dbpath}").lstrip("/"))


@cache
def evaluated(macro: str) -> str:
    return run(["rpm", "--eval", macro]).stdout.strip()


def native_architecture() -> str:
    return evaluated("%{_arch}")


def _of_files(query_format: str, files: Sequence[Path]) -> str:
    if not files:
        return ""
    # The signatures were checked when the files were fetched.
    return run(["rpm", "-qp", "--nosignature", "--queryformat", query_format, *map(str, files)]).stdout


def _check(done: Completed, verdict: str) -> None:
    """Raise PackageError with the first complaint of rpm, which may end with 0 all the same.

    A warning is no complaint: at each call EL 9 warns of a key that is too old for it ("Signature not supported. Hash
    algorithm SHA1 not available.").
    """
    complaints = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("warning: ")]
    if complaints:
        raise PackageError(f"{verdict}: {complaints[0]}")
