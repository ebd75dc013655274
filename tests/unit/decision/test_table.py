"""The table of law 1, row by row, and the traps of Heat that it answers."""

from typing import List, Optional

import pytest

from os_update_agent.decision.table import (
    BACK,
    BASELINE,
    NOTHING,
    STAY,
    PastValues,
    decide,
    past_values,
)
from os_update_agent.model.options import Operation
from os_update_agent.model.phases import ASSESS, CHANGED, DOWNLOAD, RESTORE, START, STOP, UNTOUCHED, UPDATE, RunKind
from os_update_agent.model.runs import History, Progress, Record, Run

NEW = History("key")


def reached(value: str, state: int) -> Record:
    return Record(value, state, tried=1.0, reached=2.0)


def tried(value: str) -> Record:
    return Record(value, None, tried=1.0, reached=None)


def history(
    *records: Record, current: Optional[str] = None, first_state: Optional[int] = None, began: Optional[str] = None
) -> History:
    return History("key", current, first_state, records, began)


# A node that was made with v1, updated to v2 and stands there.
KNOWN = history(reached("v1", 1), reached("v2", 2), current="v2")


def test_the_first_create_makes_a_baseline() -> None:
    decision = decide(NEW, "CREATE", "v1")
    assert (decision.do, decision.state, decision.is_first) == (BASELINE, None, False)


def test_the_first_update_runs_and_keeps_the_state_before_it() -> None:
    decision = decide(NEW, "UPDATE", "v2")
    assert (decision.do, decision.is_first) == (UPDATE, True)


@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
def test_the_current_value_is_nothing_to_do(action: str) -> None:
    assert decide(KNOWN, action, "v2").do == NOTHING


@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
def test_a_value_that_was_reached_earlier_is_restored(action: str) -> None:
    decision = decide(KNOWN, action, "v1")
    assert (decision.do, decision.state) == (RESTORE, 1)


@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
def test_a_value_that_was_never_reached_is_run_again(action: str) -> None:
    decision = decide(history(reached("v1", 1), tried("v2"), current="v1"), action, "v2")
    assert (decision.do, decision.is_first) == (UPDATE, False)


@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
def test_a_new_value_of_a_known_key_is_an_update(action: str) -> None:
    decision = decide(KNOWN, action, "v3")
    assert (decision.do, decision.is_first) == (UPDATE, False)


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
@pytest.mark.parametrize("known", [NEW, KNOWN])
@pytest.mark.parametrize("operation", ["update", "download", "assess", "stop", "start"])
def test_other_actions_touch_no_package(known: History, action: str, operation: Operation) -> None:
    decision = decide(known, action, "v3", operation=operation)
    assert (decision.do, action in decision.reason) == (NOTHING, True)


@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "DELETE"])
@pytest.mark.parametrize("known", [NEW, KNOWN])
def test_an_unset_value_is_nothing_to_do(known: History, action: str) -> None:
    assert decide(known, action, "").do == NOTHING


def test_the_rollback_of_a_failed_node_arrives_as_create_of_the_old_value_where_the_node_stands() -> None:
    """The failed update was undone, so the node never left v1."""
    known = history(reached("v1", 1), tried("v2"), current="v1")
    assert decide(known, "CREATE", "v1").do == NOTHING


def test_the_rollback_of_a_node_that_a_failed_update_left_in_between_restores() -> None:
    known = history(reached("v1", 1), tried("v2"), current=None)
    decision = decide(known, "CREATE", "v1")
    assert (decision.do, decision.state) == (RESTORE, 1)


def test_the_retry_after_a_failed_first_update_arrives_as_create_and_is_no_baseline() -> None:
    known = history(tried("v2"), first_state=7)
    assert decide(known, "CREATE", "v2").do == UPDATE


def test_a_value_whose_restore_failed_is_restored_again() -> None:
    known = history(reached("v2", 2), Record("v1", 1, tried=9.0, reached=2.0), current=None)
    decision = decide(known, "CREATE", "v1")
    assert (decision.do, decision.state) == (RESTORE, 1)


