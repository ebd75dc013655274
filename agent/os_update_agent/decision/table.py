"""The table of law 1: the action is a hint, the ledger decides.

Heat replaces a failed deployment and delivers the replacement as CREATE, and it never says "rollback"
(heat: Resource.needs_replace_failed); so what to do follows from what this node knows about the value.
"""

from typing import Final, FrozenSet, Iterable, List, Literal, Mapping, NamedTuple, Optional, Tuple, Union

from os_update_agent.decision.state_names import is_state_name
from os_update_agent.decision.timestamps import is_older_than_all
from os_update_agent.model.deliveries import ACTIVE_ACTIONS
from os_update_agent.model.options import OnCreate, Operation
from os_update_agent.model.phases import RESTORE, START, STOP, UPDATE, RunKind
from os_update_agent.model.runs import History, Run

# What is done for a delivery: a run of some kind, or something that needs none.
Act = Union[RunKind, Literal["nothing", "baseline", "back", "stay"]]
NOTHING: Final = "nothing"
BASELINE: Final = "baseline"
BACK: Final = "back"
# The installed packages are recorded as the state of the value, and nothing is changed.
STAY: Final = "stay"


class Decision(NamedTuple):
    """What to do for one delivery, and the reason in words. ``state`` is the one to restore.

    ``is_first`` asks to keep the state before the run as the key's first state.
    """

    do: Act
    reason: str
    state: Optional[int] = None
    is_first: bool = False


class PastValues(NamedTuple):
    """The values run with one operation so far, oldest first.

    Values that a return to an older value has dropped are left out.

    Attributes:
        values: The values, oldest first.
        kind: The kind of the last run; None if there was none.
        is_reached: Whether the last run reached its target.
        failed_untouched: The values whose runs failed before they changed anything.
        began: The value with which the history began; None if that is not known.
    """

    values: Tuple[str, ...] = ()
    kind: Optional[RunKind] = None
    is_reached: bool = True
    failed_untouched: FrozenSet[str] = frozenset()
    began: Optional[str] = None

    def is_before(self, value: str) -> bool:
        """Return whether the value is older than the history."""
        return is_older_than_all(value, self.values if self.began is None else (self.began,))

    def nothing_was_touched_since(self, value: str) -> bool:
        """Return whether every run after the one of ``value`` failed before it changed anything."""
        if self.kind is None:
            return True
        later = self.values[self.values.index(value) + 1 :] if value in self.values else self.values
        return all(one in self.failed_untouched for one in later)


def past_values(history: History, runs: Iterable[Run], operation: Operation) -> PastValues:
    """Return the values of an operation from its key's history and from ``runs``, the key's runs, oldest first."""
    kinds = (STOP, START) if operation == STOP else (operation,)
    values: List[str] = [record.value for record in history.records if record.is_reached and record.reached_run is None]
    past = PastValues(tuple(values), began=history.began)
    for run in runs:
        if run.kind in kinds:
            untouched = past.failed_untouched
            if run.progress.change_began or run.progress.reached:
                untouched -= {run.value}
            elif run.value not in values:
                untouched |= {run.value}
            if run.value in values:
                del values[values.index(run.value) :]
            elif past.is_before(run.value):
                values.clear()
            values.append(run.value)
            began = run.value if past.began is None else past.began
            past = PastValues(tuple(values), run.kind, run.progress.reached, untouched, began)
    return past


def decide(
    history: History,
    action: str,
    value: str,
    *,
    operation: Operation = "update",
    past: Optional[PastValues] = None,
    on_create: OnCreate = "baseline",
) -> Decision:
    """Return one row of the table for a delivery that has no result yet.

    ``past`` is needed for every operation except update. ``on_create`` counts for update only.
    """
    if action not in ACTIVE_ACTIONS:
        return Decision(NOTHING, f"packages are not touched on {action}")
    if not value:
        return Decision(NOTHING, "the trigger input has no value, so there is nothing to do")
    if operation != "update":
        return _with_past_values(history, action, value, operation, past or PastValues())
    if not history.is_known:
        if action == "CREATE" and on_create == "baseline":
            return Decision(BASELINE, "first delivery: the installed packages are the baseline of this value")
        return Decision(UPDATE, "first delivery: this value is new", is_first=True)
    return _with_history(history, value)


def _with_history(history: History, value: str) -> Decision:
    record = history.record(value)
    if record is None:
        return _before_history(history) if _is_before(history, value) else Decision(UPDATE, "this value is new")
    if not record.is_reached:
        is_first = history.first_state is None and not any(other.is_reached for other in history.records)
        return Decision(UPDATE, "this value was tried before and never reached: it is run again", is_first=is_first)
    if history.current == value:
        return Decision(NOTHING, "the node stands at this value already")
    return Decision(RESTORE, "this value was reached before: its state is restored", record.state)


def _is_before(history: History, value: str) -> bool:
    """Return whether the value is older than the one with which the history began.

    Values that were accepted as older ones lie before that one. A ledger of an older agent does not hold it.
    """
    known = [other.value for other in history.records if not is_state_name(other.value)]
    return is_older_than_all(value, known if history.began is None else [history.began])


def _before_history(history: History) -> Decision:
    """Return the decision for an unknown value that is older than the history: back must never go forward."""
    if history.first_state is not None:
        return Decision(
            RESTORE,
            "this value is older than every known one: the state before the first update",
            history.first_state,
        )
    older = "this value is older than every known one, and no older state is recorded here"
    reached = [record for record in history.records if record.is_reached]
    if history.current is None and history.moved_by is None and reached:
        last = reached[-1]
        return Decision(
            RESTORE, f"{older}; the last run has left {last.value!r:.80}, whose state is restored", last.state
        )
    return Decision(STAY, f"{older}: the installed packages stay, and are recorded as its state")


def _with_past_values(history: History, action: str, value: str, operation: Operation, past: PastValues) -> Decision:
    """Return the decision for an operation other than update.

    Such a run records no package state, so the past values show whether a value is old. A first delivery is the
    baseline, whatever it asks for. Values after the one that returns were left by a rollback, or by hand: they are
    forgotten, and if one of them returns, it counts as new.
    """
    if action == "CREATE" and not history.is_known and not past.values:
        return Decision(BASELINE, "first delivery: the installed packages are the baseline of this value")
    switches = operation in (STOP, START)
    is_back = value in past.values[:-1] or past.is_before(value)
    if is_back and switches and past.nothing_was_touched_since(value):
        # The cause that made the newer value fail would make the start fail too, and with it the rollback.
        return Decision(NOTHING, "an old value is back, and no service was touched since")
    if is_back:
        return Decision(START if switches else BACK, f"an old value is back: {_BACK[operation]}")
    if value in past.values and switches and not past.is_reached and past.kind is not None:
        return Decision(past.kind, "this was tried before and not reached: it is tried again")
    if value in past.values and switches:
        return Decision(NOTHING, "this is the current value already, so no service is touched")
    return Decision(operation, f"{operation} only: packages stay as they are")


_BACK: Mapping[Operation, str] = {
    STOP: "the services have to run",
    START: "the services have to run",
    "download": "what going back needs is in the archive",
    "assess": "there is nothing to assess",
}
