"""Damage that leaves a run readable: its planned changes, a state, its key's policy. What is whole stays in use."""

from dataclasses import replace
from pathlib import Path
from typing import Tuple

import pytest

from ledger.stored import KEY, ask, private_settings
from os_update_agent.delivery.result import NOT_COMPARED, outcome_of
from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import Change, Package
from os_update_agent.model.plans import Plan
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import Run
from os_update_agent.runs.retention import keep_of
from os_update_agent.runtime.context import Site

RUN = Run(0, "k", "v", "update", "plan", 1.0)
CHANGES = (Change(Package("a", "all", "1"), Package("a", "all", "2")),)


@pytest.fixture
def site(tmp_path: Path, ledger: Ledger) -> Site:
    return Site(private_settings(tmp_path), ledger)


# --- the planned changes


def planned(path: Path, number: int) -> Tuple[Change, ...]:
    """What another process reads."""
    ledger = Ledger(path)
    run = ledger.run(number)
    ledger.close()
    assert run is not None
    return run.plan.changes


def test_an_empty_new_plan_replaces_the_changes_of_the_old_one(path: Path, ledger: Ledger) -> None:
    run = ledger.open_run(RUN)
    ledger.save_run(replace(run, plan=Plan(CHANGES)), is_planned=True)
    assert planned(path, run.id) == CHANGES
    ledger.save_run(run, is_planned=True)
    assert planned(path, run.id) == ()
    ledger.save_run(replace(run, plan=Plan(CHANGES)))
    assert planned(path, run.id) == CHANGES


def test_a_run_that_was_read_without_its_changes_keeps_them(path: Path, ledger: Ledger) -> None:
    run = ledger.open_run(RUN)
    ledger.save_run(replace(run, plan=Plan(CHANGES)), is_planned=True)
    (newest,) = ledger.runs(limit=1)
    assert newest.plan.changes == ()
    ledger.save_run(replace(newest, finished=2.0))
    ledger.begin_change(newest)
    assert planned(path, run.id) == CHANGES


def test_a_new_plan_of_the_same_versions_brings_its_origins(path: Path, ledger: Ledger) -> None:
    run = ledger.open_run(RUN)
    ledger.save_run(replace(run, plan=Plan(CHANGES)), is_planned=True)
    secure = replace(CHANGES[0], origins=("Debian-Security:12",), is_security=True)
    ledger.save_run(replace(run, plan=Plan((secure,))), is_planned=True)
    assert [change.is_security for change in planned(path, run.id)] == [True]


@pytest.mark.parametrize("damage", ["'{'", "X'ff00'", "CAST(X'7bff' AS TEXT)", "'{\"changes\":7}'"])
def test_damaged_planned_changes_are_named_and_leave_the_run_in_use(path: Path, ledger: Ledger, damage: str) -> None:
    ask(path, f"UPDATE runs SET changes = {damage} WHERE id = 16")
    (run,) = ledger.open_runs()
    assert (run.id, run.phase, run.plan.changes) == (16, "transact", ())
    assert ledger.run(16) == run
    assert ledger.damaged_open_runs() == ()
    assert [one.record for one in ledger.damaged()] == ["run 16, its planned changes,"]


def test_a_run_whose_end_stands_in_its_row_alone_is_not_open(path: Path, ledger: Ledger) -> None:
    """Its document could not be read when it was closed."""
    ledger.close_damaged_run(16, 5.0)
    run = ledger.run(16)
    assert run is not None and (run.finished, run.result) == (5.0, "failed")
    assert ledger.runs(limit=1)[0].result == "failed"
    assert ledger.open_runs() == ()


# --- results


def finished(site: Site, kind: str) -> Run:
    return next(run for run in site.ledger.runs() if run.kind == kind and run.result == "success")


@pytest.mark.parametrize("kind", ["download", "assess"])
def test_a_run_of_the_first_agent_reports_what_it_has_planned(site: Site, kind: str) -> None:
    run = finished(site, kind)
    assert run.plan.changes == ()
    outcome = outcome_of(site, run)
    count = outcome.outputs["changes"]["count"]
    assert count > 0 and f"{count} package" in outcome.stdout and "would change" in outcome.stdout


@pytest.mark.parametrize("end", ["before", "target", "after"])
def test_a_reached_run_with_a_damaged_state_is_a_success(site: Site, path: Path, end: str) -> None:
    run = replace(finished(site, "update"), plan=Plan(CHANGES))
    whole = outcome_of(site, run)
    assert whole.status_code == 0 and NOT_COMPARED not in whole.stderr
    ask(path, "UPDATE states SET body = X'00' WHERE id = ?", getattr(run, end))
    fresh = site._replace(ledger=Ledger(path))
    outcome = outcome_of(fresh, run)
    fresh.ledger.close()
    assert outcome.status_code == 0 and f"updated to '{run.value}'" in outcome.stdout
    is_compared = end == "target" and run.after != run.target
    assert (NOT_COMPARED in outcome.stderr) == (not is_compared)
    if not is_compared:
        assert outcome.outputs["changes"]["count"] == 1


# --- policies


def test_the_last_policy_that_can_be_read_is_there_beside_a_damaged_one(path: Path, ledger: Ledger) -> None:
    before = ledger.last_readable_policy(KEY, besides="by-hand-")
    assert before == ledger.last_policy(KEY, besides="by-hand-")
    ask(path, "UPDATE deliveries SET policy = 'x' WHERE config_id IN ('c22-cut-off', 'c23-unanswered')")
    older = ledger.last_readable_policy(KEY, besides="by-hand-")
    assert older is not None and before is not None and older.value != before.value
    ask(path, "UPDATE deliveries SET policy = 'x'")
    assert ledger.last_readable_policy(KEY) is None


def test_a_key_with_a_damaged_policy_keeps_all_that_it_has_reached(path: Path, ledger: Ledger) -> None:
    assert keep_of(ledger, KEY, Policy(keep=1)) == 5
    ask(path, "UPDATE deliveries SET policy = 'x' WHERE key = ?", KEY)
    assert keep_of(ledger, KEY, Policy(keep=1)) == len(ledger.history(KEY).records) == 6
