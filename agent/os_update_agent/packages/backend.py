"""The small protocol that every package manager satisfies, and which one this node has."""

from pathlib import Path
from typing import IO, Dict, FrozenSet, Mapping, Optional, Protocol, Sequence, Tuple

from os_update_agent.errors import PackageError
from os_update_agent.model import Change, HeldBack, Identity, Package, PackageState, Selection, Slot, Transaction
from os_update_agent.packages.apt import Apt

Effect = FrozenSet[Tuple[Slot, Optional[str]]]

_DEB_FAMILIES = ("debian", "ubuntu")
_RPM_FAMILIES = ("fedora", "rhel", "centos", "rocky", "almalinux", "suse")


class Backend(Protocol):
    """Reads the package database and changes it; decides nothing. Raises PackageError, CommandFailed, Busy."""

    name: str

    def capture(self) -> PackageState: ...

    def wait(self) -> None: ...

    def interrupted(self) -> bool: ...

    def refresh(self) -> None: ...

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]: ...

    def effect(self, transaction: Transaction, *, forced: bool) -> Effect: ...

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, int], Tuple[Package, ...]]: ...

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]: ...

    def present_sizes(self) -> Dict[Identity, int]: ...

    def boot_bytes(self, files: Sequence[Path]) -> int: ...

    def file_name(self, package: Package) -> str: ...

    def fetch(self, packages: Sequence[Package]) -> None: ...

    def repack(self, package: Package) -> Path: ...

    def unpack(self, files: Sequence[Path], output: IO[bytes]) -> None: ...

    def repair(self, output: IO[bytes]) -> None: ...

    def settle(self) -> None: ...

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]: ...

    def purge(self, packages: Sequence[Package], output: IO[bytes]) -> None: ...

    def mark(self, packages: Sequence[Package], mark: str) -> None: ...

    def hold(self, packages: Sequence[Package]) -> None: ...


def backend_for(name: str, *, root: Path, archive: Path, work: Path, lock_timeout: float, config_files: str) -> Backend:
    """The backend that agent.conf names, or for "auto" the one that this node's distribution has. Raises PackageError."""
    if name == "auto":
        name = _of_this_node()
    if name != "apt":
        raise PackageError(f"this version of os-update-agent updates with apt only; this node needs {name}")
    return Apt(root, archive, work, lock_timeout, config_files)


def _of_this_node() -> str:
    import distro  # reads files and takes its time to be imported: only when nobody has said which backend it is

    families = {distro.id(), *distro.like().split()}
    if families & set(_DEB_FAMILIES):
        return "apt"
    if families & set(_RPM_FAMILIES):
        return "dnf"
    raise PackageError(
        f"the distribution {distro.id() or 'of this node'} is neither of the Debian nor of the Fedora family: set backend in agent.conf"
    )
