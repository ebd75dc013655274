"""The packages of other keys on a way back: which ones it moves, and which ones it leaves. Pure.

A *claim* on a place is a run that changed it. A way back with ``restore: changes`` moves the places that its own key
claims; with ``restore: exact`` it moves all places. Two rules join the keys:

- A key that goes back leaves alone a place that another key's way back has moved since, to a state that is older than
  the target. The target was recorded when the other key had not gone back yet: to restore it there would go forward.
  For a key that goes forward again the same holds the other way round.
- If the package manager refuses the narrow way back, wider ones are tried: each also moves what another key's runs
  have changed since the target was recorded, to what the target has there.
"""

from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from os_update_agent.model.options import RestoreScope
from os_update_agent.model.packages import PackageState, Slot, diff
from os_update_agent.model.phases import RESTORE, UPDATE
from os_update_agent.model.plans import Move, Place
from os_update_agent.model.runs import History, Run
from os_update_agent.packages.settings import Place as SettingPlace
from os_update_agent.packages.settings import touched_settings
from os_update_agent.packages.state import overlaid, sound, touched_by, visible
from os_update_agent.runs.ages import age_of, has_gone_back
from os_update_agent.text.phrases import listed, named

# Each set of keys costs a rehearsal: with four other keys there are 16 sets.
_FEW_KEYS = 4


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
        state: The recorded state.
        scope: The option ``restore``.
        since: The key's runs with a higher number count as its changes.
        recorded: Other keys' runs with a higher number happened after the state was recorded.
        age: The age of the state, as age_of() has it.
        is_back: The key goes back to the state, or forward again (False). None if it only returns to its own value.
    """

    key: str
    state: PackageState
    scope: RestoreScope
    since: int
    recorded: int
    age: int
    is_back: Optional[bool]


class OtherKey(NamedTuple):
    """Another key, with the packages that make its current value true.

    Attributes:
        history: Its history.
        state: The state of its current value; None if it has none.
        own: The places that its runs have ever moved.
        selected: The places that the key selects, if it went forward to the value: all of a key that restores exactly.
        age: The age of the value, if the key has gone back to it from a newer one or never left its baseline.
    """

    history: History
    state: Optional[PackageState] = None
    own: FrozenSet[Slot] = frozenset()
    selected: FrozenSet[Slot] = frozenset()
    age: Optional[int] = None


@dataclass
class Claims:
    """The places that each key has changed since the target was recorded.

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


def claims_on(target: Target, effects: Iterable[Effect], runs: Sequence[Run]) -> Claims:
    """Return who has changed what. ``effects`` and ``runs`` are those of all keys, the oldest first."""
    claims = Claims()
    for effect in effects:
        run, touched = effect.run, effect.touched
        moved = {move.key: touched.intersection(move.places) for move in run.plan.moves}
        for_me = moved.pop(target.key, frozenset())
        foreign = {place for move in run.plan.moves for place in move.places if place not in move.shared}
        if run.id > target.since:
            claims.own |= (touched - foreign).union(run.plan.left) if run.key == target.key else for_me
            if run.key == target.key:
                claims.own_settings |= effect.settings
        if run.id <= target.recorded:
            continue
        for key, slots in moved.items():
            claims.others.setdefault(key, set()).update(slots)
        _forget_left(claims, run)
        if run.key != target.key:
            claims.others.setdefault(run.key, set()).update(touched - foreign)
            _count_other(target, claims, effect, runs)
        elif run.kind == UPDATE:
            # The key has gone on from there with these places.
            for slot in touched:
                claims.kept.pop(slot, None)
    return claims


def _forget_left(claims: Claims, run: Run) -> None:
    """Forget the places that a key has left alone by going elsewhere, or that another one has moved for it."""
    left = {move.key for move in run.plan.moves}
    for slot, by in tuple(claims.kept.items()):
        has_gone_on = run.progress.reached and run.key == by.run.key and run.value != by.run.value
        if has_gone_on or by.run.key in left:
            del claims.kept[slot]


