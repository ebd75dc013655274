"""The choice of the updates that apt can do together for a selection, and the reason against each other one. Pure: a
Planner answers its questions.
"""

from typing import Dict, Iterable, List, Optional, Protocol, Sequence, Set, Tuple

from os_update_agent.model.packages import Change, HeldBack, PackageState, Selection
from os_update_agent.packages.apt.answers import as_changes
from os_update_agent.packages.apt.protocol import Attempted, Kept, Update, Upgraded
from os_update_agent.packages.selection import choose, matching, reason_against

Found = Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]


class Planner(Protocol):
    """The planner for one selection: apt's worker, with the selection's pins."""

    def upgrade(self) -> Upgraded:
        """Return what ``apt-get dist-upgrade`` would do, and what it leaves out."""
        ...

    def attempt(self, base: Sequence[Update], updates: Sequence[Update]) -> Attempted:
        """Return what the updates come to together with ``base``."""
        ...


def candidates(planner: Planner, state: PackageState, selection: Selection) -> Found:
    """The changes that the selection comes to, with what they need, and everything newer that is held back.

    Raises PackageError when apt cannot plan at all.
    """
    full = planner.upgrade()
    possible = as_changes(full.steps, state)
    if selection.is_everything and not full.refused:
        return possible, _held_back(full.kept, state, selection, _labels(possible, state))
    wanted = choose(possible, selection)[0]
    updates = [change for change in wanted if change.before is not None and change.after is not None]
    updates += _asked_for(full.kept, state, selection)
    attempt = _Attempt(planner, state, selection)
    fitting, failing = attempt.fit((), updates)
    fitting, more = attempt.fit(fitting, _spared(full, attempt.chosen, {*updates}, state, selection))
    failing = (*failing, *more)
    chosen = attempt.chosen if fitting else ()
    names = _labels(chosen, state)
    held = _left_out(possible, state, selection)
    kept = _held_back(full.kept, state, selection, names | {item.name for item in failing})
    goes = _would_go(wanted, state, selection, {*names, *(item.name for item in (*failing, *kept))})
    held_back = {*kept, *(item for item in (*held, *failing, *goes) if item.name not in names)}
    return chosen, tuple(sorted(held_back))


class _Attempt:
    """Tries lists of updates: a list fits when apt can do it as a whole and, where that is asked for, removes
    nothing. ``chosen`` are the changes of the last list that fits.
    """

    def __init__(self, planner: Planner, state: PackageState, selection: Selection) -> None:
        self._planner = planner
        self._state = state
        self._selection = selection
        self.chosen: Tuple[Change, ...] = ()

    def fit(self, base: Sequence[Change], updates: Sequence[Change]) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """The longest part of the updates that fits on top of ``base``, found by halving, and the others with the
        reason. Those that are impossible in any case are left out first.
        """
        if not updates:
            return tuple(base), ()
        reason, impossible = self._against(base, updates)
        out = {name: why for name, why in impossible if len(updates) > 1}
        if out:
            names = [_name(change, self._state) for change in updates]
            held = [HeldBack(name, out[name]) for name in names if name in out]
            base, more = self.fit(base, [change for change, name in zip(updates, names) if name not in out])
            return tuple(base), (*held, *more)
        if reason is None:
            return (*base, *updates), ()
        if len(updates) == 1:
            return tuple(base), (HeldBack(_name(updates[0], self._state), reason),)
        middle = len(updates) // 2
        base, left = self.fit(base, updates[:middle])
        base, right = self.fit(base, updates[middle:])
        return tuple(base), (*left, *right)

    def _against(
        self, base: Sequence[Change], updates: Sequence[Change]
    ) -> Tuple[Optional[str], Sequence[Tuple[str, str]]]:
        """Return why the updates do not fit (None if they do), and those that are impossible in any case."""
        attempted = self._planner.attempt(tuple(map(self._update, base)), tuple(map(self._update, updates)))
        if attempted.refused:
            return attempted.refused, attempted.impossible
        changes = as_changes(attempted.steps, self._state)
        removed = [_name(change, self._state) for change in changes if change.after is None]
        if removed and not self._selection.removals:
            return f"would remove {', '.join(removed)} (removals: refuse)", ()
        for change in changes:
            if matching(change.package, self._selection.exclude):
                do = "remove" if change.after is None else "update"
                return f"would {do} {_name(change, self._state)} (exclude)", ()
        self.chosen = changes
        return None, ()

    def _update(self, change: Change) -> Update:
        package = change.package
        foreign = self._state.slot(package)[1]
        return Update(package.name, foreign, package.version)


def _asked_for(kept: Iterable[Kept], state: PackageState, selection: Selection) -> List[Change]:
    """Return the updates that an upgrade of everything leaves out and the selection asks for by name."""
    if not selection.packages:
        return []
    updates = as_changes([each.step for each in kept if each.may_try], state)
    return [change for change in updates if change.before is not None and reason_against(change, selection) is None]


def _spared(
    full: Upgraded, chosen: Sequence[Change], tried: Set[Change], state: PackageState, selection: Selection
) -> List[Change]:
    """Return the updates of packages that an upgrade of everything would remove and the chosen updates do not."""
    removed = {(step.name, step.foreign) for step in full.steps if step.version is None}
    removed -= {state.slot(change.package) for change in chosen if change.after is None}
    steps = [each.step for each in full.kept if each.may_try and (each.step.name, each.step.foreign) in removed]
    updates = as_changes(steps, state)
    return [change for change in updates if change not in tried and reason_against(change, selection) is None]


def _held_back(
    kept: Iterable[Kept], state: PackageState, selection: Selection, others: Set[str]
) -> Tuple[HeldBack, ...]:
    """Return what an upgrade of everything leaves out, each with the reason, except for ``others``."""
    held: Dict[str, str] = {}
    for each in kept:
        name = _label(each.step.name, each.step.foreign)
        if name not in others:
            held[name] = reason_against(as_changes([each.step], state)[0], selection) or each.reason
    return tuple(HeldBack(name, reason) for name, reason in held.items())


def _left_out(possible: Iterable[Change], state: PackageState, selection: Selection) -> List[HeldBack]:
    """Return the possible updates that the selection leaves out, each with the option that does so."""
    updates = [change for change in possible if change.before is not None and change.after is not None]
    found = [(_name(change, state), reason_against(change, selection)) for change in updates]
    return [HeldBack(name, reason) for name, reason in found if reason is not None]


def _would_go(
    wanted: Iterable[Change], state: PackageState, selection: Selection, others: Set[str]
) -> Tuple[HeldBack, ...]:
    """Return the packages that are selected by name, have no newer version, and that an upgrade of everything would
    remove.
    """
    if not selection.packages:
        return ()
    reason = "has no newer version, and apt would remove it in an update of everything"
    names = [_name(change, state) for change in wanted if change.after is None]
    return tuple(HeldBack(name, reason) for name in names if name not in others)


def _labels(changes: Iterable[Change], state: PackageState) -> Set[str]:
    return {_name(change, state) for change in changes}


def _name(change: Change, state: PackageState) -> str:
    return _label(*state.slot(change.package))


def _label(name: str, foreign: str) -> str:
    return f"{name}:{foreign}" if foreign else name
