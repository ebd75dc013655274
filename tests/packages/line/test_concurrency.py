"""Several deliveries, or several callers of one, at once: each delivery runs once, and every caller gets its result."""

import json
import os
import sqlite3
import subprocess
from collections import Counter
from typing import Any, Dict

import pytest

from os_update_agent.testing.repository import Deb
from packages.line.others import block_in, let_go
from packages.node import VERSIONS_ONE, Node, wait_until

# OS_UPDATE_AGENT_TEST_CALLERS=500/20 for more of them: it takes minutes.
CALLERS, DELIVERIES = map(int, os.environ.get("OS_UPDATE_AGENT_TEST_CALLERS", "60/6").split("/"))
# Seconds. Far more than it takes anywhere: who waits longer waits for ever.
LIMIT = 900.0


def test_many_callers_for_a_few_deliveries_are_one_run_and_one_signal_for_each(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    deliveries = [
        based.deployment("UPDATE", f"v{number}", resource=f"resource-{number}") for number in range(DELIVERIES)
    ]
    running = []
    for number in range(CALLERS):
        # Each call writes into files of its own.
        based.count += 1
        running.append(based.start_with(deliveries[number % DELIVERIES]))
    results = [one.wait(LIMIT) for one in running]
    assert [result.returncode for result in results] == [0] * CALLERS
    bodies = {
        delivery["id"]: {result.stdout for result in results if result.id == delivery["id"]} for delivery in deliveries
    }
    assert {result.complaint for result in results} == {""}
    assert all(len(told) == 1 for told in bodies.values()), "callers of one delivery were told different results"
    with based.ledger() as ledger:
        runs = Counter(run.config_id for run in ledger.runs())
        assert ledger.unfinished() == () and ledger.open_runs() == () and ledger.owed() == ()
    assert runs == Counter(bodies.keys())
    assert all(isinstance(json.loads(body)["deploy_status_code"], int) for told in bodies.values() for body in told)
    # Heat is told of each, once.
    assert sorted(request.body.decode() for request in based.receiver.received) == sorted(
        body for told in bodies.values() for body in told
    )
    assert based.versions()["tool"] == "2.0-1"


def test_a_clock_that_steps_back_overtakes_nobody(based: Node) -> None:
    with sqlite3.connect(based.state / "ledger.sqlite") as db:
        db.execute("UPDATE deliveries SET received = received + 5 * 3600")
    db.close()
    based.offer(Deb("tool", "2.0-1"))
    done = based.succeed("UPDATE", "v2")
    assert based.versions()["tool"] == "2.0-1"
    assert based.signals()[done.id].standing == "delivered"


def test_a_newer_delivery_of_the_same_resource_overtakes_the_signal_of_an_unfinished_one(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    block_in(based, "pre-update.d/10-wait")
    first = based.start("UPDATE", "v2")
    wait_until(lambda: based.directory.joinpath("ran").exists(), "the first update to begin")
    second = based.start("UPDATE", "v1")
    wait_until(lambda: is_received(based, second.id), "the second delivery to be written down")
    let_go(based)
    old, new = first.wait(), second.wait()
    assert (old.status, new.status) == (0, 0)
    assert [request.body.decode() for request in based.receiver.received] == [new.stdout]
    assert based.signals()[old.id].standing == "superseded"
    assert based.signals()[old.id].target is None
    assert based.signals()[new.id].standing == "delivered"
    assert based.versions() == VERSIONS_ONE
    assert based.history().current == "v1"


def is_received(node: Node, config_id: str) -> bool:
    with node.ledger() as ledger:
        return ledger.delivery(config_id) is not None


@pytest.mark.parametrize("wrong", [{"keep": "lots"}, {"colour": "red"}])
def test_a_delivery_that_comes_again_gets_its_run_s_result_though_agent_conf_is_wrong_by_now(
    based: Node, wrong: Dict[str, Any]
) -> None:
    based.offer(Deb("tool", "2.0-1"))
    block_in(based, "pre-update.d/10-wait")
    first = based.start("UPDATE", "v2", config_id="the-one")
    wait_until(lambda: based.directory.joinpath("ran").exists(), "the update to begin")
    based.configure(**wrong)
    second = based.start("UPDATE", "v2", config_id="the-one")
    with pytest.raises(subprocess.TimeoutExpired):
        second.process.wait(1)
    let_go(based)
    one, two = first.wait(), second.wait()
    assert one.status == 0, one.complaint
    assert one.stdout == two.stdout
    assert {request.body.decode() for request in based.receiver.received} == {one.stdout}
    assert based.versions()["tool"] == "2.0-1"
    assert based.history().current == "v2"
