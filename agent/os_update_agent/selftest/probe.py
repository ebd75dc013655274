"""Loads what the worker of a package manager loads: ``python3 -I -B probe.py MANAGER``. Prints a JSON document.

It runs under the Python that the worker uses (3.6 or later) and opens neither a package database nor a repository.
"""

import json
import sys

# Appended, never first: this directory is no place for imports.
sys.path.append(__file__.rsplit("/", 3)[0])

_OURS = "os_update_agent.packages"
_MODULES = {
    "apt": ("apt_pkg", f"{_OURS}.apt.worker.desk"),
    "dnf": ("dnf", "hawkey", "libdnf", "rpm", f"{_OURS}.dnf.worker.dnf4.actions"),
    "dnf5": ("libdnf5", "rpm", f"{_OURS}.dnf.worker.dnf5.actions"),
}


def main(manager: str) -> None:
    """Print the version of this Python and of each module, and why a module cannot be loaded."""
    versions, errors = {}, {}
    for name in _MODULES[manager]:
        try:
            module = __import__(name, fromlist=["name"])
            versions[name] = str(getattr(module, "VERSION", getattr(module, "__version__", "")))
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
    document = {
        "python": list(sys.version_info[:3]),
        "program": sys.executable,
        "versions": versions,
        "errors": errors,
        "left_out": _left_out(manager, errors),
    }
    print(json.dumps(document))


def _left_out(manager: str, errors: "dict[str, str]") -> "list[str]":
    """Return the plugins that the worker does not load."""
    if manager != "dnf" or errors:
        return []
    from os_update_agent.packages.dnf.worker.dnf4 import dnf_base

    return list(dnf_base._LEFT_OUT)


if __name__ == "__main__":
    main(sys.argv[1])
