"""The one place that knows every implementation of Backend."""

from pathlib import Path

from os_update_agent.model.options import BackendName, ConfigFiles
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.detect import APT, DNF4, DNF5, manager_of


def backend_for(
    name: BackendName,
    *,
    root: Path,
    archive: Path,
    work: Path,
    lock_timeout: float,
    config_files: ConfigFiles,
    value: str = "",
) -> Backend:
    """Return the backend that agent.conf names, or for "auto" the one of this node.

    ``archive`` and ``work`` are directories for package files and for generated files, ``lock_timeout`` is in seconds.
    ``value`` goes into the package manager's own history, if that takes a comment. Raises PackageError.
    """
    manager = manager_of(name)
    if manager == APT:
        from os_update_agent.packages.apt.backend import Apt  # late: no node needs two of them

        return Apt(root, archive, work, lock_timeout, config_files)
    if manager == DNF5:
        from os_update_agent.packages.dnf.dnf5 import Dnf5

        return Dnf5(root, archive, work, lock_timeout, config_files, value)
    if manager == DNF4:
        from os_update_agent.packages.dnf.dnf4 import Dnf4

        return Dnf4(root, archive, work, lock_timeout, config_files, value)
