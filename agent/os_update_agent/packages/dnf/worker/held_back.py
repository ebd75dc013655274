"""Which newer packages a plan leaves out, and why: the part of it that each dnf shares. Runs in the worker, Python
3.6.
"""

from typing import Any, Callable, Collection, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from os_update_agent.packages.dnf.protocol import Candidates
from os_update_agent.packages.globs import first_match

# The solver takes a solution for each package that it explains; beyond this number the reason stays general.
EXPLAINED = 10


class Newer(NamedTuple):
    """The newest version of an installed package, as a package of whichever dnf."""

    name: str
    arch: str
    pkg: Any


class Hidden:
    """What is kept from the solver, and why: excluded names, locked versions, and packages that would remove others."""

    def __init__(self) -> None:
        self.locked: Set[str] = set()
        self.reasons: Dict[str, str] = {}

    def hide(self, packages: Sequence[Any]) -> None:
        """Keep packages of the repositories from the solver."""
        raise NotImplementedError

    def remover(self, pkg: Any, name: str, gone: Sequence[str]) -> None:
        """Hide a package that would remove others, and note the reason for it and for each of them."""
        reason = "would remove {} (removals: refuse)".format(", ".join(gone))
        self.reasons[name] = reason
        for other in gone:
            self.reasons.setdefault(other, f"{name} {reason}")
        self.hide([pkg])


def held_back(
    request: Candidates,
    newer: Iterable[Newer],
    hidden: Hidden,
    *,
    planned: Collection[str],
    installed: Collection[str],
    against: Callable[[Any], Optional[str]],
    why: Callable[[Any], str],
) -> List[Tuple[str, str]]:
    """Return each name that has a newer version and is not in ``planned``, with the reason, in order.

    ``against`` returns the reason in dnf's own settings, None if there is none; ``why`` asks the solver, which takes
    long. Installed packages that a hidden package would have removed are among the names.
    """
    held: Dict[str, str] = {}
    asked = 0
    for name, arch, pkg in sorted(newer, key=lambda found: _order(found.name, found.arch, request)):
        if name in planned or name in held:
            continue
        reason = _against(request, hidden, name, arch) or against(pkg)
        if reason is None:
            asked += 1
            reason = why(pkg) if asked <= EXPLAINED else "dnf cannot install it"
        held[name] = reason
    for name, reason in hidden.reasons.items():
        if name in installed:
            held.setdefault(name, reason)
    return sorted(held.items())


def _order(name: str, arch: str, request: Candidates) -> Tuple[str, bool, bool, bool]:
    """Sort the architecture first that an option means: why that one is held back holds the others back as well."""
    excluded, selected = (first_match(name, arch, globs) is None for globs in (request.exclude, request.packages))
    return name, excluded, selected, arch != request.native


def _against(request: Candidates, hidden: Hidden, name: str, arch: str) -> Optional[str]:
    """Return the option or the lock that leaves the package out; None if there is none."""
    excluded = first_match(name, arch, request.exclude)
    if excluded:
        return f"excluded by {excluded!r} (exclude)"
    if request.packages and not first_match(name, arch, request.packages):
        return "not selected (packages)"
    if name in hidden.locked:
        return "locked by dnf's versionlock"
    return hidden.reasons.get(name)
