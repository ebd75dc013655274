"""Which of the values of a key are the older ones, and which runs have gone back. Pure."""

from typing import Dict, Iterable, Optional, Sequence

from os_update_agent.model.phases import RESTORE, UPDATE
from os_update_agent.model.runs import History, Run


def age_of(key: str, runs: Iterable[Run], value: str) -> int:
    """Return a number that is the smaller, the older the state of a value is.

    An update records the state of its value, and that of the value that it leaves anew. A way back to a value makes
    that no younger: what it leaves as it was belongs to other keys.
    """
    updates = [run for run in runs if run.key == key and run.kind == UPDATE]
    left = max((run.id for run in updates if run.departing == value and run.before is not None), default=0)
    reached = max((run.id for run in updates if run.value == value and run.progress.reached), default=0)
    return max(2 * left, 2 * reached + 1 if reached else 0)


def goes_back(key: str, runs: Sequence[Run], value: str, position: Optional[str]) -> bool:
    """Return whether a value of the key is older than its position, by the first updates to each. ``position`` is the
    value at which the key stands or was last; None if it is not known.
    """
    first: Dict[str, int] = {}
    for run in runs:
        if run.key == key and run.kind == UPDATE:
            first.setdefault(run.value, run.id)
    here = max(first.values(), default=0) if position is None else first.get(position, 0)
    return first.get(value, 0) < here


def has_gone_back(run: Run, runs: Sequence[Run]) -> bool:
    """Return whether the run is a way back to an older value. ``runs`` are those of all keys."""
    return run.kind == RESTORE and goes_back(run.key, runs, run.value, run.departing)


def leads_back(history: History, runs: Sequence[Run], value: str) -> Optional[bool]:
    """Return whether the key goes back if it goes to a value now; None if it only returns to its own value. ``runs``
    are those of all keys, the oldest first.
    """
    mover = next((run for run in runs if run.id == history.moved_by), None)
    if history.current is None and history.moved_from == value and mover is not None:
        # Another key has moved the packages of this one: to its value is the opposite way.
        return not has_gone_back(mover, runs)
    ended = (
        run for run in reversed(runs) if run.key == history.key and run.leads_to_value and run.finished is not None
    )
    position = history.current or history.moved_from or next((run.value for run in ended), None)
    return None if value == position else goes_back(history.key, runs, value, position)
