"""Before anything changes: is the package database whole, what is to come, is every file here, is there room and
time?
"""

from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Iterator, Mapping, Tuple

from os_update_agent.model.errors import NotRestorable, PackageError
from os_update_agent.model.packages import PackageState, diff
from os_update_agent.model.phases import ASSESS, CAPTURE, CHECK, DOWNLOAD, FETCH, PLAN, REFRESH, RESTORE, UPDATE, Phase
from os_update_agent.model.runs import Run
from os_update_agent.packages.progress import TO_REPAIR
from os_update_agent.packages.state import broken, is_torn, rebuilt, transaction, unmet, visible
from os_update_agent.runs.context import Step, Work, noted, with_repair
from os_update_agent.runs.etc_files import can_be_put_back
from os_update_agent.runs.files import faults_before_failure
from os_update_agent.runs.plan import Aim, aim_of_update, labels_of
from os_update_agent.runs.rehearsal import undo_checked
from os_update_agent.runs.transitions import DONE, DOWNLOADED, NOTHING_TO_CHANGE, REPORTED, TARGET_IS_RECORDED, Event
from os_update_agent.runs.way_back import aims_of_restore
from os_update_agent.text.phrases import labels, listed, named, not_there


def check(work: Work) -> Tuple[Run, Event]:
    """Is the package database whole? What somebody else's interruption left is mended; a restore needs only unpacking
    for that.
    """
    run = work.run
    work.archive.prepare()
    work.backend.wait()
    interrupted = work.backend.interrupted()
    done = work.transition.settle(forced=run.kind == RESTORE)
    run = with_repair(run, done)
    if done.names:
        # The run answers for their files from now on, also if it is cut off here. The note names only the first ones.
        work.save(run)
        work.say(f"repaired: {', '.join(done.names)}")
    state = work.backend.capture()
    torn = broken(state)
    if any(map(is_torn, torn)) or (run.kind != RESTORE and (torn or interrupted)):
        if torn:
            work.say(f"{TO_REPAIR}{len(torn)}")
        work.transition.mend(state)
        left = broken(work.backend.capture())
        cured = named([package.name for package in torn if package.name not in {other.name for other in left}])
        if cured or not (torn or done.names):
            run = noted(run, f"an earlier interruption was repaired: {cured or 'its journal'}")
        if left and run.kind != RESTORE:
            run = noted(
                run,
                "an earlier run or interruption left"
                f" {named([f'{package.name} {package.status}' for package in left])}: where this update brings no newer"
                " version, install it again or remove it by hand, or go back with 'os-update-agent rollback VALUE'",
            )
    return run, DONE


def capture(work: Work) -> Tuple[Run, Event]:
    ledger, run = work.site.ledger, work.run
    state = work.backend.capture()
    before = ledger.put_state(state)
    departing = ledger.history(run.key).record(run.departing) if run.departing is not None else None
    run = replace(run, departing_state=departing.state if departing else None)
    if run.kind == UPDATE:
        # A value whose packages another key has moved keeps its state: the key stands at no value then.
        if run.departing is not None:
            ledger.record_departing(run.key, run.departing, before)
        if run.is_first:
            ledger.record_first_state(run.key, before, run.value)
    return replace(run, before=before), TARGET_IS_RECORDED if run.kind == RESTORE else DONE


def refresh(work: Work) -> Tuple[Run, Event]:
    work.backend.refresh()
    return work.run, DONE


def plan(work: Work) -> Tuple[Run, Event]:
    before = work.state(work.run.before)
    if work.run.kind == RESTORE:
        aim = next(_ways_back(work, before))
    else:
        aim = aim_of_update(work.backend, work.policy, before)
        if aim.plan.torn:
            # The check has tried to repair them.
            raise PackageError(
                f"an earlier run or interruption left {named(aim.plan.torn)} half-installed or not configured, and they"
                " cannot be repaired; install them again or remove them by hand, or go back with 'os-update-agent"
                " rollback VALUE'"
            )
    target, found = aim
    run = replace(work.run, target=work.site.ledger.put_state(target), plan=found)
    if found.unmatched and not_there(found.unmatched) not in run.notes:
        run = noted(run, not_there(found.unmatched))
    for line in listed(found.changes):
        work.say(line)
    if run.kind == ASSESS:
        return replace(run, plan=replace(found, lost=labels_of(work.transition.lost_by(before, target)))), REPORTED
    met = not (unmet(before, target) or work.transition.arrangement.unmet(before, target))
    has_files_to_check = run.kind == RESTORE and (bool(run.repaired) or faults_before_failure(work) is not None)
    if met and not has_files_to_check and not (run.kind == RESTORE and can_be_put_back(work)):
        # Nothing to do; but a node that an earlier run has left outside still has to be brought back.
        return replace(run, after=run.before), NOTHING_TO_CHANGE
    return run, DONE


