"""Which states stay restorable."""

from typing import Optional

import pytest

from os_update_agent.model import History, Record
from os_update_agent.retention import kept_states


def history(*states: int, current: Optional[int] = None, first_state: Optional[int] = None) -> History:
    records = tuple(Record(f"v{state}", state, tried=float(state), reached=float(state)) for state in states)
    return History("key", None if current is None else f"v{current}", first_state, records)


@pytest.mark.parametrize(("known", "keep", "kept"), [
    (history(), 5, ()),
    (history(1, 2, 3, current=3), 5, (1, 2, 3)),
    (history(1, 2, 3, current=3), 2, (1, 2, 3)),
    (history(1, 2, 3, current=3), 1, (2, 3)),
    (history(1, 2, 3, current=1), 1, (3, 1)),
    (history(1, 2, 3), 1, (3,)),
    (history(2, 3, current=3, first_state=1), 1, (2, 3, 1)),
    (history(2, 3, current=3, first_state=3), 2, (2, 3)),
    (history(first_state=1), 5, (1,)),
    (history(1, 2, 3, current=3, first_state=9), 0, ()),
])  # fmt: skip
def test_the_last_reached_the_current_and_the_first_state(known: History, keep: int, kept: "tuple[int, ...]") -> None:
    assert kept_states(known, keep) == kept


def test_two_values_with_one_state_keep_it_once() -> None:
    records = (Record("v1", 1, 1.0, 1.0), Record("v2", 1, 2.0, 2.0))
    assert kept_states(History("key", "v2", None, records), 5) == (1,)


def test_what_was_never_reached_takes_no_place() -> None:
    records = (Record("v1", 1, 1.0, 1.0), Record("v2", None, 2.0, None), Record("v3", None, 3.0, None))
    assert kept_states(History("key", "v1", None, records), 1) == (1,)
