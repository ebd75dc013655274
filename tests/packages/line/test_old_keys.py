"""Keys of stacks that are gone: forgotten by hand, or no longer kept for after an age; and their refused results."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from os_update_agent.delivery.outbox import Patience, send_owed
from os_update_agent.heat import metadata
from packages.line.others import document, said
from packages.node import RESOURCE, SERVER, STACK, VERSIONS_ONE, Node

KEY, OTHER = f"{STACK}/{RESOURCE}@{SERVER}", f"{STACK}/other@{SERVER}"
DAYS = 24 * 3600.0


def pass_time(node: Node, days: float, key: str = KEY) -> None:
    """Let the deliveries of a key, and what was refused, be so many days older."""
    with sqlite3.connect(node.state / "ledger.sqlite") as db:
        db.execute("UPDATE deliveries SET received = received - ? WHERE key = ?", (days * DAYS, key))
        db.execute("UPDATE outbox SET updated = updated - ?", (days * DAYS,))
    db.close()


@pytest.fixture
def two_keys(based: Node) -> Node:
    """Both keys have seen release one and two; release one is in no repository any more."""
    based.succeed("CREATE", "o1", resource="other")
    based.offer_two()
    based.succeed("UPDATE", "v2")
    based.withdraw("1.0-1", "app", "libapp1")
    return based


def test_a_key_is_forgotten_with_what_was_kept_for_it_alone(two_keys: Node) -> None:
    node = two_keys
    redelivered = node.deployment("UPDATE", "v3", resource="other")
    first = node.start_with(redelivered).wait()
    assert "app 1.0-1" in node.kept()
    # Not without consent: there is no terminal here.
    assert "is not forgotten without consent: give --yes" in said(node, "forget", KEY, status=2)
    assert "nothing is recorded under 'web'" in said(node, "forget", "web", "--yes", status=2)
    forgotten = document(node, "forget", OTHER, "--yes")
    assert (forgotten["key"], forgotten["values"], forgotten["runs"]) == (OTHER, 2, 1)
    assert "app 1.0-1" in node.kept(), "the other key needs it"
    forgotten = document(node, "forget", KEY, "--yes")
    assert forgotten["files"] > 0 and forgotten["bytes"] > 0 and "app 1.0-1" not in node.kept()
    status = document(node, "status")
    assert status["keys"] == [] and document(node, "history")["keys"] == []
    assert "is forgotten" not in said(node, "status")
    # The same delivery has its result for ever, and is not sent again; a new one begins anew.
    assert node.start_with(redelivered).wait().body == first.body
    assert "baseline" in node.succeed("CREATE", "v1").told
    with node.ledger() as ledger:
        assert {run.key for run in ledger.runs()} == {""}


def test_what_a_forgotten_key_has_installed_is_still_known_to_be_the_agents(two_keys: Node) -> None:
    """The runs stay: a way back of another key tells what the agent has installed from what others have."""
    said(two_keys, "forget", KEY, "--yes")
    plan = document(two_keys, "plan", "o1", "--key", OTHER)
    assert "extra" in [change["name"] for change in plan["changes"]]
    assert "extra" not in plan["removes_foreign"]


def test_a_key_with_an_unfinished_run_or_an_undelivered_result_is_not_forgotten(based: Node) -> None:
    based.receiver.answer(503)
    owed = based.succeed("UPDATE", "v2")
    based.wait_until_at_rest()
    assert f"Heat has not taken the result of {owed.id} yet" in said(based, "forget", KEY, "--yes", status=2)
    with sqlite3.connect(based.state / "ledger.sqlite") as db:
        db.execute("UPDATE deliveries SET finished = NULL WHERE config_id = ?", (owed.id,))
    assert "is not finished" in said(based, "forget", KEY, "--yes", "--force", status=75)
    assert based.history().current == "v2"
    with db:
        db.execute("UPDATE deliveries SET finished = 1 WHERE config_id = ?", (owed.id,))
    db.close()
    assert document(based, "forget", KEY, "--yes", "--force")["undelivered"] == [owed.id]
    assert based.signals() == {}


def test_an_old_key_keeps_no_files_and_says_so(two_keys: Node) -> None:
    node = two_keys
    pass_time(node, 100)
    pass_time(node, 40, OTHER)
    # Without the option nothing is old.
    assert f"nothing received for 100 days: if its stack is gone, 'os-update-agent forget {KEY}'" in said(
        node, "status"
    )
    node.configure("forget_after = 60\n")
    said(node, "prune")
    assert "app 1.0-1" in node.kept(), "the other key, which is not old, needs it"
    keys = {key["key"]: (key["old"], key["idle_days"]) for key in document(node, "status")["keys"]}
    assert keys == {KEY: (True, 100), OTHER: (False, 40)}
    old = "old: nothing received since "
    assert old in said(node, "status") and old in said(node, "history")
    pass_time(node, 40, OTHER)
    said(node, "prune")
    assert "app 1.0-1" not in node.kept()
    assert {value["kept"] for key in document(node, "history")["keys"] for value in key["values"]} != {True}
    # The value comes back: what is missing is named, and why.
    failed = node.fail("UPDATE", "v1")
    assert "and was old (forget_after): its package files were not kept" in failed.complaint
    assert "app" in failed.complaint and "neither" in failed.complaint
    # The key has received something: it is not old any more.
    assert not {key["key"]: key["old"] for key in document(node, "status")["keys"]}[KEY]
    assert node.versions() != VERSIONS_ONE


def test_the_age_that_the_last_delivery_gave_counts_more_than_that_of_the_node(based: Node) -> None:
    based.configure("forget_after = 10\n")
    based.succeed("UPDATE", "v2", forget_after="1000")
    pass_time(based, 100)
    (key,) = document(based, "status")["keys"]
    assert (key["old"], key["idle_days"]) == (False, 100)


def test_what_heat_has_refused_is_counted_a_week_or_while_heat_lists_it(
    based: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    based.receiver.answer(404)
    first, second = based.succeed("UPDATE", "v2"), based.succeed("UPDATE", "o2", resource="other")
    based.wait_until_at_rest()
    signal = based.signals()[first.id]
    assert signal.standing == "refused"
    assert signal.last_answer == "the server answered 404: the stack or its user is probably gone"
    collect = tmp_path / "os-collect-config.conf"
    collect.write_text("[cfn]\nstack_name = web\n", encoding="utf-8")
    site = based.site()
    site = site._replace(settings=site.settings.__class__(**{**vars(site.settings), "collect_config": collect}))

    def refused(*listed: str, clock: float = 0.0) -> Any:
        content = {"cfn": {"deployments": [{"id": config_id} for config_id in listed]}} if listed else None
        monkeypatch.setattr(metadata, "_collected", lambda *_: content)
        send_owed(site._replace(clock=lambda: time.time() + clock), Patience(0))
        return {config_id for config_id, one in based.signals().items() if one.standing == "refused"}

    assert refused() == {first.id, second.id}, "the list cannot be read"
    assert refused(first.id, second.id) == {first.id, second.id}
    assert refused(second.id) == {second.id}
    assert refused(clock=6 * DAYS) == {second.id}
    assert refused(clock=8 * DAYS) == set()
    assert document(based, "status")["signals"]["refused"] == []
