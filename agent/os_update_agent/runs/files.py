"""The files behind the rows after a way back (law 2): what was wrong before is known, what is new is repaired.

The package manager may take files along that its database still lists: dpkg leaves a file to the package that replaces
it, and removes the file with that package.
"""

from dataclasses import replace

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import PackageState, diff
from os_update_agent.model.phases import TRANSACT, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.packages.complaints import leaves_files_out
from os_update_agent.packages.file_faults import told, topmost
from os_update_agent.packages.state import visible
from os_update_agent.runs.context import Work, noted


def with_faults_before(work: Work) -> Run:
    """Return the run with the paths whose files are wrong before its way back begins: it is not blamed for them."""
    return replace(work.run, faults_before=topmost(work.backend.file_faults()))


def with_faults_before_undo(work: Work, before: PackageState, now: PackageState) -> Run:
    """The same for the undo of an update. A file that a changed package lists, or listed, counts as lost by the update:
    nothing was noted when it began.
    """
    if work.run.faults_before is not None:
        return work.run
    changes = visible(diff(before, now))
    names = {change.name for change in changes}
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
    not be.
    """
    changed = tuple(change.after for change in visible(diff(start, end)) if change.after is not None)
    transacting = TRANSACT if work.run.phase == VERIFY else work.run.phase
    packed = changed if leaves_files_out(work.said_in(transacting)) else ()
    earlier = run.faults_before or ()
    found = work.transition.faults(changed, packed, earlier)
    if not found:
        return run
    work.say(f"files are wrong behind rows that are right: {told(found)}")
    left = work.transition.reinstall(found, end, packed, earlier)
    if left:
        raise PackageError(f"files are not as their packages have them: {told(left)}")
    return noted(run, f"files were repaired by installing their packages again: {told(found)}")