def test_a_reached_record_without_a_state_is_not_reached() -> None:
    assert decide(history(Record("v1", None, tried=1.0, reached=2.0), current="v1"), "UPDATE", "v1").do == UPDATE


@pytest.mark.parametrize(("first", "earlier"), [
    ("2026-11-23T06:44:36Z", "2026-11-22T06:44:36Z"),
    ("1795416276", "1795329876"),
    ("Mon Nov 23 06:44:36 UTC 2026", "Sun Nov 22 06:44:36 UTC 2026"),
])  # fmt: skip
def test_an_untold_first_value_that_is_older_than_all_known_ones_is_the_state_before_the_first_update(
    first: str, earlier: str
) -> None:
    known = history(reached(first, 2), current=first, first_state=1)
    decision = decide(known, "UPDATE", earlier)
    assert (decision.do, decision.state) == (RESTORE, 1)


def test_an_older_value_also_finds_the_first_state_when_no_update_was_ever_reached() -> None:
    decision = decide(history(tried("2026-11-23"), first_state=1), "UPDATE", "2026-11-22")
    assert (decision.do, decision.state) == (RESTORE, 1)


@pytest.mark.parametrize("value", ["2026-11-24", "2026-11-22T11:00:00Z", "v1", "1795345200", "20261122"])
def test_an_unknown_value_that_is_newer_or_not_to_be_compared_is_new(value: str) -> None:
    known = history(reached("2026-11-23", 2), current="2026-11-23", first_state=1)
    assert decide(known, "UPDATE", value).do == UPDATE


def test_an_older_value_in_between_is_new() -> None:
    known = history(reached("2026-11-21", 2), reached("2026-11-23", 3), current="2026-11-23", first_state=1)
    assert decide(known, "UPDATE", "2026-11-22").do == UPDATE


@pytest.mark.parametrize("value", ["2026-11-22", "20261121", "1795329876", "2026-11-22T09:00:00Z"])
@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
def test_an_older_value_of_a_key_that_began_with_a_baseline_changes_nothing(action: str, value: str) -> None:
    """A server that came later must not go forward when the others go back."""
    known = history(reached("2026-11-23", 2), current="2026-11-23", began="2026-11-23")
    decision = decide(known, action, value)
    assert (decision.do, "older than every known one" in decision.reason) == (STAY, True)
    # An older agent has recorded no beginning.
    assert decide(known._replace(began=None), action, value).do == STAY


def test_a_second_older_value_changes_nothing_either_also_in_between() -> None:
    """The accepted older value is no beginning: what lies between it and the baseline is older, too."""
    known = history(reached("2026-11-23", 2), reached("2026-11-20", 2), current="2026-11-20", began="2026-11-23")
    assert decide(known, "UPDATE", "2026-11-19").do == decide(known, "UPDATE", "2026-11-21").do == STAY
    assert decide(known, "UPDATE", "2026-11-20").do == NOTHING
    assert decide(known, "UPDATE", "2026-11-23").do == RESTORE
    assert decide(known, "UPDATE", "2026-11-24").do == UPDATE


def test_an_older_value_in_between_those_before_the_first_update_is_the_first_state() -> None:
    known = history(reached("2026-11-23", 2), reached("2026-11-20", 1), first_state=1, began="2026-11-23")
    assert decide(known, "UPDATE", "2026-11-21")[::2] == (RESTORE, 1)


def test_an_older_value_returns_a_node_in_between_to_the_value_that_was_reached_last() -> None:
    known = history(reached("2026-11-23", 2), reached("2026-11-24", 3), tried("2026-11-25"), began="2026-11-23")
    assert decide(known, "CREATE", "2026-11-22")[::2] == (RESTORE, 3)
    # A run of another key has moved the packages: to restore that value would go forward.
    assert decide(known._replace(moved_from="2026-11-24", moved_by=7), "CREATE", "2026-11-22").do == STAY


