"""How rpm is called: where the database of a root is, what is read from it and from package files, and what an exit
status means.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Dict, FrozenSet, List, Sequence

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.packages import Identity, Package
from os_update_agent.node.locks import holder
from os_update_agent.node.process import Completed, run
from os_update_agent.packages.disk_space import NewKernels
from os_update_agent.packages.dnf import answers
from os_update_agent.packages.dnf.client import database_below
from os_update_agent.packages.dnf.settings import DnfSettings, read_settings


@dataclass
class RpmCalls:
    """rpm on ``root``."""

    root: Path
    # Does this dnf read its settings from drop-in directories as well?
    reads_drop_ins: ClassVar[bool] = False

    def settings(self) -> DnfSettings:
        """What dnf.conf says. Raises PackageError where it cannot be read."""
        return read_settings(self.root, drop_ins=self.reads_drop_ins)

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """What package files will take on the disk: (name, architecture, version) -> KiB."""
        if not files:
            return {}
        return answers.parse_sizes(
            run(["rpm", "-qp", "--nosignature", "--queryformat", answers.STATE_FORMAT, *map(str, files)]).stdout
        )

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]:
        """All files of installed packages."""
        if not packages:
            return frozenset()
        return frozenset(self._rpm("-ql", *dict.fromkeys(package.name for package in packages)).splitlines())

    def new_kernels(self, files: Sequence[Path]) -> NewKernels:
        """What the package files put below /boot: the kernels in them, which are fewer than the packages of a
        kernel.
        """
        if not files:
            return NewKernels(0, 0)
        done = run(["rpm", "-qp", "--nosignature", "--queryformat", answers.FILES_FORMAT, *map(str, files)])
        return answers.parse_new_kernels(done.stdout)

    def _rpm(self, *arguments: str) -> str:
        try:
            done = run(["rpm", *self._root_options(), *arguments])
        except CommandFailed as error:
            raise PackageError(f"the package database cannot be read: {error}") from error
        complaints = complaints_of(done)
        if complaints:
            raise PackageError(f"the package database is damaged, or rpm is not well set up: {complaints[0]}")
        return done.stdout

    def _verify(self) -> bool:
        try:
            self._rpm("--verifydb")
        except PackageError:
            if not holder(self._rpm_lock):
                raise
            return False
        return True

    def _install_only(self) -> FrozenSet[str]:
        provides = self.settings().install_only
        done = run(
            ["rpm", *self._root_options(), "-q", "--whatprovides", "--queryformat", r"%{name}\t\n", *provides], ok=None
        )
        # "no package provides kernel-PAE" is no error, and is no line with a tab.
        return frozenset(line[:-1] for line in done.stdout.splitlines() if line.endswith("\t"))

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
        """Where the database is, below the root."""
        return database_below(self.root) if self._is_private else Path(evaluated("%{_dbpath}").lstrip("/"))


def complaints_of(done: Completed) -> List[str]:
    """What rpm complained of, which may end with 0 all the same; a warning is none.

    EL 9 warns at each call of a key that is too old for it: "Signature not supported. Hash algorithm SHA1 not
    available."
    """
    return [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("warning: ")]


@cache
def evaluated(macro: str) -> str:
    return run(["rpm", "--eval", macro]).stdout.strip()


def native_architecture() -> str:
    return evaluated("%{_arch}")
