"""While the node is out of service: out, changed, looked at, put back where it failed, and in again however it
ended.
"""

from dataclasses import replace
from typing import Mapping, Sequence, Tuple

from os_update_agent.model.errors import Damaged, PackageError
from os_update_agent.model.packages import Change, PackageState, diff, with_rows
from os_update_agent.model.phases import (
    BACK_IN_SERVICE,
    CHANGED,
    HEALTH,
    IN_SERVICE,
    LEAVE,
    NOT_UNDONE,
    OUT_OF_SERVICE,
    RESTORE,
    RETURN,
    TRANSACT,
    UNDO,
    UNDONE,
    UNTOUCHED,
    UPDATE,
    VERIFY,
    Phase,
)
from os_update_agent.model.runs import Run
from os_update_agent.model.settings import differing
from os_update_agent.node.process import uninterrupted
from os_update_agent.packages.complaints import complaints_in, disappeared_in, is_of_leaving
from os_update_agent.packages.state import broken, of_marks, sound, unmet
from os_update_agent.runs.context import Step, Work, answering_for, moved, noted
from os_update_agent.runs.etc_files import at_least, put_edits_back, with_etc_back, with_etc_before
from os_update_agent.runs.files import with_faults_before, with_faults_before_undo, with_files
from os_update_agent.runs.plan import labels_of
from os_update_agent.runs.transitions import DONE, NOTHING_HAS_CHANGED, UNDO_IS_INCOMPLETE, Event
from os_update_agent.text.phrases import called_setting, labels, mismatch, named, other_mark, other_setting


def leave(work: Work) -> Tuple[Run, Event]:
    """Take the node out of service. That this was begun is written down first: whatever happens, it has to come
    back.
    """
    work.check_steps()
    work.save(moved(work.run, service=OUT_OF_SERVICE))
    work.operator_steps("pre-update.d")
    return work.run, DONE


def transact(work: Work) -> Tuple[Run, Event]:
    was_cut_off = work.run.progress.change_began
    if not was_cut_off:
        # Once more: to leave may have taken long, and the machine may have been off meanwhile.
        work.check_deadline()
    if work.run.kind == RESTORE and work.run.faults_before is None:
        work.run = with_faults_before(work)
    work.run = at_least(work, lambda: with_etc_before(work), work.run)
    work.run = moved(work.run, impact=CHANGED)
    work.site.ledger.begin_change(work.run)
    if work.run.kind == RESTORE:
        work.save(at_least(work, lambda: put_edits_back(work), work.run))
    target = work.state(work.run.target)
    if was_cut_off and work.run.kind == UPDATE:
        # A package that dpkg has dropped is not asked for again: perhaps nobody has its file.
        work.backend.wait()
        gone = _vanished(work, unmet(work.backend.capture(), target))
        target = with_rows(target, tuple(Change(change.after, None) for change in gone))
    complaints = work.transition.go(target, forced=work.run.kind == RESTORE)
    if was_cut_off:
        complaints = _with_logged(work, TRANSACT, complaints)
    if complaints and work.policy.on_failure == "keep":
        with uninterrupted():
            complaints = tuple(dict.fromkeys((*complaints, *work.backend.mend((), work.output))))
    return replace(work.run, complaints=complaints), DONE


def _with_logged(work: Work, phase: Phase, complaints: Sequence[str]) -> Tuple[str, ...]:
    """Return the complaints with those in the log of the phase. After a kill only the log has the earlier ones."""
    known = tuple(complaints)
    # A returned complaint may have the words of the scriptlet behind it.
    return known + tuple(
        one
        for one in complaints_in(work.said_in(phase))
        if not any(each == one or each.startswith(f"{one}: ") for each in known)
    )


