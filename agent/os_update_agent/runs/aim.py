"""Where a run wants to go: the state that an update or a restore aims at, and what an operator wants to know about
it.
"""

from dataclasses import dataclass
from typing import FrozenSet, Optional, Sequence, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import Change, HeldBack, PackageState, Selection, Slot, diff
from os_update_agent.model.runs import Run
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.selection import unmatched
from os_update_agent.packages.state import broken, expected, overlaid, sound, touched_by, visible


@dataclass(frozen=True)
class Aim:
    """The state to reach; what is held back and why; what would be removed that no run of the agent installed.

    ``changes`` are those of an update as the package manager gave them, with their origins. ``torn`` are the names of
    packages that an interruption has left half-installed or not configured, and that none of the changes makes whole.
    ``unmatched`` are those of the option ``packages`` that no installed package matches.
    """

    target: PackageState
    held_back: Tuple[HeldBack, ...] = ()
    removes_foreign: Tuple[str, ...] = ()
    changes: Tuple[Change, ...] = ()
    torn: Tuple[str, ...] = ()
    unmatched: Tuple[str, ...] = ()


def aim_of_update(backend: Backend, policy: Policy, before: PackageState) -> Aim:
    """What the package manager makes of the policy. Raises PackageError."""
    selection = Selection(policy.packages, policy.exclude, policy.select == "security", policy.removals == "allow")
    changes, held_back = backend.candidates(before, selection)
    torn = {package.name for package in broken(before)} - {change.name for change in changes}
    lost = unmatched(before.packages, selection)
    return Aim(expected(before, changes), held_back, changes=changes, torn=tuple(sorted(torn)), unmatched=lost)


def aim_of_restore(ledger: Ledger, policy: Policy, before: PackageState, number: int) -> Aim:
    """The recorded state, or with ``restore: changes`` only what this key's own runs have changed since."""
    target = sound(ledger.state(number))
    if policy.restore == "changes":
        target = sound(overlaid(before, target, _touched_since(ledger, policy)))
    removals = [change for change in visible(diff(before, target)) if change.after is None]
    return Aim(target, (), _not_ours(ledger, removals))


def _touched_since(ledger: Ledger, policy: Policy) -> FrozenSet[Slot]:
    record = ledger.history(policy.key).record(policy.value)
    since = record.reached_run or 0 if record else 0
    runs = [_effect_of(ledger, run) for run in ledger.runs(policy.key) if run.id > since]
    return frozenset(slot for effect in runs if effect for slot in touched_by(*effect))


def _not_ours(ledger: Ledger, removals: Sequence[Change]) -> Tuple[str, ...]:
    if not removals:
        return ()
    effects = [_effect_of(ledger, run) for run in ledger.runs()]
    ours = {change.name for effect in effects if effect for change in visible(diff(*effect)) if change.before is None}
    return tuple(change.name for change in removals if change.name not in ours)


def _effect_of(ledger: Ledger, run: Run) -> Optional[Tuple[PackageState, PackageState]]:
    """The states between which a run has moved the node; of one that was cut off in its transaction only its aim is
    known.
    """
    after = run.after if run.after is not None else run.target if run.progress.has_changed else None
    if run.before is None or after is None:
        return None
    return ledger.state(run.before), ledger.state(after)
