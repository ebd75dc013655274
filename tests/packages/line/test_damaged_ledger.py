"""A node whose ledger an older agent has written, or has a damaged record: what is asked of it goes on."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ledger.stored import KEY, ask, old_ledger
from os_update_agent.model import phases
from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.model.packages import Change, with_rows
from os_update_agent.model.phases import Phase
from os_update_agent.model.plans import Plan
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import Run
from packages.line.others import command
from packages.node import Node, Pkg

BACK = "post-update.d/90-in"
TOOL = Pkg("tool", "2.0")


def answered(node: Node, *argv: str) -> str:
    """What a command prints that succeeds."""
    done = command(node, *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def damage(node: Node, sql: str, *parameters: object) -> Any:
    return ask(node.state / "ledger.sqlite", sql, *parameters)


def damaged(node: Node, verb: str) -> Any:
    return [one["record"] for one in json.loads(answered(node, verb, "--json"))["damaged"]]


# --- written by the first agent


def test_the_reading_commands_answer_from_the_ledger_of_the_first_agent(node: Node) -> None:
    old_ledger(node.directory)
    node.offer(TOOL)
    status = answered(node, "status")
    assert "open: run 16 (update '2026-11-07T10:00:00Z') is in phase transact" in status
    assert "waiting: '2026-11-08T10:00:00Z' for key waits" in status
    assert "signal owed: deployment c19-owed" in status and "signal refused: deployment c05-refused" in status
    history = answered(node, "history")
    assert "no answer on port 80" in history and "undone" in history
    shown = answered(node, "show", "2026-11-02T10:00:00Z", "--key", KEY)
    assert "state: 8 packages" in shown and "tool: 4.0-1 -> 1.0-1" in shown
    plan = command(node, "plan", "--key", "a-new-key")
    assert plan.returncode == 0 and "tool: 1.0-1 -> 2.0-1" in plan.stdout, plan.stderr
    assert ask(node.state / "ledger.sqlite", "PRAGMA user_version") == [(1,)]


def test_an_update_goes_on_from_the_ledger_of_the_first_agent(node: Node) -> None:
    """The run that was cut off ends first; what waited is answered too."""
    old_ledger(node.directory)
    node.offer(TOOL)
    step = node.step(BACK)
    node.succeed("CREATE", "w1", resource="new")
    done = node.succeed("UPDATE", "w2", resource="new")
    assert "'w2'" in done.told and node.versions()["tool"] == "2.0-1"
    assert step.name in "".join(node.ran())
    with node.ledger() as ledger:
        assert not ledger.open_runs() and not ledger.unfinished()
        run = ledger.run(16)
        assert run is not None and run.finished is not None and run.progress.service == "back"
        answers = [ledger.delivery(one) for one in ("c22-cut-off", "c23-unanswered")]
        assert all(one is not None and one.body for one in answers)
    assert ask(node.state / "ledger.sqlite", "PRAGMA user_version") == [(4,)]


# --- a damaged run


@pytest.mark.parametrize("document", ["{", '["list"]', '{"version": 2, "key": 7}'])
def test_a_damaged_old_run_stops_neither_an_update_nor_a_way_back(based: Node, document: str) -> None:
    based.offer(TOOL)
    based.succeed("UPDATE", "v2")
    damage(based, "UPDATE runs SET document = ? WHERE id = 1", document)
    back = based.succeed("UPDATE", "v1", restore="changes")
    based.succeed("UPDATE", "v3")
    assert "'v1'" in back.told and based.history().current == "v3"
    assert damaged(based, "status") == damaged(based, "history") == ["run 1"]
    assert "run 1 is not JSON" in answered(based, "history") or document != "{"


def test_after_a_damaged_run_the_next_one_brings_the_node_back_once(based: Node) -> None:
    """Nobody knows whether the damaged run has left the node outside."""
    based.succeed("UPDATE", "v2")
    damage(based, "UPDATE runs SET document = '' WHERE id = 1")
    based.step(BACK)
    for value, ran in (("v3", [f"{BACK} v3 update [success]"]), ("v4", [])):
        based.succeed("UPDATE", value)
        assert based.ran() == ran


def test_a_damaged_open_run_is_closed_and_its_delivery_is_answered(based: Node) -> None:
    key = based.history().key
    open_run(based, key)
    damage(based, "UPDATE runs SET document = '{\"key\"'")
    based.step(BACK)
    based.offer(TOOL)
    based.succeed("UPDATE", "v3")
    assert f"{BACK} v3 update [success]" in based.ran()
    with based.ledger() as ledger:
        assert not ledger.damaged_open_runs() and not ledger.unfinished()
        left = ledger.delivery("cut-off")
    assert left is not None and left.body is not None
    for verb in ("history", "status"):
        document = json.loads(answered(based, verb, "--json"))
        runs = document["runs"] if verb == "history" else [document["last_run"], *document["open_runs"]]
        assert [(run["run"], run["result"]) for run in runs] == [(2, "success")]
    body = json.loads(left.body)
    assert body["deploy_status_code"] == 1
    assert "run 1 is not JSON" in body["deploy_stderr"] and str(based.state) in body["deploy_stderr"]
    assert damaged(based, "status") == ["run 1"]


def open_run(node: Node, key: str) -> None:
    policy = Policy(value="v2", key=key, signal_timeout=0.1).as_json()
    request = Request(SignalTarget("NO_SIGNAL"))
    with node.ledger() as ledger:
        ledger.receive(Delivery("cut-off", key, "v2", "UPDATE", 1.0, policy, request=request))
        ledger.open_run(Run(0, key, "v2", "update", "transact", 1.0, config_id="cut-off", policy=policy))


# --- a damaged delivery


@pytest.mark.parametrize("column", ["policy", "request"])
def test_a_damaged_delivery_is_answered_and_takes_nothing_from_the_next_one(based: Node, column: str) -> None:
    key = based.history().key
    open_run(based, key)
    damage(based, "DELETE FROM runs")
    damage(based, "UPDATE deliveries SET run = NULL WHERE config_id = 'cut-off'")
    damage(based, f"UPDATE deliveries SET {column} = '[]' WHERE config_id = 'cut-off'")
    based.offer(TOOL)
    based.succeed("UPDATE", "v3")
    with based.ledger() as ledger:
        found = ledger.delivery("cut-off")
    assert found is not None and found.body is not None
    assert f"delivery 'cut-off', its {column}, is a list" in json.loads(found.body)["deploy_stderr"]


def test_resume_closes_what_is_damaged(based: Node) -> None:
    open_run(based, based.history().key)
    damage(based, "UPDATE runs SET document = ''")
    done = command(based, "resume")
    assert done.returncode == 0, done.stderr
    with based.ledger() as ledger:
        assert not ledger.damaged_open_runs() and not ledger.unfinished()


# --- a damaged state


def test_a_damaged_state_fails_only_the_way_to_it(based: Node) -> None:
    based.offer(TOOL)
    based.succeed("UPDATE", "v2")
    damage(based, "UPDATE states SET body = X'00' WHERE id = 1")
    assert "state 1" in damaged(based, "status")
    based.offer(Pkg("tool", "3.0"))
    based.succeed("UPDATE", "v3")
    assert based.versions()["tool"] == "3.0-1"
    failed = based.fail("UPDATE", "v1")
    assert "state 1 cannot be unpacked" in failed.complaint
    assert based.versions()["tool"] == "3.0-1"
    based.succeed("UPDATE", "v4")


# --- damaged planned changes


def test_a_run_with_damaged_planned_changes_goes_on(based: Node) -> None:
    """It may be half-done: to close it would leave the node there."""
    based.offer(TOOL)
    done = based.succeed("UPDATE", "v2")
    damage(
        based,
        "UPDATE runs SET finished = NULL, changes = '{', document = json_set(json_remove(document, '$.finished'),"
        " '$.phase', 'transact', '$.progress.reached', json('false'))",
    )
    damage(based, "UPDATE deliveries SET finished = NULL, body = NULL WHERE config_id = ?", done.id)
    assert "run 1, its planned changes," in damaged(based, "status")
    assert command(based, "resume").returncode == 0
    with based.ledger() as ledger:
        run, delivery = ledger.run(1), ledger.delivery(done.id)
    assert run is not None and run.result == "success"
    assert delivery is not None and delivery.body is not None
    body = json.loads(delivery.body)
    assert body["deploy_status_code"] == 0 and "tool: 1.0-1 -> 2.0-1" in body["deploy_stdout"]


def test_a_run_whose_new_plan_is_empty_forgets_the_changes_of_its_old_one(based: Node) -> None:
    """It was cut off before it has touched anything; what it wanted is no longer offered."""
    cut_off(based, phases.FETCH)
    assert command(based, "resume").returncode == 0
    with based.ledger() as ledger:
        run = ledger.run(1)
    assert run is not None and run.result == "success" and run.plan.changes == ()
    assert damage(based, "SELECT json_extract(changes, '$.changes') FROM runs") == [("[]",)]


def cut_off(node: Node, phase: Phase) -> None:
    """An update of the tool to 2.0 that ended in the phase, before it has touched anything."""
    key = node.history().key
    open_run(node, key)
    with node.ledger() as ledger:
        number = ledger.history(key).records[0].state
        run = ledger.run(1)
        assert number is not None and run is not None
        before = ledger.state(number)
        old = next(package for package in before.packages if package.name == "tool")
        change = Change(old, old._replace(version="2.0-1", digest=""))
        target = ledger.put_state(with_rows(before, (change,)))
        ledger.save_run(replace(run, phase=phase, before=number, target=target, plan=Plan((change,))))


# --- a damaged policy


def test_a_damaged_policy_stops_no_command_and_drops_no_file(based: Node) -> None:
    """Which states the key has to keep is not known, so all of them stay."""
    for version in ("2.0", "3.0"):
        based.offer(Pkg("tool", version))
        based.succeed("UPDATE", f"v{version}")
    based.configure(keep=1)
    damage(based, "UPDATE deliveries SET policy = '{' WHERE value = 'v3.0'")
    answered(based, "prune")
    kept = {entry.version for entry in based.kept().values() if entry.name == "tool"}
    assert kept == {"1.0-1", "2.0-1", "3.0-1"}
    for argv in (("plan", "v1"), ("rollback", "v1"), ("update", "v4")):
        done = command(based, *argv)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning: the options of the last delivery by Heat cannot be read" in done.stderr
        assert "those of the newest delivery that can be read are used" in done.stderr
    assert based.versions()["tool"] == "3.0-1"
