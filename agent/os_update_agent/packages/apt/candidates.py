"""Which updates apt can do together for a selection, and the reason for each that it cannot, found by simulating."""

from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Change, HeldBack, PackageState, Selection
from os_update_agent.packages.apt.commands import REFUSED_BY_YES
from os_update_agent.packages.apt.parse import Simulation, as_changes
from os_update_agent.packages.apt.preferences import SECURITY_FIRST, against
from os_update_agent.packages.selection import choose, matching, reason_against

# Asking apt why costs a simulation for each package; past this many the reason stays general.
EXPLAINED = 10

Simulate = Callable[..., Simulation]
Found = Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]


def candidates(simulate: Simulate, state: PackageState, selection: Selection) -> Found:
    """The changes that the selection comes to, with what they need, and everything newer that is held back.

    Raises PackageError when apt cannot plan at all.
    """
    preferences = SECURITY_FIRST if selection.security else ""
    full, is_allowed = _dist_upgrade(simulate, preferences)
    possible = as_changes(full, state)
    kept = _kept_back(simulate, state, selection, full)
    if selection.is_everything and is_allowed:
        return possible, tuple(kept)
    wanted, held = choose(possible, selection)
    updates = [change for change in wanted if change.before is not None and change.after is not None]
    attempt = _Attempt(simulate, preferences + "\n" + against(selection.exclude), state, selection)
    fitting, failing = attempt.fit((), updates)
    chosen = as_changes(attempt.simulation(fitting), state) if fitting else ()
    names = {change.name for change in chosen}
    held_back = [item for item in (*held, *failing, *kept) if item.name not in names]
    return chosen, tuple(sorted(held_back))


def _dist_upgrade(simulate: Simulate, preferences: str) -> Tuple[Simulation, bool]:
    """Return what apt would do to all packages, and whether it would do that without being asked: apt refuses some
    changes under -y, as the downgrade that a pin above 1000 asks for, or a change of a held package.
    """
    try:
        return simulate("dist-upgrade", preferences=preferences), True
    except PackageError:
        return simulate(*REFUSED_BY_YES, "dist-upgrade", preferences=preferences), False


class _Attempt:
    """Tries lists of updates: a list fits when apt can do it as a whole and, where that is asked for, removes
    nothing.
    """

    def __init__(self, simulate: Simulate, preferences: str, state: PackageState, selection: Selection) -> None:
        self._simulate = simulate
        self._preferences = preferences.strip()
        self._state = state
        self._selection = selection

    def simulation(self, updates: Sequence[Change]) -> Simulation:
        exact = [f"{_name(change)}={change.after.version}" for change in updates if change.after is not None]
        return self._simulate("install", "--only-upgrade", *exact, preferences=self._preferences)

    def fit(self, base: Sequence[Change], updates: Sequence[Change]) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """The longest part of the updates that fits on top of ``base``, found by halving, and the others with the
        reason.
        """
        if not updates:
            return tuple(base), ()
        reason = self._against([*base, *updates])
        if reason is None:
            return (*base, *updates), ()
        if len(updates) == 1:
            return tuple(base), (HeldBack(updates[0].name, reason),)
        middle = len(updates) // 2
        base, left = self.fit(base, updates[:middle])
        base, right = self.fit(base, updates[middle:])
        return tuple(base), (*left, *right)

    def _against(self, updates: Sequence[Change]) -> Optional[str]:
        try:
            simulation = self.simulation(updates)
        except PackageError as error:
            return str(error)
        if simulation.removed and not self._selection.removals:
            return f"would remove {', '.join(simulation.removed)} (removals: refuse)"
        for change in as_changes(simulation, self._state):
            if matching(change.package, self._selection.exclude):
                return f"would {'remove' if change.after is None else 'update'} {change.name} (exclude)"
        return None


def _kept_back(simulate: Simulate, state: PackageState, selection: Selection, full: Simulation) -> Iterable[HeldBack]:
    held: List[HeldBack] = []
    for count, name in enumerate((*full.kept_back, *full.deferred)):
        rows = [package for package in state.packages if package.name == name.partition(":")[0] and package.is_present]
        against_selection = (
            reason_against(Change(rows[0], rows[0]), selection) if rows and not selection.security else None
        )
        if against_selection is not None:
            held.append(HeldBack(name, against_selection))
        elif any(package.is_held for package in rows):
            held.append(HeldBack(name, "on hold"))
        elif name in full.deferred:
            held.append(HeldBack(name, "phased: the archive offers this update to some nodes first"))
        else:
            held.append(HeldBack(name, _why(simulate, name) if count < EXPLAINED else "apt keeps it back"))
    return held


def _why(simulate: Simulate, name: str) -> str:
    try:
        removed = simulate("install", "--only-upgrade", name).removed
    except PackageError as error:
        return str(error)
    return f"would remove {', '.join(removed)}" if removed else "apt keeps it back"


def _name(change: Change) -> str:
    package = change.package
    return package.name if package.arch == "all" else f"{package.name}:{package.arch}"
