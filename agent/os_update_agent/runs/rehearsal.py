"""Rehearses a plan and its undo with the package files that are here, for the run and for ``plan``."""

import os
from pathlib import Path
from typing import NamedTuple, Sequence, Tuple

from os_update_agent.model.errors import AgentError, Busy, PackageError
from os_update_agent.model.packages import Package, PackageState, diff
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.state import transaction, visible
from os_update_agent.packages.transition import Transition
from os_update_agent.packages.undo_check import UndoCheck


class Rehearsed(NamedTuple):
    """The result of rehearsing a plan.

    Attributes:
        reason: The package manager's reason against the plan ("": it would do exactly that).
        unchecked: What could not be rehearsed, and why.
        undo: What the rehearsal of the undo has found.
    """

    reason: str = ""
    unchecked: Tuple[str, ...] = ()
    undo: UndoCheck = UndoCheck()


def rehearsed(
    backend: Backend, archive: Archive, root: Path, before: PackageState, target: PackageState, *, forced: bool
) -> Rehearsed:
    """Rehearse a plan and its undo as far as the files are here. Nothing is fetched or changed."""
    absent = archive.missing(transaction(before, target).install)
    if absent:
        return Rehearsed(unchecked=(f"whether {backend.name} would do this, and undo it: {_to_fetch(absent)}",))
    with open(os.devnull, "wb") as nowhere:
        transition = Transition(backend, archive, root, nowhere, only_look=True)
        try:
            transition.rehearse(before, target, forced=forced)
        except Busy as error:
            return Rehearsed(unchecked=(str(error),))
        except PackageError as error:
            return Rehearsed(reason=str(error))
        old = archive.missing([change.before for change in visible(diff(before, target)) if change.before])
        if old:
            return Rehearsed(unchecked=(f"whether {backend.name} would undo it: {_to_fetch(old)}",))
        return Rehearsed(undo=undo_checked(transition, before, target))


def undo_checked(transition: Transition, before: PackageState, target: PackageState) -> UndoCheck:
    """Return what the rehearsal of the way back has found. An error of the rehearsal itself proves nothing."""
    try:
        return transition.check_undo(before, target)
    except AgentError as error:
        return UndoCheck(unchecked=(f"the way back could not be rehearsed: {error}",))


def _to_fetch(packages: Sequence[Package]) -> str:
    count = len(packages)
    return f"{'1 package file has' if count == 1 else f'{count} package files have'} to be fetched first"
