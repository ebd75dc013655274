"""The table of law 1: the action is a hint, the ledger decides.

Heat replaces a failed deployment and delivers the replacement as CREATE, and it never says "rollback"
(heat: Resource.needs_replace_failed); so what to do follows from what this node knows about the value.
"""

from dataclasses import dataclass
from typing import Optional

from os_update_agent.model import History
from os_update_agent.order import is_older_than_all

REPEAT = "repeat"
NOTHING = "nothing"
BASELINE = "baseline"
UPDATE = "update"
RESTORE = "restore"
DOWNLOAD = "download"
ASSESS = "assess"

ACTIVE_ACTIONS = ("CREATE", "UPDATE")


@dataclass(frozen=True)
class Decision:
    """What to do for one delivery, and the reason in words. ``state`` is the one to restore.

    ``is_first`` asks to keep the state before the run as the key's first state.
    """

    do: str
    reason: str
    state: Optional[int] = None
    is_first: bool = False


def decide(history: History, action: str, value: str, *, operation: str = "update", is_finished: bool = False) -> Decision:
    """One row of the table for one delivery. ``is_finished``: this very delivery (config id) has its result already."""
    if is_finished:
        return Decision(REPEAT, "this delivery is finished; its stored result is given again")
    if action not in ACTIVE_ACTIONS:
        return Decision(NOTHING, f"packages are not touched on {action}")
    if not value:
        return Decision(NOTHING, "the trigger input has no value, so there is nothing to do")
    if operation != "update":
        return _without_history(history, action, operation)
    if not history.is_known:
        if action == "CREATE":
            return Decision(BASELINE, "first delivery: the installed packages are the baseline of this value")
        return Decision(UPDATE, "first delivery: this value is new", is_first=True)
    return _with_history(history, value)


def _with_history(history: History, value: str) -> Decision:
    record = history.record(value)
    if record is None:
        known = (other.value for other in history.records)
        if history.first_state is not None and is_older_than_all(value, known):
            return Decision(RESTORE, "this value is older than every known one: the state before the first update", history.first_state)
        return Decision(UPDATE, "this value is new")
    if not record.is_reached:
        is_first = history.first_state is None and not any(other.is_reached for other in history.records)
        return Decision(UPDATE, "this value was tried before and never reached: it is run again", is_first=is_first)
    if history.current == value:
        return Decision(NOTHING, "the node stands at this value already")
    return Decision(RESTORE, "this value was reached before: its state is restored", record.state)


def _without_history(history: History, action: str, operation: str) -> Decision:
    """download and assess change no package and leave no state behind; but a first delivery is the baseline whatever it asks for."""
    if action == "CREATE" and not history.is_known:
        return Decision(BASELINE, "first delivery: the installed packages are the baseline of this value")
    return Decision(DOWNLOAD if operation == "download" else ASSESS, f"{operation} only: packages stay as they are")
