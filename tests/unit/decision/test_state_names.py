"""The names of recorded states, and what each means."""

from typing import Any, Optional

import pytest

from os_update_agent.decision.state_names import (
    States,
    before_name,
    find_state,
    is_state_name,
    key_named,
    last_change,
    state_named,
)
from os_update_agent.decision.timestamps import utc_seconds
from os_update_agent.model.errors import Unrecorded
from os_update_agent.model.phases import CHANGED, RESTORE, UNDONE, UNTOUCHED, UPDATE
from os_update_agent.model.runs import History, Progress, Record, Run


def at(text: str) -> float:
    seconds = utc_seconds(text)
    assert seconds is not None
    return seconds


NOW = at("2026-12-01 08:00")


def run(number: int, value: str, started: str, before: int, after: Optional[int], **fields: Any) -> Run:
    kind = fields.pop("kind", UPDATE)
    progress = Progress(CHANGED, reached=True)
    if fields.pop("undone", False):
        progress, after = Progress(UNDONE), before
    elif after is None:
        progress = Progress(UNTOUCHED)
    begun = at(started)
    return Run(
        number, "web", value, kind, "finished", begun, finished=begun + 60, before=before, after=after,
        progress=progress, **fields,
    )  # fmt: skip


# Updated by hand to v1 (run 2) and v2 (run 5), undone on the way to v3 (run 7), back at v1 (run 9).
RUNS = (
    run(2, "v1", "2026-11-20 10:00", 1, 2, is_first=True),
    run(5, "v2", "2026-11-25 10:00", 2, 3, departing="v1"),
    run(7, "v3", "2026-11-27 10:00", 3, None, departing="v2", undone=True),
    run(9, "v1", "2026-11-29 10:00", 4, 2, departing="v2", kind=RESTORE),
)
HISTORY = History(
    "web",
    "v1",
    1,
    (
        Record("v2", 3, 1.0, at("2026-11-25 10:01"), 5, 5),
        Record("v1", 2, 1.0, at("2026-11-29 10:01"), 9, 9),
        Record("v3", None, 1.0, None, 7),
    ),
    "v1",
)
BY_HAND = States(HISTORY, RUNS)
FIRST = "(before v1)"


@pytest.mark.parametrize(("text", "name", "state"), [
    ("v1", "v1", 2),
    ("v3", "v3", None),
    (FIRST, FIRST, 1),
    ("before v1", FIRST, 1),
    ("before", FIRST, 1),
    ("(bef", FIRST, 1),
    ("(before v2)", "v1", 2),
    ("(before run:9)", "(before run:9)", 4),
    ("(before #5)", "v1", 2),
    ("run:2", "v1", 2),
    ("#5", "v2", 3),
    ("5", "v2", 3),
    ("run:7", "v2", 3),
    ("at:2026-11-24", "v1", 2),
    ("2026-11-25", "v2", 3),
    ("2026-11-25 09:59", "v1", 2),
    ("2026-11-25T10:30+01:00", "v1", 2),
    ("2026-11-25T10:30:00Z", "v2", 3),
    ("2026-11-28", "v2", 3),
    ("2026-12-01", "v1", 2),
    ("2026-11-01", FIRST, 1),
])  # fmt: skip
def test_a_state_has_these_names(text: str, name: str, state: Optional[int]) -> None:
    found = state_named(BY_HAND, text, NOW)
    assert (found.name, found.state) == (name, state)
    assert (found.meaning == "") == (text == name and found.record is not None)
    # The name that is given leads to the same state again.
    assert state_named(BY_HAND, found.name, NOW).state == state


@pytest.mark.parametrize(("text", "why"), [
    ("v", "'v' could be each of 'v2', 'v1', 'v3'; give more of it"),
    ("w", "recorded values: '(before v1)', 'v2', 'v1', 'v3'"),
    ("", "is not recorded"),
    ("run:4", "run 4 is no recorded run of 'web'"),
    ("#4", "run 4 is no recorded run of 'web'"),
    ("4", "is not recorded"),
    ("at:noon", "names no time"),
    ("2026-12-02", "lies in the future"),
    ("2026-12-01 09:00", "lies in the future"),
    ("(before w)", "'w' is not recorded"),
])  # fmt: skip
def test_a_name_that_leads_nowhere_says_what_would(text: str, why: str) -> None:
    with pytest.raises(Unrecorded) as error:
        state_named(BY_HAND, text, NOW)
    assert why in str(error.value)


def with_values(*values: str) -> States:
    records = tuple(Record(value, 10 + number, 1.0, 2.0, number, number) for number, value in enumerate(values, 1))
    return States(History("web", values[-1], None, records, values[0]), RUNS)


