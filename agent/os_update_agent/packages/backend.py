"""The small protocol that every package manager satisfies."""

from pathlib import Path
from typing import IO, ContextManager, Dict, FrozenSet, Mapping, Optional, Protocol, Sequence, Tuple

from os_update_agent.model.packages import (
    Change,
    HeldBack,
    Identity,
    NewKernels,
    Offer,
    Package,
    PackageState,
    Selection,
    Slot,
    Transaction,
)
from os_update_agent.node.locks import Held
from os_update_agent.packages.detect import APT, DNF5, manager_of

Effect = FrozenSet[Tuple[Slot, Optional[str]]]


class Backend(Protocol):
    """Reads the package database and changes it; decides nothing. Raises PackageError, CommandFailed, Busy."""

    name: str
    # Can it rebuild the file of an installed package?
    repacks: bool

    def capture(self) -> PackageState: ...

    def wait(self) -> None: ...

    def held(self) -> Optional[Held]: ...

    def interrupted(self) -> bool: ...

    def refresh(self) -> None: ...

    def candidates(
        self, state: PackageState, selection: Selection
    ) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]: ...

    def security_of(self, state: PackageState, changes: Sequence[Change]) -> FrozenSet[str]: ...

    def effect(self, transaction: Transaction, *, forced: bool) -> Effect: ...

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]: ...

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]: ...

    def present_sizes(self) -> Dict[Identity, int]: ...

    def kernels(self, packages: Sequence[Package]) -> Tuple[Package, ...]: ...

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]: ...

    def asks_for_boot(self, since: float) -> Tuple[str, ...]: ...

    def boot_names(self) -> Tuple[str, ...]: ...

    def boot_suggested(self) -> FrozenSet[Identity]: ...

    def new_kernels(self, files: Sequence[Path]) -> NewKernels: ...

    def file_name(self, package: Package) -> str: ...

    def fetch(self, packages: Sequence[Package]) -> None: ...

    def repack(self, package: Package) -> Path: ...

    def unpack(self, files: Sequence[Path], output: IO[bytes]) -> None: ...

    def repair(self, output: IO[bytes]) -> Tuple[str, ...]: ...

    def settle(self, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]: ...

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]: ...

    def purge(self, packages: Sequence[Package], output: IO[bytes]) -> None: ...

    def mark(self, packages: Sequence[Package], mark: str) -> None: ...

    def hold(self, packages: Sequence[Package]) -> None: ...

    def session(self) -> ContextManager[None]:
        """While it lasts the backend may keep processes and what they have read; they are ended behind it."""
        ...


def backend_for(
    name: str,
    *,
    root: Path,
    archive: Path,
    work: Path,
    lock_timeout: float,
    config_files: str,
    value: str = "",
) -> Backend:
    """The backend that agent.conf names, or for "auto" the one that this node has.

    ``value`` is told to the package manager's own history, where that takes a comment. Raises PackageError.
    """
    manager = manager_of(name)
    if manager == APT:
        from os_update_agent.packages.apt.backend import Apt  # late: no node needs two of them

        return Apt(root, archive, work, lock_timeout, config_files)
    if manager == DNF5:
        from os_update_agent.packages.dnf.dnf5 import Dnf5

        return Dnf5(root, archive, work, lock_timeout, config_files, value)
    from os_update_agent.packages.dnf.dnf4 import Dnf4

    return Dnf4(root, archive, work, lock_timeout, config_files, value)
