"""The table of law 1: the action is a hint, the ledger decides.

Heat replaces a failed deployment and delivers the replacement as CREATE, and it never says "rollback"
(heat: Resource.needs_replace_failed); so what to do follows from what this node knows about the value.
"""

from dataclasses import dataclass
from typing import Final, FrozenSet, Iterable, List, Literal, Mapping, Optional, Tuple, Union

from os_update_agent.decision.timestamps import is_older_than_all
from os_update_agent.model.options import Operation
from os_update_agent.model.phases import RESTORE, START, STOP, UPDATE, RunKind
from os_update_agent.model.runs import History, Run

# What is done for a delivery: a run of some kind, or something that needs none.
Act = Union[RunKind, Literal["nothing", "baseline", "back"]]
NOTHING: Final = "nothing"
BASELINE: Final = "baseline"
BACK: Final = "back"

ACTIVE_ACTIONS = ("CREATE", "UPDATE")


@dataclass(frozen=True)
class Decision:
    """What to do for one delivery, and the reason in words. ``state`` is the one to restore.

    ``is_first`` asks to keep the state before the run as the key's first state.
    """

    do: Act
    reason: str
    state: Optional[int] = None
    is_first: bool = False


@dataclass(frozen=True)
class Line:
    """The values that an operation other than update has come through and not gone back from, the oldest first.

    ``kind`` is that of the last run, None where there was none, and ``is_reached`` says whether that run reached its
    aim; both are about the last value. ``idle`` are the values whose runs failed before they touched anything.
    """

    values: Tuple[str, ...] = ()
    kind: Optional[RunKind] = None
    is_reached: bool = True
    idle: FrozenSet[str] = frozenset()

    def is_idle_since(self, value: str) -> bool:
        behind = self.values[self.values.index(value) + 1 :] if value in self.values else self.values
        return all(one in self.idle for one in behind)


def line_of(history: History, runs: Iterable[Run], operation: Operation) -> Line:
    """The line of an operation out of its key's history. ``runs`` are those of the key, the oldest first."""
    kinds = (STOP, START) if operation == STOP else (operation,)
    values: List[str] = [record.value for record in history.records if record.is_reached and record.reached_run is None]
    line = Line(tuple(values))
    idle: FrozenSet[str] = frozenset()
    for run in runs:
        if run.kind in kinds:
            if run.progress.change_began or run.progress.reached:
                idle -= {run.value}
            elif run.value not in values:
                idle |= {run.value}
            if run.value in values:
                del values[values.index(run.value) :]
            values.append(run.value)
            line = Line(tuple(values), run.kind, run.progress.reached, idle)
    return line


def decide(
    history: History,
    action: str,
    value: str,
    *,
    operation: Operation = "update",
    line: Optional[Line] = None,
) -> Decision:
    """Return one row of the table for a delivery that has no result yet.

    ``line`` is needed for every operation but update.
    """
    if action not in ACTIVE_ACTIONS:
        return Decision(NOTHING, f"packages are not touched on {action}")
    if not value:
        return Decision(NOTHING, "the trigger input has no value, so there is nothing to do")
    if operation != "update":
        return _on_a_line(history, action, value, operation, line or Line())
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
            return Decision(
                RESTORE,
                "this value is older than every known one: the state before the first update",
                history.first_state,
            )
        return Decision(UPDATE, "this value is new")
    if not record.is_reached:
        is_first = history.first_state is None and not any(other.is_reached for other in history.records)
        return Decision(UPDATE, "this value was tried before and never reached: it is run again", is_first=is_first)
    if history.current == value:
        return Decision(NOTHING, "the node stands at this value already")
    return Decision(RESTORE, "this value was reached before: its state is restored", record.state)


def _on_a_line(history: History, action: str, value: str, operation: Operation, line: Line) -> Decision:
    """These leave no package state behind, so an old value is known by the line; and a first delivery is the baseline
    whatever it asks for.

    What is behind the value that comes back was left by a rollback, or by hand: if it comes again, it is new again.
    """
    if action == "CREATE" and not history.is_known and not line.values:
        return Decision(BASELINE, "first delivery: the installed packages are the baseline of this value")
    switches = operation in (STOP, START)
    is_back = value in line.values[:-1] or is_older_than_all(value, line.values)
    if is_back and switches and line.is_idle_since(value):
        # What stood in the way of the newer value would stand in the way of a start too, and fail the rollback for
        # nothing.
        return Decision(NOTHING, "an old value is back, and no service was touched since")
    if is_back:
        return Decision(START if switches else BACK, f"an old value is back: {_BACK[operation]}")
    if value in line.values and switches and not line.is_reached and line.kind is not None:
        return Decision(line.kind, "this was tried before and not reached: it is tried again")
    if value in line.values and switches:
        return Decision(NOTHING, "this is the current value already, so no service is touched")
    return Decision(operation, f"{operation} only: packages stay as they are")


_BACK: Mapping[Operation, str] = {
    STOP: "the services have to run",
    START: "the services have to run",
    "download": "what going back needs is in the archive",
    "assess": "there is nothing to assess",
}
