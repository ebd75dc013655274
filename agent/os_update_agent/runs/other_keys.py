"""What the keys of one node have in common on a way back: whose packages it moves, and whose it leaves. Pure.

A *claim* on a place is a run that changed it. A way back with ``restore: changes`` moves the places that its own key
claims; with ``restore: exact`` it moves all places. Two rules join the keys:

- A key that goes back leaves alone a place that another key's way back has moved since, to a state that is older than
  the target. The target was recorded when the other key had not gone back yet: to restore it there would go forward.
- If the package manager refuses the narrow way back, wider ones are tried: each also moves what another key's runs
  have changed since the target was recorded, to what the target has there.
"""

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from os_update_agent.model.options import RestoreScope
from os_update_agent.model.packages import PackageState, Slot, diff
from os_update_agent.model.phases import RESTORE, UPDATE
from os_update_agent.model.plans import Move, Place
from os_update_agent.model.runs import History, Run
from os_update_agent.packages.settings import Place as SettingPlace
from os_update_agent.packages.settings import touched_settings
from os_update_agent.packages.state import overlaid, sound, touched_by, visible
from os_update_agent.text.phrases import listed, named


@dataclass(frozen=True)
class Effect:
    """A run that moved the node between two states."""

    run: Run
    before: PackageState
    after: PackageState

    @property
    def touched(self) -> FrozenSet[Slot]:
        return touched_by(self.before, self.after)

    @property
    def settings(self) -> FrozenSet[SettingPlace]:
        return frozenset(touched_settings(self.before.settings, self.after.settings))


@dataclass(frozen=True)
class Target:
    """Where a way back leads to.

    Attributes:
        key: The key that goes back.
        number: The number of the recorded state.
        state: The recorded state.
        scope: The option ``restore``.
        since: The key's runs with a higher number count as its changes.
        recorded: Other keys' runs with a higher number happened after the state was recorded.
        is_back: The key goes back to the state, not forward again.
    """

    key: str
    number: int
    state: PackageState
    scope: RestoreScope
    since: int
    recorded: int
    is_back: bool


@dataclass
class Claims:
    """Who has changed which places since the target was recorded.

    Attributes:
        own: The places that the key itself has changed.
        others: The places that each other key has changed.
        kept: The places that stay as the way back of another key has left them, each with that run.
    """

    own: Set[Slot] = field(default_factory=set)
    own_settings: Set[SettingPlace] = field(default_factory=set)
    others: Dict[str, Set[Slot]] = field(default_factory=dict)
    other_settings: Dict[str, Set[SettingPlace]] = field(default_factory=dict)
    kept: Dict[Slot, Effect] = field(default_factory=dict)


def claims_on(target: Target, effects: Iterable[Effect]) -> Claims:
    """Return who has changed what. ``effects`` are those of all keys, the oldest first."""
    claims = Claims()
    for effect in effects:
        run, touched = effect.run, effect.touched
        moved = {move.key: touched.intersection(move.places) for move in run.plan.moves}
        for_me = moved.pop(target.key, frozenset())
        if run.id > target.since:
            claims.own |= touched.difference(*moved.values()) if run.key == target.key else for_me
            if run.key == target.key:
                claims.own_settings |= effect.settings
        if run.id <= target.recorded:
            continue
        for key, slots in moved.items():
            claims.others.setdefault(key, set()).update(slots)
        if run.key != target.key:
            _count_other(target, claims, effect, touched)
    return claims


def _count_other(target: Target, claims: Claims, effect: Effect, slots: FrozenSet[Slot]) -> None:
    run = effect.run
    claims.others.setdefault(run.key, set()).update(slots)
    claims.other_settings.setdefault(run.key, set()).update(effect.settings)
    goes_further = run.kind == RESTORE and run.restored_from is not None and run.restored_from < target.number
    for slot in slots:
        if goes_further and target.is_back:
            claims.kept[slot] = effect
        else:
            claims.kept.pop(slot, None)


def goals(now: PackageState, target: Target, claims: Claims) -> Iterator[Tuple[PackageState, Sequence[str]]]:
    """Yield the states that the way back may lead to, each with the other keys whose packages it moves for that.

    The first one is narrow and moves no others. Those with one other key come before those with several. The keys that
    changed something last come first.
    """
    found: List[PackageState] = []
    keys = list(reversed(claims.others))
    sets: List[Tuple[str, ...]] = [
        (),
        *((key,) for key in keys),
        *(tuple(keys[:count]) for count in range(2, len(keys) + 1)),
    ]
    for along in sets:
        goal = _goal(now, target, claims, along)
        if goal not in found:
            found.append(goal)
            yield goal, along


