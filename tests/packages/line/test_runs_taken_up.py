"""A run that was cut off and is taken up again: where it goes on, what it reports, and what it leaves alone."""

from dataclasses import replace
from typing import Any

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model import phases
from os_update_agent.model.phases import BACK_IN_SERVICE, CHANGED, OUT_OF_SERVICE, UNTOUCHED
from os_update_agent.model.runs import Progress, Run
from os_update_agent.runs import engine
from os_update_agent.runs.changes import changed_by
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_TWO, Node


def run(**changed: Any) -> Run:
    return Run(1, "key", "v", "update", **{"phase": phases.PLAN, "started": 1.0, "policy": {}, **changed})


def test_a_run_that_was_cut_off_before_anything_was_touched_begins_anew() -> None:
    assert engine.taken_up(run()).phase == phases.CHECK


def test_a_run_that_had_failed_goes_on_to_its_end_and_not_to_a_new_beginning() -> None:
    failed = run(phase=phases.RECORD, failure="the index cannot be refreshed")
    assert engine.taken_up(failed).phase == phases.RECORD


def cut_off_again(cut_off: Run, times: int) -> Run:
    """As it is taken up after that many ends in the same phase."""
    for _ in range(times):
        cut_off = engine.taken_up(cut_off)
    return cut_off


@pytest.mark.parametrize(
    "phase, begun, then", [(phases.LEAVE, False, phases.RETURN), (phases.RETURN, True, phases.RECORD)]
)
def test_a_step_of_the_operator_that_boots_the_machine_does_not_boot_it_without_end(
    phase: str, begun: bool, then: str
) -> None:
    left = run(phase=phase, progress=Progress(CHANGED if begun else UNTOUCHED, OUT_OF_SERVICE))
    assert cut_off_again(left, 2).phase == phase
    given_up = cut_off_again(left, 3)
    assert (
        given_up.phase == then
        and given_up.failure == f"it was cut off 3 times in phase {phase}"
        and given_up.status == 1
    )


def test_a_run_whose_record_is_cut_off_changes_no_package_any_more() -> None:
    assert (
        cut_off_again(run(phase=phases.RECORD, progress=Progress(CHANGED, BACK_IN_SERVICE)), 4).phase == phases.RECORD
    )


def test_a_run_that_gives_up_tells_what_is_installed_then(based: Node) -> None:
    """It was cut off in its transaction again and again, is to keep what it did, and nobody had looked at that yet."""
    based.offer(Deb("tool", "2.0-1"))
    site = based.site()
    before = site.ledger.put_state(site.backend(Policy()).capture())
    policy = Policy(key="k", value="v2", on_failure="keep").as_json()
    based.succeed("UPDATE", "v2")
    note = f"the run was cut off in phase {phases.TRANSACT} and taken up again"
    cut_off = run(
        phase=phases.TRANSACT,
        progress=Progress(CHANGED),
        before=before,
        target=before,
        policy=policy,
        notes=(note, note),
    )
    done = engine.perform(site, engine.taken_up(site.ledger.open_run(cut_off)))
    assert [change.name for change in changed_by(site, done)] == ["tool"]
    site.ledger.close()


def test_a_run_that_is_taken_up_again_tells_of_a_mistyped_name_once(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    site = based.site()
    policy = Policy(key="k", value="v2", packages=("toool", "tool"))
    cut_off = engine.begin(site, policy, phases.UPDATE, config_id="by-hand")
    told = "no installed package matches 'toool' (packages)"
    cut_off = replace(cut_off, phase=phases.FETCH, notes=(told,))
    done = engine.perform(site, engine.taken_up(cut_off))
    site.ledger.close()
    assert done.progress.reached and done.notes.count(told) == 1 and based.versions()["tool"] == "2.0-1"


def test_a_run_that_cannot_be_taken_up_undoes_nothing_that_another_key_has_reached_since(based: Node) -> None:
    """Heat has its answer already. What stood in the way of the run is gone when it is too late to go on."""
    site = based.site()
    before = site.ledger.put_state(site.backend(Policy()).capture())
    site.ledger.record_reached("other", "w", before, None, 1.0)
    stuck = Run(
        0,
        "other",
        "x",
        "update",
        phases.UNDO,
        1.0,
        before=before,
        target=before,
        progress=Progress(CHANGED),
    )
    stuck = site.ledger.open_run(stuck)
    site.ledger.save_run(replace(stuck, finished=1.0))
    based.offer_two()
    based.succeed("UPDATE", "v2")
    site.ledger.save_run(stuck)
    based.succeed("UPDATE", "v2")
    assert based.versions() == VERSIONS_TWO and based.history().current == "v2"
    assert site.ledger.open_runs() == ()
    closed = site.ledger.run(stuck.id)
    assert closed is not None and closed.result == "failed"
    assert closed.failure == f"it was cut off in phase undo, and run {stuck.id + 1} has gone on from there"
    # And no longer at the value that it had before: the next one of its own makes up its mind anew.
    assert site.ledger.history("other").current is None
    site.ledger.close()