@pytest.mark.parametrize(("values", "text", "name"), [
    (("run:2", "b"), "run:2", "run:2"),
    (("5", "b"), "5", "5"),
    (("2026-11-25", "b"), "2026-11-25", "2026-11-25"),
    (("(before b)", "b"), "(before b)", "(before b)"),
    (("52", "b"), "5", "52"),
    (("2026-11-25T06:00:00Z", "b"), "2026-11-25", "2026-11-25T06:00:00Z"),
])  # fmt: skip
def test_a_value_always_wins(values: Any, text: str, name: str) -> None:
    assert state_named(with_values(*values), text, NOW).name == name


def test_a_bare_number_is_no_run_of_a_key_whose_values_are_numbers() -> None:
    with pytest.raises(Unrecorded, match="run:N"):
        state_named(with_values("41", "42"), "7", NOW)
    assert find_state(with_values("41", "42"), "9", NOW, may_be_new=True) is None
    assert state_named(with_values("41", "42"), "run:5", NOW).state == 3


def test_a_date_that_several_values_begin_with_names_no_one_of_them() -> None:
    known = with_values("2026-11-25T06:00:00Z", "2026-11-25T18:00:00Z")
    with pytest.raises(Unrecorded, match=r"could be each of .*06:00.*18:00.*or at:2026-11-25"):
        state_named(known, "2026-11-25", NOW)
    assert state_named(known, "at:2026-11-25", NOW).state == 3


@pytest.mark.parametrize(("text", "state"), [
    ("2026-11-30", None), ("2026-12-01", None), ("2027-01-01", None), ("v4", None), ("2026-11-26", 3), ("5", 3),
])  # fmt: skip
def test_what_may_be_a_new_value_names_a_state_only_if_it_is_an_older_one(text: str, state: Optional[int]) -> None:
    found = find_state(BY_HAND, text, NOW, may_be_new=True)
    assert (found.state if found else None) == state


def test_the_last_change_is_that_of_the_newest_run_that_changed_something() -> None:
    assert last_change(BY_HAND)[:2] == ("(before run:9)", 4)
    assert last_change(States(HISTORY, RUNS[:3]))[:2] == ("v1", 2)
    assert last_change(States(HISTORY, RUNS[:1]))[:2] == (FIRST, 1)
    with pytest.raises(Unrecorded, match="nothing to undo"):
        last_change(States(HISTORY, ()))


def test_a_key_with_a_baseline_has_nothing_before_it() -> None:
    based = History("web", "v1", None, (Record("v1", 1, at("2026-11-20 10:00"), at("2026-11-20 10:00")),), "v1")
    assert before_name(based) is None
    for text in ("before", "(before v1)"):
        with pytest.raises(Unrecorded, match="baseline"):
            state_named(States(based), text, NOW)
    with pytest.raises(Unrecorded, match="no state of 'web' is as old"):
        state_named(States(based), "2026-11-19", NOW)
    assert state_named(States(based), "2026-11-20", NOW).name == "v1"


def test_the_first_state_of_an_older_ledger_is_named_by_the_value_tried_first() -> None:
    assert before_name(HISTORY._replace(began=None)) == "(before v2)"


def test_the_state_before_the_first_update_that_became_a_value_is_that_value() -> None:
    records = (*HISTORY.records, Record(FIRST, 8, 1.0, 2.0, 10, 10))
    assert state_named(States(HISTORY._replace(records=records), RUNS), "before", NOW).state == 8


def test_an_open_run_has_left_nothing_yet() -> None:
    (first, *_), open_run = RUNS, Run(11, "web", "v5", UPDATE, "transact", NOW, before=2)
    with pytest.raises(Unrecorded, match="still open"):
        state_named(States(HISTORY, (first, open_run)), "run:11", NOW)


def test_a_key_is_known_by_its_beginning() -> None:
    keys = ("web/1", "web/2", "db")
    assert key_named(keys, "d") == "db" and key_named(keys, "web/2") == "web/2" and key_named(keys, "app") is None
    assert key_named(("web", "web/2"), "web") == "web"
    with pytest.raises(Unrecorded, match="'web/1', 'web/2'"):
        key_named(keys, "we")


@pytest.mark.parametrize(("text", "expected"), [
    ("(before v1)", True), ("run:3", True), ("#3", True), ("at:x", True), ("v1", False), ("3", False), ("run:x", False),
])  # fmt: skip
def test_some_texts_have_the_form_of_a_name(text: str, expected: bool) -> None:
    assert is_state_name(text) == expected
