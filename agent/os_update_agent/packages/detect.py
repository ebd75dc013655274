"""Which package manager this node has."""

import shutil
from pathlib import Path
from typing import Final, Literal

from os_update_agent.model.errors import PackageError
from os_update_agent.model.options import BackendName

Manager = Literal["apt", "dnf", "dnf5"]
APT: Final = "apt"
DNF4: Final = "dnf"
DNF5: Final = "dnf5"
_DEB_FAMILIES = ("debian", "ubuntu")
_RPM_FAMILIES = ("fedora", "rhel", "centos", "rocky", "almalinux", "suse")


def manager_of(name: BackendName) -> Manager:
    """Return the package manager that ``backend`` in agent.conf means: "dnf" is whichever dnf the node has, and "auto"
    takes the distribution as a hint. Raises PackageError.
    """
    if name == "auto":
        name = _of_this_node()
    if name == "dnf":
        return DNF5 if _is_dnf5() else DNF4
    return name


def _is_dnf5() -> bool:
    """Is the dnf of this node dnf 5? What "dnf" itself is decides (Fedora 41 and later), and only without it whether
    there is a dnf5.

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


def _of_this_node() -> Literal["apt", "dnf"]:
    """What the distribution suggests, where the node has it; else what the node has."""
    import distro  # reads files and takes its time to be imported: only when nobody has said which backend it is

    families = {distro.id(), *distro.like().split()}
    has_apt, has_rpm = bool(shutil.which("apt-get")), any(map(shutil.which, ("dnf", "dnf5", "yum")))
    if has_apt and (families & set(_DEB_FAMILIES) or not has_rpm):
        return "apt"
    if has_rpm and (families & set(_RPM_FAMILIES) or not has_apt):
        return "dnf"
    raise PackageError(
        f"the distribution {distro.id() or 'of this node'} is neither of the Debian nor of the Fedora family, or has"
        " not its package manager: set backend in agent.conf"
    )