def verify(work: Work) -> Tuple[Run, Event]:
    """Law 2: ask the package database what happened, not the exit status."""
    state = work.backend.capture()
    if work.run.kind == RESTORE and broken(state) and not (work.run.complaints or work.run.failure):
        # A worker that was killed while it installed packages again may have left them halfway.
        complaints = work.transition.go(work.state(work.run.target), forced=True)
        work.run = replace(work.run, complaints=complaints)
        state = work.backend.capture()
    work.save(replace(work.run, after=work.site.ledger.put_state(state)))
    if work.run.failure and _is_as_before(work, state) and not work.backend.interrupted():
        # The lock was not free, say: there is nothing to undo.
        return moved(work.run, impact=UNTOUCHED), NOTHING_HAS_CHANGED
    other_marks = _reached(work, state)
    failures = _failures(work)
    if failures or work.run.failure:
        raise PackageError("; ".join(failures) or work.run.failure)
    if work.run.kind != RESTORE:
        run = _with_complaints(_with_vanished_kept(work, state), work.run.complaints, "complained")
        return _told_of(run, other_marks), DONE
    run = _with_complaints(work.run, work.run.complaints)
    run = _with_all_files(work, run, work.state(work.run.before), state)
    return _told_of(run, _reached(work, work.backend.capture())), DONE


def _failures(work: Work) -> Tuple[str, ...]:
    """Return the complaints that fail a run whose state is reached.

    On a way back the state decides as far as the package database shows failures. A package that leaves decides
    nothing, in either direction: the node must not be locked into it.
    """
    if work.run.kind == RESTORE and work.backend.shows_failures:
        return ()
    return tuple(one for one in work.run.complaints if not is_of_leaving(one))


def _with_complaints(run: Run, complaints: Sequence[str], verb: str = "complained on the way back") -> Run:
    """Note complaints about a transaction that has reached its state."""
    return noted(run, f"the package manager {verb}: {'; '.join(complaints)}") if complaints else run


def _with_all_files(work: Work, run: Run, start: PackageState, end: PackageState) -> Run:
    """Check the files of packages after a way back, then those below /etc."""
    checked = with_files(work, run, start, end)
    return at_least(work, lambda: with_etc_back(work, checked), checked)


def _is_as_before(work: Work, state: PackageState) -> bool:
    before = work.state(work.run.before)
    return not diff(before, state) and not differing(before.settings, state.settings)


def _reached(work: Work, state: PackageState) -> Tuple[Change, ...]:
    """Return the marks that differ from the target. Raises PackageError if anything else does.

    An update may lose a package whose files another package has all replaced. No simulation shows this.
    """
    missed = unmet(state, work.state(work.run.target))
    vanished = _vanished(work, missed)
    missed = tuple(change for change in missed if change not in vanished)
    other_marks = of_marks(missed)
    settings = work.transition.arrangement.unmet(state, work.state(work.run.target))
    if settings or len(missed) > len(other_marks):
        differs = named([*map(mismatch, missed), *map(other_setting, settings)])
        raise PackageError(f"the planned state was not reached: {_why(work.run.complaints)} ({differs})")
    return other_marks


def _vanished(work: Work, missed: Sequence[Change]) -> Tuple[Change, ...]:
    """Return the changes of packages that dpkg has dropped, because others replaced all of their files."""
    if not missed or work.run.kind != UPDATE or work.policy.removals != "allow":
        return ()
    gone = disappeared_in(work.said_in(TRANSACT))
    return tuple(change for change in missed if change.before is None and change.name in gone)


def _with_vanished_kept(work: Work, state: PackageState) -> Run:
    """Keep the files of the packages that have disappeared, which no plan named (law 3)."""
    vanished = _vanished(work, unmet(state, work.state(work.run.target)))
    lost = work.transition.obtained([change.package for change in vanished])
    if not lost:
        return work.run
    run = replace(work.run, plan=replace(work.run.plan, lost=(*work.run.plan.lost, *labels_of(lost))))
    return noted(run, f"{labels(lost)} disappeared, and no repository has the file: it cannot be put back")


