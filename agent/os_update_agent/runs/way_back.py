"""The states that a restore may aim at, with the plans that lead there, from what the ledger holds."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import Damaged, PackageError
from os_update_agent.model.packages import Change, PackageState, Slot, diff
from os_update_agent.model.phases import UPDATE
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Run
from os_update_agent.packages.arrangement import unmet_below
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.selection import matching
from os_update_agent.packages.settings import unmet_settings
from os_update_agent.packages.state import transaction, visible
from os_update_agent.packages.transition import Transition
from os_update_agent.runs.ages import age_of, has_gone_back, leads_back
from os_update_agent.runs.other_keys import (
    Effect,
    OtherKey,
    Target,
    claims_on,
    goals,
    left_alone,
    moves,
    sentences,
)
from os_update_agent.runs.plan import Aim
from os_update_agent.runtime.context import Site
from os_update_agent.text.phrases import called_setting


def aims_of_restore(ledger: Ledger, policy: Policy, before: PackageState, number: int, root: Path) -> Iterator[Aim]:
    """Yield the aims of a restore. The first one changes the least; each other one is for the case that the package
    manager refuses those before it, and also moves packages of other keys. Raises LedgerError.
    """
    runs = tuple(reversed(ledger.runs()))
    target = _target(ledger, policy, number, runs)
    effects = _effects(ledger, target, runs)
    claims = claims_on(target, effects, runs)
    keys = _other_keys(ledger, policy.key, runs, before) if effects else ()
    for goal, along in goals(before, target, claims):
        found = moves(before, goal, target, claims, along, keys)
        changes = visible(diff(before, goal))
        # Packages may bring the targets of alternatives that do not exist now.
        unmet = unmet_settings if changes else partial(unmet_below, root)
        plan = Plan(
            changes,
            removes_foreign=_not_ours(ledger, [change for change in changes if change.after is None], runs),
            settings=tuple(map(called_setting, unmet(before.settings, goal.settings))),
            moves=found,
            left=left_alone(claims, along),
            other_keys=sentences(before, goal, target, claims, effects, found),
        )
        yield Aim(goal, plan)


def first_possible(site: Site, backend: Backend, before: PackageState, aims: Iterator[Aim]) -> Aim:
    """Return the first of a restore's aims that the package manager would do, else the first one.

    An aim whose files are not all in the archive cannot be rehearsed, and counts as possible.
    """
    first = next(aims)
    others = tuple(aims)
    archive = site.archive(backend)
    for aim in (first, *others) if others else ():
        if archive.missing(transaction(before, aim.target).install):
            return aim
        with suppress(PackageError), open(os.devnull, "wb") as nowhere:
            Transition(backend, archive, site.settings.root, nowhere).rehearse(before, aim.target, forced=True)
            return aim
    return first


def _target(ledger: Ledger, policy: Policy, number: int, runs: Sequence[Run]) -> Target:
    """Return the state to go back to, with the runs since which the key and the other keys count."""
    history = ledger.history(policy.key)
    mine = [run for run in runs if run.key == policy.key and run.leads_to_value]
    record = history.record(policy.value)
    if record is not None and record.state == number:
        since = record.reached_run or 0
        left = max((run.id for run in mine if run.departing == policy.value and run.kind == UPDATE), default=0)
        recorded = max(since, left) or _runs_before_baseline(runs, record.reached or 0.0)
    else:
        # The state has no value: a run of the key has left it, or has found it.
        found = max((run.id for run in mine if run.after == number), default=0)
        since = found or max((run.id - 1 for run in mine if run.before == number), default=0)
        recorded = since
    is_back = leads_back(history, runs, policy.value)
    age = age_of(policy.key, runs, policy.value)
    return Target(policy.key, ledger.state(number), policy.restore, since, recorded, age, is_back)


def _runs_before_baseline(runs: Sequence[Run], reached: float) -> int:
    """Return the number of the last run that had ended when a baseline was recorded."""
    return max((run.id for run in runs if run.finished is not None and run.finished <= reached), default=0)


def _effects(ledger: Ledger, target: Target, runs: Sequence[Run]) -> Tuple[Effect, ...]:
    """Return what the runs have changed since the target was recorded or reached.

    A damaged run of another key is left out. Raises Damaged for one of the key itself.
    """
    is_alone = all(run.key == target.key for run in runs)
    if is_alone and target.scope == "exact":
        return ()
    states: Dict[int, PackageState] = {}
    found: List[Effect] = []
    for run in runs:
        ends = _ends(run)
        if ends is None or run.id <= min(target.since, target.recorded):
            continue
        try:
            for number in ends:
                states[number] = states[number] if number in states else ledger.state(number)
        except Damaged:
            if run.key == target.key:
                raise
            continue
        found.append(Effect(run, states[ends[0]], states[ends[1]]))
    return tuple(found)


def _ends(run: Run) -> Optional[Tuple[int, int]]:
    """Return the states between which a run has moved the node; of one that was cut off in its transaction only its
    aim is known, which has planned packages and no settings.
    """
    after = run.after if run.after is not None else run.target if run.progress.change_began else None
    return None if run.before is None or after is None else (run.before, after)


def _other_keys(ledger: Ledger, key: str, runs: Sequence[Run], now: PackageState) -> Tuple[OtherKey, ...]:
    found = []
    for history in ledger.histories():
        record = history.record(history.current) if history.current is not None else None
        if history.key == key:
            continue
        if record is None or record.state is None:
            found.append(OtherKey(history))
            continue
        last = next((run for run in runs if run.id == record.reached_run), None)
        is_back = last is None or has_gone_back(last, runs)
        found.append(
            OtherKey(
                history,
                _readable(ledger, record.state),
                _ever_moved(ledger, history.key, runs, now) | _selected(last, now),
                not is_back and last is not None and last.policy.get("restore") == "exact",
                age_of(history.key, runs, record.value) if is_back else None,
            )
        )
    return tuple(found)


def _ever_moved(ledger: Ledger, key: str, runs: Sequence[Run], now: PackageState) -> FrozenSet[Slot]:
    """Return the places that the runs of a key have moved as its own. The plans say it; no states need be read."""
    found: Set[Slot] = set()
    for run in runs:
        if run.key != key or not run.leads_to_value or not run.progress.change_began:
            continue
        with suppress(Damaged):
            whole = ledger.run(run.id)
            plan = whole.plan if whole is not None else run.plan
            foreign = {place for move in plan.moves for place in move.places if place not in move.shared}
            found |= {now.slot(change.package) for change in plan.changes} - foreign
    return frozenset(found)


def _selected(run: Optional[Run], now: PackageState) -> FrozenSet[Slot]:
    """Return the places of the installed packages that the policy of a run names by ``packages`` or ``exclude``."""
    policy = Policy.from_json(run.policy) if run is not None else Policy()
    if not (policy.packages or policy.exclude):
        return frozenset()
    return frozenset(
        now.slot(package)
        for package in now.packages
        if package.is_present
        and not matching(package, policy.exclude)
        and (not policy.packages or matching(package, policy.packages))
    )


def _readable(ledger: Ledger, number: int) -> Optional[PackageState]:
    try:
        return ledger.state(number)
    except Damaged:
        return None


def _not_ours(ledger: Ledger, removals: Sequence[Change], runs: Sequence[Run]) -> Tuple[str, ...]:
    """Return the names of packages that no run has installed."""
    if not removals:
        return ()
    ours = set()
    for run in runs:
        ends = _ends(run)
        states = [_readable(ledger, number) for number in ends] if ends is not None else []
        if len(states) == 2 and states[0] is not None and states[1] is not None:
            ours |= {change.name for change in visible(diff(states[0], states[1])) if change.before is None}
    return tuple(change.name for change in removals if change.name not in ours)
