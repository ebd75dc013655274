"""While the node is out of service: out, changed, looked at, put back where it failed, and in again however it
ended.
"""

from dataclasses import replace
from typing import Mapping, Sequence

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Change, diff
from os_update_agent.model.phases import HEALTH, LEAVE, RECORD, RESTART, RESTORE, RETURN, TRANSACT, UNDO, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.node.process import uninterrupted
from os_update_agent.packages.complaints import complaints_in
from os_update_agent.packages.state import of_marks, sound, unmet
from os_update_agent.runs.context import Phase, Work, noted
from os_update_agent.text.phrases import mismatch, named, other_mark


def leave(work: Work) -> Run:
    """Take the node out of service. That this was begun is written down first: whatever happens, it has to come
    back.
    """
    work.save(replace(work.run, left=True))
    work.operator_steps("pre-update.d")
    return replace(work.run, phase=TRANSACT)


def transact(work: Work) -> Run:
    was_cut_off = work.run.begun
    if not was_cut_off:
        # Once more: to leave may have taken long, and the machine may have been off meanwhile.
        work.check_deadline()
    work.run = replace(work.run, begun=True)
    work.site.ledger.begin_change(work.run)
    complaints = work.transition.go(work.state(work.run.target), forced=work.run.kind == RESTORE)
    if was_cut_off and not complaints:
        # The worker that was killed may have left a transaction that went on without it, and was told what only the log
        # knows now.
        complaints = complaints_in(work.said_in(TRANSACT))
    if complaints and work.policy.on_failure == "keep":
        with uninterrupted():
            complaints = tuple(dict.fromkeys((*complaints, *work.backend.repair(work.output))))
    return replace(work.run, complaints=complaints, phase=VERIFY)


def verify(work: Work) -> Run:
    """Law 2: ask the package database what happened, not the exit status."""
    state = work.backend.capture()
    work.save(replace(work.run, after=work.site.ledger.put_state(state)))
    if work.run.failure and not diff(work.state(work.run.before), state) and not work.backend.interrupted():
        # The lock was not free, say: there is nothing to undo.
        return replace(work.run, begun=False, phase=RETURN)
    missed = unmet(state, work.state(work.run.target))
    other_marks = of_marks(missed)
    if len(missed) > len(other_marks):
        differs = named([mismatch(change) for change in missed])
        raise PackageError(f"the planned state was not reached: {_why(work.run.complaints)} ({differs})")
    if work.run.complaints or work.run.failure:
        raise PackageError("; ".join(work.run.complaints) or work.run.failure)
    return replace(_told_of(work.run, other_marks), phase=RESTART)


def _told_of(run: Run, other_marks: Sequence[Change]) -> Run:
    """For a mark alone nothing is undone, but everybody is told which."""
    if not other_marks:
        return run
    return noted(
        run, f"not every mark could be set (see the log): {named([other_mark(change) for change in other_marks])}"
    )


def health(work: Work) -> Run:
    work.operator_steps("health.d")
    return replace(work.run, phase=RETURN)


def undo(work: Work) -> Run:
    """Law 6: put back the state that was captured before, by the same kind of transaction, and look whether it is
    there.
    """
    target = sound(work.state(work.run.before))
    # What has to be fetched for the way back shows in a settled database only.
    work.transition.settle(forced=True)
    work.transition.fetch(work.backend.capture(), target)
    complaints = work.transition.go(target, forced=True)
    state = work.backend.capture()
    run = replace(work.run, after=work.site.ledger.put_state(state))
    left_over = unmet(state, target)
    other_marks = of_marks(left_over)
    if len(left_over) > len(other_marks):
        why, differs = _why(complaints), named([mismatch(change) for change in left_over])
        work.say(f"not undone: {why}")
        return noted(replace(run, undone=False, phase=RETURN), f"the undo is not complete: {why} ({differs})")
    return replace(_told_of(run, other_marks), undone=True, phase=RESTART)


def come_back(work: Work) -> Run:
    """Law 7: bring the node back into service, however the update ended."""
    if not (work.run.left or _is_outside(work)):
        return replace(work.run, phase=RECORD)
    if not work.run.left:
        # An earlier run has left it outside. Else nothing is written that could fail before the node is back.
        work.save(replace(work.run, left=True))
    work.operator_steps("post-update.d")
    return replace(work.run, returned=True, phase=RECORD)


def _why(complaints: Sequence[str]) -> str:
    return "; ".join(complaints) or "the package manager said nothing of it"


def _is_outside(work: Work) -> bool:
    """Did an earlier run take the node out of service and not bring it back?"""
    for run in work.site.ledger.runs():
        if run.id != work.run.id and run.left:
            return not run.returned
    return False


PHASES: Mapping[str, Phase] = {
    LEAVE: leave,
    TRANSACT: transact,
    VERIFY: verify,
    HEALTH: health,
    UNDO: undo,
    RETURN: come_back,
}
