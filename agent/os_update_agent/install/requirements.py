"""The check for the library of the package manager, which the agent needs besides Python."""

from pathlib import Path

from os_update_agent.model.errors import AgentError

APT_LIBRARY = "python3-apt"
# Debian's Python packages of all versions of Python 3 lie in this directory.
_MODULES = "usr/lib/python3/dist-packages"


def lacks_apt_library(root: Path) -> bool:
    """Return whether a root has apt and not apt's library for Python."""
    return (root / "usr/bin/apt-get").exists() and not any((root / _MODULES).glob("apt_pkg.*.so"))


def check_library(root: Path) -> None:
    """Raise AgentError if a root has apt and not apt's library for Python."""
    if lacks_apt_library(root):
        raise AgentError(
            f"{APT_LIBRARY} is missing, through which the agent reads what apt's repositories have;"
            f" next: apt-get install {APT_LIBRARY}"
        )