def _ways_back(work: Work, before: PackageState) -> Iterator[Aim]:
    assert work.run.restored_from is not None
    return aims_of_restore(work.site.ledger, work.policy, before, work.run.restored_from, work.site.settings.root)


class _Refused(PackageError):
    """The package manager would not do the transaction."""


def fetch(work: Work) -> Tuple[Run, Event]:
    """Keep the old files, fetch the new ones, check that there is room, and rehearse the transaction."""
    run = _made_ready_in_some_way(work)
    # Flush last: writes ran in the background until here.
    work.archive.flush()
    if run.kind == DOWNLOAD:
        return replace(run, after=run.before), DOWNLOADED
    work.check_deadline()
    return run, DONE


def _made_ready_in_some_way(work: Work) -> Run:
    """Get ready for the transaction. If the package manager refuses a way back, try those that also move packages of
    other keys: these may have been installed for what goes now.
    """
    narrow = work.run
    try:
        return _made_ready(work)
    except _Refused as refusal:
        if narrow.kind != RESTORE:
            raise
        for aim in islice(_ways_back(work, work.state(narrow.before)), 1, None):
            work.say(f"refused: {refusal}")
            for line in aim.plan.other_keys:
                work.say(f"another way: {line}")
            work.run = replace(narrow, target=work.site.ledger.put_state(aim.target), plan=aim.plan)
            work.save(work.run, is_planned=True)
            with suppress(_Refused, NotRestorable):
                return _made_ready(work)
        work.save(narrow, is_planned=True)
        raise


def _made_ready(work: Work) -> Run:
    """Get the files, check that there is room, and rehearse the transaction."""
    before, target = work.state(work.run.before), work.state(work.run.target)
    if work.run.kind == RESTORE and work.archive.missing(transaction(before, target).install):
        _try_refresh(work)
    if work.policy.archive != "off":
        work.transition.gather(before, target)
    found = work.transition.fetch(before, target)
    if found != target:
        work.run = _with_known_builds(work, target, found)
        target = found
    run = _keep_old(work, before, target)
    if run.kind == DOWNLOAD:
        return _with_undo_checked(work, run, before, target)
    work.transition.check_space(before, target)
    try:
        work.transition.rehearse(before, target, forced=run.kind == RESTORE)
    except NotRestorable:
        raise
    except PackageError as error:
        raise _Refused(str(error)) from error
    return _with_undo_checked(work, run, before, target)


def _with_known_builds(work: Work, planned: PackageState, found: PackageState) -> Run:
    """Return the run with the target that its files lead to. A repository may announce another build in its index, and
    have the same one.
    """
    before = work.state(work.run.before)
    run = replace(work.run, target=work.site.ledger.put_state(found))
    same = [change.before for change in rebuilt(diff(before, planned)) if change.before in found.packages]
    if not same:
        return run
    return noted(
        run, f"{labels(same)}: the repository announces another build of this version, and its file is the same build"
    )


def _keep_old(work: Work, before: PackageState, target: PackageState) -> Run:
    if work.policy.archive == "off":
        found = replace(work.run.plan, lost=labels_of(work.transition.lost_by(before, target)))
        return replace(work.run, plan=found)
    lost, rebuilt = work.transition.keep_old(before, target)
    if lost and work.policy.archive == "required":
        raise NotRestorable(
            f"{labels(tuple(lost))} could not be put back afterwards (archive: required): neither the archive nor a"
            f" repository has the file; {named(tuple(lost.values()))}"
        )
    for reason in lost.values():
        work.say(f"neither in the archive nor in a repository; {reason}")
    return replace(work.run, plan=replace(work.run.plan, lost=labels_of(tuple(lost)), rebuilt=rebuilt))


def _with_undo_checked(work: Work, run: Run, before: PackageState, target: PackageState) -> Run:
    """Rehearse the way back (law 3). Without every file it is impossible anyway. Raises NotRestorable."""
    if run.plan.lost or not visible(diff(before, target)):
        return run
    refused, unchecked = undo_checked(work.transition, before, target)
    if refused and run.kind == UPDATE and work.policy.archive == "required":
        raise NotRestorable(f"the update could not be undone (archive: required): {'; '.join(refused)}")
    for sentence in refused:
        work.say(f"cannot be undone: {sentence}")
    return replace(run, plan=replace(run.plan, undo_refused=refused, undo_unchecked=unchecked))


def _try_refresh(work: Work) -> None:
    try:
        work.backend.refresh()
    except PackageError as error:
        work.say(f"the index was not refreshed: {error}")


PHASES: Mapping[Phase, Step] = {CHECK: check, CAPTURE: capture, REFRESH: refresh, PLAN: plan, FETCH: fetch}
