"""Checks and repairs the files of the installed packages after a way back (law 2). Faults from before are left alone.

The rows of the package database can be right while files are missing: dpkg leaves a file to a package that replaces it,
and removes the file together with that package.
"""

from dataclasses import replace
from typing import Optional, Sequence, Tuple

from os_update_agent.model.errors import Damaged, PackageError
from os_update_agent.model.packages import PackageState, diff
from os_update_agent.model.phases import TRANSACT, UNDONE, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.packages.complaints import is_of_leaving, left_out_of
from os_update_agent.packages.file_faults import told, topmost
from os_update_agent.packages.state import visible
from os_update_agent.runs.context import Work, noted


def with_faults_before(work: Work) -> Run:
    """Return the run with the faults that are there before its way back begins. The run is not blamed for them.

    Some faults are not among them, because they have to be repaired: those that an earlier, failed way back has left,
    and those of packages that the run itself has changed to repair an interruption.
    """
    known = faults_before_failure(work)
    if known is None:
        known = topmost(fault for fault in work.backend.file_faults() if fault.name not in work.run.repaired)
    return replace(work.run, faults_before=known)


def faults_before_failure(work: Work) -> Optional[Tuple[str, ...]]:
    """Return the paths that were wrong before the last run that changed packages, if that run has failed on its way
    back. None in every other case: nothing has to be repaired.
    """
    for run in work.site.ledger.walk_runs():
        if isinstance(run, Damaged) or run.id == work.run.id:
            continue
        if not (run.leads_to_value and run.progress.change_began):
            continue
        return None if run.progress.reached or run.progress.impact == UNDONE else run.faults_before
    return None


def with_faults_before_undo(work: Work, before: PackageState, now: PackageState) -> Run:
    """The same for the undo of an update. A file that a changed package lists, or listed, counts as lost by the update:
    nothing was noted when it began.
    """
    if work.run.faults_before is not None:
        return work.run
    changes = visible(diff(before, now))
    names = {*work.run.repaired, *(change.name for change in changes)}
    own = work.backend.paths([change.after for change in changes if change.after is not None])
    faults = work.backend.file_faults()
    return replace(
        work.run,
        faults_before=topmost(fault for fault in faults if fault.path not in own and fault.name not in names),
    )


def with_files(work: Work, run: Run, start: PackageState, end: PackageState) -> Run:
    """Check the files after the way back in this phase, from ``start`` to ``end``. A package with a new fault is
    installed again from its kept file.

    Returns the run with a note of what was repaired. Raises PackageError that names the packages and files that could
    not be. A run that has not noted the faults before (an older agent began it) is not checked.
    """
    if run.faults_before is None:
        return run
    changed = tuple(change.after for change in visible(diff(start, end)) if change.after is not None)
    changed += tuple(one for one in end.packages if one.name in run.repaired and one not in changed)
    replaced = left_out_of(work.said_in(TRANSACT if work.run.phase == VERIFY else work.run.phase))
    packed = [package for package in changed if package.name in replaced]
    found = work.transition.faults(changed, packed, run.faults_before)
    if not found:
        return run
    work.say(f"files are wrong behind rows that are right: {told(found)}")
    complaints, lost = work.transition.reinstall(found, end)
    failures = tuple(one for one in complaints if not is_of_leaving(one))
    if failures and not work.backend.shows_failures:
        raise PackageError(_not_again(failures))
    # Other content directly after that is the work of the package's own scripts, and no fault.
    left = work.transition.faults([one for one in changed if one in lost], packed, run.faults_before)
    if left:
        raise PackageError(
            f"files are not as their packages have them: {told(left)}"
            + (f"; {_not_again(complaints)}" * bool(complaints))
        )
    if complaints:
        run = noted(run, f"the package manager complained during a repair of files: {'; '.join(complaints)}")
    return noted(run, f"files were repaired by installing their packages again: {told(found)}")


def _not_again(complaints: Sequence[str]) -> str:
    return f"files are wrong, and their packages cannot be installed again: {'; '.join(complaints)}"