def test_an_older_value_changes_nothing_where_the_first_update_could_not_begin() -> None:
    assert decide(history(tried("2026-11-23")), "CREATE", "2026-11-22").do == STAY
    assert decide(history(tried("2026-11-23")), "CREATE", "2026-11-23")[::3] == (UPDATE, True)


@pytest.mark.parametrize(
    ("began", "value"), [("first", "2026-11-22"), ("42", "41"), ("2026-11-23", "first"), ("v2", "v1")]
)
def test_values_without_an_order_are_new(began: str, value: str) -> None:
    assert decide(history(reached(began, 1), current=began, began=began), "UPDATE", value).do == UPDATE


@pytest.mark.parametrize(
    ("one", "other"), [("2024.05", "202405"), ("v1", "V1"), ("v1", "v1 "), ("1", "01"), ("../x", "x")]
)
def test_values_are_compared_as_they_are(one: str, other: str) -> None:
    assert decide(history(reached(one, 1), current=one), "UPDATE", other).do == UPDATE


@pytest.mark.parametrize(("operation", "do"), [("download", DOWNLOAD), ("assess", ASSESS)])
@pytest.mark.parametrize("value", ["v1", "v2", "v3"])
def test_download_and_assess_do_not_look_at_what_updates_have_reached(
    operation: Operation, do: str, value: str
) -> None:
    assert decide(KNOWN, "UPDATE", value, operation=operation).do == do
    assert decide(KNOWN, "CREATE", value, operation=operation).do == do


@pytest.mark.parametrize("operation", ["download", "assess", "stop", "start"])
def test_the_first_delivery_is_the_baseline_whatever_it_asks_for(operation: Operation) -> None:
    assert decide(NEW, "CREATE", "v1", operation=operation).do == BASELINE
    assert decide(NEW, "UPDATE", "v1", operation=operation).do != NOTHING


def test_every_decision_says_why() -> None:
    assert all(
        decide(KNOWN, action, value).reason
        for action in ("CREATE", "UPDATE", "DELETE")
        for value in ("", "v1", "v2", "v3")
    )


def past(*values: str, kind: RunKind = STOP, is_reached: bool = True) -> PastValues:
    return PastValues(values, kind, is_reached)


@pytest.mark.parametrize("action", ["CREATE", "UPDATE"])
@pytest.mark.parametrize(("operation", "forward", "back"), [
    ("stop", STOP, START),
    ("start", START, START),
    ("download", DOWNLOAD, BACK),
    ("assess", ASSESS, BACK),
])  # fmt: skip
def test_a_new_value_goes_forward_and_an_old_one_back(
    action: str, operation: Operation, forward: str, back: str
) -> None:
    assert decide(KNOWN, action, "v3", operation=operation, past=past("v1", "v2")).do == forward
    assert decide(KNOWN, action, "v1", operation=operation, past=past("v1", "v2")).do == back


@pytest.mark.parametrize(
    ("operation", "do"), [("stop", NOTHING), ("start", NOTHING), ("download", DOWNLOAD), ("assess", ASSESS)]
)
def test_the_current_value_is_not_run_again_but_a_download_is(operation: Operation, do: str) -> None:
    assert decide(KNOWN, "UPDATE", "v2", operation=operation, past=past("v1", "v2")).do == do


@pytest.mark.parametrize("kind", [STOP, START])
def test_what_was_not_reached_is_tried_again_in_the_same_direction(kind: RunKind) -> None:
    assert (
        decide(KNOWN, "CREATE", "v2", operation="stop", past=past("v1", "v2", kind=kind, is_reached=False)).do == kind
    )


@pytest.mark.parametrize("operation", ["stop", "start", "download", "assess"])
def test_the_retry_of_a_failed_first_update_is_no_baseline(operation: Operation) -> None:
    """A template with actions [UPDATE]: the first value was never told, and the replacement of what failed is a
    CREATE.
    """
    tried_once = PastValues(("v2",), operation, False)
    assert decide(NEW, "CREATE", "v2", operation=operation, past=tried_once).do == operation