def _told_of(run: Run, other_marks: Sequence[Change]) -> Run:
    """For a mark alone nothing is undone, but everybody is told which."""
    if not other_marks:
        return run
    return noted(
        run, f"not every mark could be set (see the log): {named([other_mark(change) for change in other_marks])}"
    )


def health(work: Work) -> Tuple[Run, Event]:
    work.operator_steps("health.d")
    return work.run, DONE


def undo(work: Work) -> Tuple[Run, Event]:
    """Law 6: put back the state that was captured before, by the same kind of transaction, and look whether it is
    there.
    """
    target = sound(work.state(work.run.before))
    # What has to be fetched for the way back shows in a settled database only.
    work.save(answering_for(work.run, work.transition.settle(forced=True)))
    now = work.backend.capture()
    work.transition.fetch(now, target)
    work.save(with_faults_before_undo(work, target, now))
    # The state that the update had reached. The packages may have left it already, if this undo was cut off.
    start = work.state(work.run.target if work.run.after is None else work.run.after)
    work.save(at_least(work, lambda: put_edits_back(work), work.run))
    complaints = _with_logged(work, UNDO, work.transition.go(target, forced=True))
    state = work.backend.capture()
    run = replace(work.run, after=work.site.ledger.put_state(state))
    try:
        _marks_beside(work, state, target, complaints)
        run = _with_all_files(work, _with_complaints(run, complaints), start, state)
        # To install packages again may have changed rows.
        state = work.backend.capture()
        run = replace(run, after=work.site.ledger.put_state(state))
        run = _told_of(run, _marks_beside(work, state, target, complaints))
        settings = differing(now.settings, state.settings) if target.settings is not None else ()
        if settings:
            run = noted(
                run, f"settings outside of the packages put back: {named([called_setting(one) for one in settings])}"
            )
        return moved(run, impact=UNDONE), DONE
    except PackageError as error:
        work.say(f"not undone: {error}")
        return noted(moved(run, impact=NOT_UNDONE), f"the undo is not complete: {error}"), UNDO_IS_INCOMPLETE


def _marks_beside(
    work: Work, state: PackageState, target: PackageState, complaints: Sequence[str]
) -> Tuple[Change, ...]:
    """Return the marks that differ after an undo. Raises PackageError if anything else does."""
    left_over = unmet(state, target)
    other_marks = of_marks(left_over)
    settings = work.transition.arrangement.unmet(state, target)
    if settings or len(left_over) > len(other_marks):
        raise PackageError(f"{_why(complaints)} ({named([*map(mismatch, left_over), *map(other_setting, settings)])})")
    return other_marks


def come_back(work: Work) -> Tuple[Run, Event]:
    """Law 7: bring the node back into service, however the update ended."""
    is_in_service = work.run.progress.service == IN_SERVICE
    if is_in_service and not _is_outside(work):
        return work.run, DONE
    if is_in_service:
        # An earlier run has left it outside. Else nothing is written that could fail before the node is back.
        work.save(moved(work.run, service=OUT_OF_SERVICE))
    work.operator_steps("post-update.d")
    return moved(work.run, service=BACK_IN_SERVICE), DONE


def _why(complaints: Sequence[str]) -> str:
    return "; ".join(complaints) or "the package manager said nothing of it"


def _is_outside(work: Work) -> bool:
    """Did an earlier run take the node out of service and not bring it back? A damaged record may hide that it did."""
    for run in work.site.ledger.walk_runs():
        if isinstance(run, Damaged):
            return True
        if run.id != work.run.id and run.progress.service != IN_SERVICE:
            return run.progress.service == OUT_OF_SERVICE
    return False


PHASES: Mapping[Phase, Step] = {
    LEAVE: leave,
    TRANSACT: transact,
    VERIFY: verify,
    HEALTH: health,
    UNDO: undo,
    RETURN: come_back,
}
