"""What a second review has found: cut-off runs, answers that come with their delivery, and what --no-signal may not do."""

from dataclasses import replace
from pathlib import Path

from os_update_agent import update
from os_update_agent.ledger import Ledger
from os_update_agent.model import Delivery, Output, Request, Run, SignalTarget
from os_update_agent.phases import names
from os_update_agent.policy import Policy
from os_update_agent.retention import prune
from packages.node import Node

TARGET = SignalTarget("CFN_SIGNAL", "stack/1", "update", "POST", {"url": "http://heat.example/?Signature=s"})


def delivery(config_id: str) -> Delivery:
    return Delivery(config_id, "key", "v", "UPDATE", 1.0, request=Request(TARGET, (Output("changes"),)))


def test_a_delivery_that_comes_with_its_answer_is_never_seen_without(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    assert ledger.receive_answered(delivery("a"), "{}", TARGET)
    assert ledger.unfinished() == ()
    assert [signal.standing for signal in ledger.signals("a")] == ["owed"]
    assert not ledger.receive_answered(delivery("a"), '{"other": 1}', TARGET)
    assert ledger.signals("a")[0].body == "{}"


def run(**changed: object) -> Run:
    return Run(1, "key", "v", "update", **{"phase": names.PLAN, "started": 1.0, "policy": {}, **changed})  # type: ignore[arg-type]


def test_a_run_that_was_cut_off_before_anything_was_touched_begins_anew() -> None:
    assert update.taken_up(run()).phase == names.CHECK


def test_a_run_that_had_failed_goes_on_to_its_end_and_not_to_a_new_beginning() -> None:
    failed = run(phase=names.RECORD, failure="the index cannot be refreshed")
    assert update.taken_up(failed).phase == names.RECORD


def test_the_files_of_a_run_that_is_cut_off_are_not_pruned(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    kept = set(based.kept())
    site = based.site()
    archive = site.archive(site.backend(Policy()))
    number = {record.value: record.state for record in based.history().records}
    cut_off = site.ledger.open_run(Run(0, "other", "w", "update", names.TRANSACT, 1.0, before=number["v1"], target=number["v2"]))
    prune(site.ledger, archive, Policy(), keep=0)
    assert set(based.kept()) == kept
    site.ledger.save_run(replace(cut_off, finished=2.0))
    prune(site.ledger, archive, Policy(), keep=0)
    assert based.kept() == {}


def test_deliveries_that_nobody_waits_for_do_not_overtake_each_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    for config_id in ("a", "b"):
        silent = Request(SignalTarget("NO_SIGNAL", resource_name=config_id))
        ledger.receive(Delivery(config_id, "key", "v", "UPDATE", 1.0, request=silent))
    assert not ledger.is_overtaken("a")
    assert [signal for signal in ledger.signals() if signal.standing == "superseded"] == []