def test_a_time_older_than_all_past_values_is_a_way_back() -> None:
    stopped = past("2026-11-23", "2026-11-24")
    assert decide(NEW, "UPDATE", "2026-11-22", operation="stop", past=stopped).do == START
    assert decide(NEW, "UPDATE", "2026-11-25", operation="stop", past=stopped).do == STOP


def test_a_time_between_older_ones_is_a_way_back_too() -> None:
    began = history(reached("2026-11-23", 1), current="2026-11-20", began="2026-11-23")
    runs = [run("2026-11-24"), run("2026-11-20", START)]
    expected = {"2026-11-19": START, "2026-11-20": NOTHING, "2026-11-21": START, "2026-11-24": STOP}
    past = past_values(began, runs, "stop")
    assert {value: decide(began, "UPDATE", value, operation="stop", past=past).do for value in expected} == expected


@pytest.mark.parametrize(("operation", "do"), [("stop", NOTHING), ("start", NOTHING), ("download", BACK)])
def test_an_older_value_starts_nothing_on_a_node_that_never_stopped_anything(operation: Operation, do: str) -> None:
    began = history(reached("2026-11-23", 1), current="2026-11-23", began="2026-11-23")
    past = past_values(began, [], operation)
    assert decide(began, "UPDATE", "2026-11-22", operation=operation, past=past).do == do


def run(value: str, kind: RunKind = STOP, *, reached: bool = True, begun: bool = True) -> Run:
    return Run(
        1,
        "key",
        value,
        kind,
        "finished",
        1.0,
        finished=2.0,
        progress=Progress(CHANGED if begun else UNTOUCHED, reached=reached),
    )


def failed_untouched(value: str, kind: RunKind = STOP) -> Run:
    """It has failed before it touched anything."""
    return run(value, kind, reached=False, begun=False)


BASED = history(reached("v1", 1), current="v1", began="v1")


@pytest.mark.parametrize(("runs", "expected"), [
    ([], PastValues(("v1",))),
    ([run("v2")], past("v1", "v2")),
    ([run("v2", reached=False)], past("v1", "v2", is_reached=False)),
    ([run("v2"), run("v1", START)], past("v1", kind=START)),
    ([run("v2"), run("v1", START), run("v2")], past("v1", "v2")),
    ([run("v2"), run("v3"), run("v2", START, reached=False)], past("v1", "v2", kind=START, is_reached=False)),
    ([run("v2"), run("v3", "update"), run("v4", "download")], past("v1", "v2")),
])  # fmt: skip
def test_past_values_are_those_that_no_return_has_dropped(runs: List[Run], expected: PastValues) -> None:
    assert past_values(BASED, runs, "stop") == expected._replace(began="v1")


@pytest.mark.parametrize(("runs", "value", "expected"), [
    ([failed_untouched("v2")], "v1", NOTHING),
    ([failed_untouched("v2")], "v2", STOP),
    ([failed_untouched("v2"), failed_untouched("v3")], "v1", NOTHING),
    ([run("v2"), failed_untouched("v3")], "v2", NOTHING),
    ([run("v2"), failed_untouched("v3")], "v1", START),
    ([failed_untouched("v2"), run("v2", reached=False)], "v1", START),
    ([run("v2", reached=False), failed_untouched("v2")], "v1", START),
    ([run("v2"), failed_untouched("v1", START)], "v1", START),
    ([failed_untouched("v2"), run("v1", START), run("v2", reached=False)], "v1", START),
    ([run("v2"), run("v1", START), failed_untouched("v2")], "v1", NOTHING),
])  # fmt: skip
def test_nothing_is_started_where_nothing_was_stopped(runs: List[Run], value: str, expected: str) -> None:
    assert decide(BASED, "CREATE", value, operation="stop", past=past_values(BASED, runs, "stop")).do == expected


def test_a_value_that_an_update_has_reached_is_no_past_value_of_a_download() -> None:
    known = history(reached("v1", 1), Record("v2", 2, 1.0, 2.0, run=5, reached_run=5), current="v2")
    assert past_values(known, [run("v2", "update")], "download") == PastValues(("v1",))