def _goal(now: PackageState, target: Target, claims: Claims, along: Sequence[str]) -> PackageState:
    """Return the state that the way back leads to if it moves packages of the keys ``along``, too."""
    goal = sound(target.state)
    slots = frozenset(claims.own.union(*(claims.others[key] for key in along)))
    if target.scope == "changes":
        settings = claims.own_settings.union(*(claims.other_settings.get(key, ()) for key in along))
        goal = sound(overlaid(now, goal, slots, frozenset(settings)))
    for effect in {id(one): one for one in claims.kept.values()}.values():
        kept = {slot for slot, by in claims.kept.items() if by is effect and effect.run.key not in along}
        goal = overlaid(goal, sound(effect.after), frozenset(kept & slots if target.scope == "changes" else kept))
    return goal


def moves(
    now: PackageState,
    goal: PackageState,
    target: Target,
    claims: Claims,
    along: Sequence[str],
    effects: Sequence[Effect],
    keys: Iterable[Tuple[History, Optional[PackageState]]],
) -> Tuple[Move, ...]:
    """Return the packages of other keys that the way from ``now`` to ``goal`` moves.

    ``keys`` has the history of each other key. If the key went forward to its current value, the state of that value
    comes with it: a way back with ``restore: exact`` moves also what the key found there.
    """
    changed, found = touched_by(now, goal), []
    for history, state in keys:
        places = changed & _brought_by(now, changed, [effect for effect in effects if effect.run.key == history.key])
        if history.key in along:
            places |= changed & claims.others[history.key]
        if target.scope == "exact" and state is not None:
            places |= {slot for slot in changed if _versions(state, slot) == _versions(now, slot)}
        if places:
            found.append(Move(history.key, history.current, tuple(Place(*slot) for slot in sorted(places))))
    return tuple(found)


def _brought_by(now: PackageState, slots: Iterable[Slot], effects: Sequence[Effect]) -> FrozenSet[Slot]:
    """Return the places whose present version an update among the effects has brought."""
    updates = [effect for effect in effects if effect.run.kind == UPDATE]
    return frozenset(
        slot
        for slot in slots
        if any(_versions(one.before, slot) != _versions(one.after, slot) == _versions(now, slot) for one in updates)
    )


def went_forward(history: History, runs: Sequence[Run], number: int) -> bool:
    """Return whether the key went forward to its current value. ``runs`` are those of all keys, the oldest first;
    ``number`` is the state to which another key goes.

    A baseline, and a value to which the key has gone back itself from a newer one, claim no more than what was there.
    """
    record = history.record(history.current) if history.current is not None else None
    if record is None or record.reached_run is None:
        return False
    run = next((one for one in runs if one.id == record.reached_run), None)
    if run is None or run.kind == UPDATE:
        return run is not None
    is_back = goes_back(history.key, runs, run.value, run.departing)
    return not (is_back and run.restored_from is not None and run.restored_from >= number)


def goes_back(key: str, runs: Sequence[Run], value: str, position: Optional[str]) -> bool:
    """Return whether a value of the key is older than its position, by the first updates to each. ``position`` is the
    value at which the key stands or was last; None if it is not known.
    """
    first: Dict[str, int] = {}
    for run in runs:
        if run.key == key and run.kind == UPDATE:
            first.setdefault(run.value, run.id)
    here = max(first.values(), default=0) if position is None else first.get(position, 0)
    return first.get(value, 0) < here


def _versions(state: PackageState, slot: Slot) -> Tuple[str, ...]:
    return tuple(package.version for package in state.slots.get(slot, ()) if package.is_present)


def sentences(
    now: PackageState,
    goal: PackageState,
    target: Target,
    claims: Claims,
    effects: Sequence[Effect],
    found: Sequence[Move],
) -> Tuple[str, ...]:
    """Return what the way back has in common with other keys, one sentence for each of them."""
    lines = []
    for move in found:
        away = f", which no longer stands at {move.value!r:.80}" if move.value is not None else ""
        lines.append(f"packages of key {move.key!r}{away}, are taken along: {_changes(now, goal, move.places)}")
    last = max((one.run.id for one in effects if one.run.key == target.key and one.touched), default=0)
    for effect in effects:
        mine = next((move.places for move in effect.run.plan.moves if move.key == target.key), ())
        if mine and effect.run.id > last:
            changes = _changes(effect.before, effect.after, mine)
            lines.append(f"found there: {_called(effect.run)} had taken along {changes}")
    differing = touched_by(goal, sound(target.state))
    for effect in {id(one): one for one in claims.kept.values()}.values():
        slots = [slot for slot, by in claims.kept.items() if by is effect and slot in differing]
        if target.scope == "changes":
            slots = [slot for slot in slots if slot in claims.own]
        if slots:
            lines.append(f"left as {_called(effect.run)} has left them: {named(sorted({name for name, _ in slots}))}")
    return tuple(lines)


def _called(run: Run) -> str:
    return f"run {run.id}, the {run.kind} of {run.value!r:.80} for key {run.key!r},"


def _changes(before: PackageState, after: PackageState, places: Iterable[Slot]) -> str:
    wanted = set(places)
    changes = [change for change in visible(diff(before, after)) if before.slot(change.package) in wanted]
    return named(listed(changes)) or "their marks"
