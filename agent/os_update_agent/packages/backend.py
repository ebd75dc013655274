"""The small protocol that every package manager satisfies, and which one this node has."""

import shutil
from pathlib import Path
from typing import IO, ContextManager, Dict, FrozenSet, Mapping, Optional, Protocol, Sequence, Tuple

from os_update_agent.errors import PackageError
from os_update_agent.model import Change, HeldBack, Identity, Package, PackageState, Selection, Slot, Transaction
from os_update_agent.node.lock import Held
from os_update_agent.packages.space import NewKernels

Effect = FrozenSet[Tuple[Slot, Optional[str]]]

_DEB_FAMILIES = ("debian", "ubuntu")
_RPM_FAMILIES = ("fedora", "rhel", "centos", "rocky", "almalinux", "suse")


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

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]: ...

    def security_of(self, state: PackageState, changes: Sequence[Change]) -> FrozenSet[str]: ...

    def effect(self, transaction: Transaction, *, forced: bool) -> Effect: ...

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, int], Tuple[Package, ...]]: ...

    def announced_sizes(self, packages: Sequence[Package]) -> Dict[Identity, int]: ...

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


def backend_for(name: str, *, root: Path, archive: Path, work: Path, lock_timeout: float, config_files: str, value: str = "") -> Backend:
    """The backend that agent.conf names, or for "auto" the one that this node has; the distribution is the hint.

    ``value`` is told to the package manager's own history, where that takes a comment. Raises PackageError.
    """
    if name == "auto":
        name = _of_this_node()
    if name == "apt":
        from os_update_agent.packages.apt import Apt  # late: no node needs two of them

        return Apt(root, archive, work, lock_timeout, config_files)
    if name == "dnf5" or _is_dnf5():
        from os_update_agent.packages.dnf5 import Dnf5

        return Dnf5(root, archive, work, lock_timeout, config_files, value)
    from os_update_agent.packages.dnf import Dnf4

    return Dnf4(root, archive, work, lock_timeout, config_files, value)


def _is_dnf5() -> bool:
    """Is the dnf of this node dnf 5? What "dnf" itself is decides (Fedora 41 and later), and only without it whether there is a dnf5.

    Raises PackageError where there is neither.
    """
    dnf = shutil.which("dnf")
    if dnf:
        return Path(dnf).resolve().name == "dnf5"
    if shutil.which("dnf5"):
        return True
    if shutil.which("yum"):
        raise PackageError(
            "yum 3 (Enterprise Linux 7) is not supported: it cannot restore a package state by documented means; "
            "os-update-agent knows apt, dnf 4 and dnf 5 (Enterprise Linux 8 and later, Fedora)"
        )
    raise PackageError("this node should have dnf, and has neither dnf nor yum")


def _of_this_node() -> str:
    """What the distribution suggests, where the node has it; else what the node has."""
    import distro  # reads files and takes its time to be imported: only when nobody has said which backend it is

    families = {distro.id(), *distro.like().split()}
    has_apt, has_rpm = bool(shutil.which("apt-get")), any(map(shutil.which, ("dnf", "dnf5", "yum")))
    if has_apt and (families & set(_DEB_FAMILIES) or not has_rpm):
        return "apt"
    if has_rpm and (families & set(_RPM_FAMILIES) or not has_apt):
        return "dnf"
    raise PackageError(
        f"the distribution {distro.id() or 'of this node'} is neither of the Debian nor of the Fedora family, or has not its package "
        "manager: set backend in agent.conf"
    )
