"""All transitions of a run: in a phase something happens, and the next phase follows. The engine goes by this table;
agent/README.rst draws it. A run that was cut off after it had touched something stays in its phase, and one that
another run has gone on from is closed where it is (delivery/execute.py).

    check -> capture -> [refresh] -> plan -> fetch -> leave -> transact -> verify -> restart -> [reboot] -> health
    -> return -> record -> finished
    A failure after the transaction has started: undo -> restart -> [reboot] -> return.

A run that stops or starts services goes check -> transact -> verify -> return -> record -> finished. Pure.
"""

from dataclasses import replace
from typing import Final, Literal, Mapping, Tuple

from os_update_agent.model.options import OnFailure
from os_update_agent.model.phases import (
    CAPTURE,
    CHECK,
    FETCH,
    FINISHED,
    HEALTH,
    LEAVE,
    PLAN,
    REBOOT,
    RECORD,
    REFRESH,
    RESTART,
    RETURN,
    TRANSACT,
    UNDO,
    VERIFY,
    Phase,
)
from os_update_agent.model.runs import Run

Event = Literal[
    "done",
    "done on the way back",
    "target is recorded",
    "nothing to change",
    "reported",
    "downloaded",
    "units found",
    "units switched",
    "reboot is due",
    "nothing has changed",
    "undo is incomplete",
    "failed",
    "failed on the way back",
    "failed after a change began",
    "transaction broke off",
    "cut off too often",
    "cut off",
]
DONE: Final = "done"
# The same phase after the undo: the packages are as before, so health.d has nothing to look at.
DONE_BACK: Final = "done on the way back"
# A restore needs no package index: its target is in the ledger.
TARGET_IS_RECORDED: Final = "target is recorded"
NOTHING_TO_CHANGE: Final = "nothing to change"
# The aims of an assessment and of a download.
REPORTED: Final = "reported"
DOWNLOADED: Final = "downloaded"
# A run that stops or starts services.
UNITS_FOUND: Final = "units found"
UNITS_SWITCHED: Final = "units switched"
REBOOT_IS_DUE: Final = "reboot is due"
# The transaction failed before it changed anything (its lock was not free, say).
NOTHING_HAS_CHANGED: Final = "nothing has changed"
UNDO_IS_INCOMPLETE: Final = "undo is incomplete"
# Nothing has to be undone: nothing was changed yet, or the policy keeps what was.
FAILED: Final = "failed"
FAILED_BACK: Final = "failed on the way back"
FAILED_AFTER_CHANGE: Final = "failed after a change began"
# An exception after the transaction began: verify asks the package database how far it came.
BROKE_OFF: Final = "transaction broke off"
# The worker was killed in the transaction again and again: what it did is undone without another look.
CUT_OFF_TOO_OFTEN: Final = "cut off too often"
# A run that has not touched anything is taken up again: the node may have changed meanwhile.
CUT_OFF: Final = "cut off"

TRANSITIONS: Mapping[Tuple[Phase, Event], Phase] = {
    (CHECK, DONE): CAPTURE,
    (CHECK, UNITS_FOUND): TRANSACT,
    (CHECK, FAILED): RETURN,
    (CAPTURE, DONE): REFRESH,
    (CAPTURE, TARGET_IS_RECORDED): PLAN,
    (CAPTURE, FAILED): RETURN,
    (REFRESH, DONE): PLAN,
    (REFRESH, FAILED): RETURN,
    (PLAN, DONE): FETCH,
    (PLAN, NOTHING_TO_CHANGE): RETURN,
    (PLAN, REPORTED): RECORD,
    (PLAN, FAILED): RETURN,
    (FETCH, DONE): LEAVE,
    (FETCH, DOWNLOADED): RECORD,
    (FETCH, FAILED): RETURN,
    (LEAVE, DONE): TRANSACT,
    (LEAVE, FAILED): RETURN,
    (TRANSACT, DONE): VERIFY,
    (TRANSACT, BROKE_OFF): VERIFY,
    (TRANSACT, FAILED): RETURN,
    (TRANSACT, CUT_OFF_TOO_OFTEN): UNDO,
    (VERIFY, DONE): RESTART,
    (VERIFY, UNITS_SWITCHED): RETURN,
    (VERIFY, NOTHING_HAS_CHANGED): RETURN,
    (VERIFY, FAILED): RETURN,
    (VERIFY, FAILED_AFTER_CHANGE): UNDO,
    (RESTART, DONE): HEALTH,
    (RESTART, REBOOT_IS_DUE): REBOOT,
    (RESTART, FAILED): RETURN,
    (RESTART, FAILED_AFTER_CHANGE): UNDO,
    (RESTART, DONE_BACK): RETURN,
    (RESTART, FAILED_BACK): RETURN,
    (REBOOT, DONE): HEALTH,
    (REBOOT, FAILED): RETURN,
    (REBOOT, FAILED_AFTER_CHANGE): UNDO,
    (REBOOT, DONE_BACK): RETURN,
    (REBOOT, FAILED_BACK): RETURN,
    (HEALTH, DONE): RETURN,
    (HEALTH, FAILED): RETURN,
    (HEALTH, FAILED_AFTER_CHANGE): UNDO,
    (UNDO, DONE): RESTART,
    (UNDO, UNITS_SWITCHED): RETURN,
    (UNDO, UNDO_IS_INCOMPLETE): RETURN,
    (UNDO, FAILED): RETURN,
    (RETURN, DONE): RECORD,
    (RETURN, FAILED): RECORD,
    (RECORD, DONE): FINISHED,
    (RECORD, FAILED): FINISHED,
    **{(phase, CUT_OFF): CHECK for phase in (CHECK, CAPTURE, REFRESH, PLAN, FETCH, LEAVE, TRANSACT, RETURN, RECORD)},
}


def after(run: Run, event: Event) -> Run:
    """Return the run in the phase that follows its present one.

    Raises KeyError for an event that the phase does not have: a bug.
    """
    return replace(run, phase=TRANSITIONS[run.phase, event])


def failure_in(run: Run, on_failure: OnFailure, *, is_given_up: bool = False) -> Event:
    """Return the kind of failure that a failing phase means for the run (law 6).

    ``is_given_up``: the phase did not fail, but was cut off too often.
    """
    if run.phase == TRANSACT and run.progress.change_began:
        if not is_given_up:
            return BROKE_OFF
        return CUT_OFF_TOO_OFTEN if on_failure == "restore" else FAILED
    if run.phase in (UNDO, RETURN, RECORD):
        return FAILED
    if run.progress.undo_was_tried:
        return FAILED_BACK
    return FAILED_AFTER_CHANGE if run.progress.change_began and on_failure == "restore" else FAILED