def _count_other(target: Target, claims: Claims, effect: Effect, runs: Sequence[Run]) -> None:
    run, slots = effect.run, effect.touched
    claims.other_settings.setdefault(run.key, set()).update(effect.settings)
    stays = _goes_further(target, run, runs)
    for slot in slots:
        if stays:
            claims.kept[slot] = effect
        else:
            claims.kept.pop(slot, None)


def _goes_further(target: Target, run: Run, runs: Sequence[Run]) -> bool:
    """Return whether the run of another key has moved its places further in the direction of the target's key."""
    if target.is_back is None:
        return False
    age = age_of(run.key, runs, run.value)
    if run.kind == UPDATE:
        return target.scope == "changes" and not target.is_back and age > target.age
    if run.kind != RESTORE or has_gone_back(run, runs) != target.is_back:
        return False
    return age < target.age if target.is_back else age > target.age


def goals(now: PackageState, target: Target, claims: Claims) -> Iterator[Tuple[PackageState, Sequence[str]]]:
    """Yield the states that the way back may lead to, each with the other keys whose packages it moves for that.

    The first one is narrow and moves no others. Those with one other key come before those with several. The keys with
    the fewest places come first. Of many keys not every set is tried.
    """
    found: List[PackageState] = []
    keys = sorted(claims.others, key=lambda key: len(claims.others[key] - claims.own))
    every = len(keys) if len(keys) <= _FEW_KEYS else 2
    sets = chain.from_iterable(combinations(keys, count) for count in range(every + 1))
    wider = (tuple(keys[:count]) for count in range(every + 1, len(keys) + 1))
    for along in chain(sets, wider):
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
    keys: Sequence[OtherKey],
) -> Tuple[Move, ...]:
    """Return the packages of other keys that the way from ``now`` to ``goal`` moves away from their values."""
    changed, found = touched_by(now, goal), []
    # A key that goes forward again with its own packages moves the others no more than an update does.
    foreign = changed - claims.own if target.is_back is False else changed
    for other in keys:
        key, places = other.history.key, frozenset(claims.others.get(other.history.key, ())) & changed
        if key not in along:
            places = _standing(now, other, foreign, target)
        if places:
            found.append(Move(key, other.history.current, _places(places), _places(places & claims.own)))
    known = {other.history.key for other in keys}
    for key in sorted(set(along) - known):
        # Its history was forgotten.
        places = frozenset(claims.others[key]) & changed
        if places:
            found.append(Move(key, None, _places(places), _places(places & claims.own)))
    return tuple(found)


def _standing(now: PackageState, other: OtherKey, slots: FrozenSet[Slot], target: Target) -> FrozenSet[Slot]:
    """Return those of the places that make the current value of another key true."""
    state = other.state
    if state is None or (target.is_back and other.age is not None and other.age >= target.age):
        return frozenset()
    claimed = other.own | other.selected if target.scope == "exact" else other.own
    return frozenset(slot for slot in slots & claimed if _versions(state, slot) == _versions(now, slot))


def left_alone(claims: Claims, along: Sequence[str]) -> Tuple[Place, ...]:
    """Return the key's own places that stay as other keys have left them: it has changed them, too."""
    return _places(slot for slot, by in claims.kept.items() if slot in claims.own and by.run.key not in along)


def _places(slots: Iterable[Slot]) -> Tuple[Place, ...]:
    return tuple(Place(*slot) for slot in sorted(slots))


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
        whose = f"key {move.key!r}{away}," if move.key else "a key that was forgotten"
        places = set(move.places).difference(move.shared) or move.places
        lines.append(f"packages of {whose} are taken along: {_changes(now, goal, places)}")
    own = [one for one in effects if one.run.key == target.key and (one.touched or one.run.progress.reached)]
    last = max((one.run.id for one in own), default=0)
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


def _changes(before: PackageState, after: PackageState, places: Iterable[Place]) -> str:
    wanted = {(place.name, place.variant) for place in places}
    changes = [change for change in visible(diff(before, after)) if before.slot(change.package) in wanted]
    return named(listed(changes)) or "their marks"
