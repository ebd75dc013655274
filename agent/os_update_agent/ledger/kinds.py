"""The kinds of documents that lie in the ledger, each with its version and its upgrades.

See model.documents for the rules, and model.policy for the kind of a policy. A change of the tables raises SCHEMA in
ledger.database; a change of a document raises the version of its kind.
"""

from typing import Any, Dict, NamedTuple, Tuple

from os_update_agent.model.deliveries import Request, SignalTarget
from os_update_agent.model.documents import Kind
from os_update_agent.model.packages import Change
from os_update_agent.model.phases import (
    BACK_IN_SERVICE,
    CHANGED,
    IN_SERVICE,
    NOT_UNDONE,
    OUT_OF_SERVICE,
    UNDONE,
    UNTOUCHED,
    Impact,
    Service,
)
from os_update_agent.model.runs import Run

_FLAGS = ("begun", "undone", "left", "returned", "rebooted", "reboot_from", "reboots_asked", "reached")

_LISTS = {"removes_foreign": "removes_foreign", "not_restorable": "lost", "repacked": "rebuilt"}


def _with_progress_and_plan(run: Dict[str, Any]) -> Dict[str, Any]:
    """Run 1 -> 2: eight flags become the field "progress", four lists the field "plan". Its changes are not known."""
    flags = {name: run.pop(name) for name in _FLAGS if name in run}
    if not all(flags.get(name) in (None, True, False) for name in _FLAGS[:4]):
        raise TypeError("a flag is neither true nor false")
    undone, progress = flags.pop("undone", None), {name: flags[name] for name in _FLAGS[4:] if name in flags}
    impact: Impact = CHANGED if undone is None else UNDONE if undone else NOT_UNDONE
    service: Service = OUT_OF_SERVICE if flags.get("left") else IN_SERVICE
    progress["impact"] = impact if flags.get("begun") else UNTOUCHED
    progress["service"] = BACK_IN_SERVICE if flags.get("returned") else service
    plan = {new: run.pop(old) for old, new in _LISTS.items() if old in run}
    plan["held_back"] = [[item["name"], item["reason"]] for item in run.pop("held_back", ())]
    return {**run, "progress": progress, "plan": plan}


class PlannedChanges(NamedTuple):
    """The changes of a run's plan. They have their own column: there may be hundreds, and few readers need them."""

    changes: Tuple[Change, ...]


CHANGES = Kind(PlannedChanges)
# The number of a run is the number of its row.
RUN = Kind(Run, 2, {1: _with_progress_and_plan}, left_out=frozenset({"id"}))
REQUEST = Kind(Request)
TARGET = Kind(SignalTarget)
