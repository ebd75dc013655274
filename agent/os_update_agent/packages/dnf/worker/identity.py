"""What names a package and its place, the same for each dnf. Runs in the worker, Python 3.6."""

from typing import Any, Callable, Dict, Iterable, List, Sequence

from os_update_agent.packages.dnf.protocol import Identity


def evr(epoch: Any, version: Any, release: Any) -> str:
    """Return [epoch:]version-release; an epoch of 0 is not spelled."""
    return "{}{}-{}".format("" if str(epoch or "0") == "0" else f"{epoch}:", version, release)


def slot(name: str, arch: str, native: str) -> str:
    """Return the place that a package takes. At most one version can be there, unless the package is install-only."""
    return name if arch in (native, "noarch") else f"{name}.{arch}"


def in_order(wanted: Iterable[Identity], packages: Iterable[Any], row: Callable[[Any], Identity]) -> List[List[Any]]:
    """Return the packages of each wanted identity, in the order of ``wanted``; [] for an identity without one."""
    found: Dict[Identity, List[Any]] = {}
    for pkg in packages:
        found.setdefault(row(pkg), []).append(pkg)
    return [found.get(identity, []) for identity in wanted]


def names_of(identities: Iterable[Identity]) -> Sequence[str]:
    return sorted({name for name, _, _ in identities})
