"""Many callers at once: each delivery is run once, and every caller gets its result."""

from collections import Counter

from os_update_agent.testing.repository import Deb
from packages.node import Node

CALLERS, DELIVERIES = 200, 5
# Seconds. Far more than it takes anywhere: who waits longer waits for ever.
LIMIT = 900.0


def test_two_hundred_callers_for_five_deliveries_are_five_runs(based: Node) -> None:
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
    # Heat is told of each; twice only where an answer of its came too late to be waited for, and then the same.
    assert {request.body.decode() for request in based.receiver.received} == {
        body for told in bodies.values() for body in told
    }
    assert based.versions()["tool"] == "2.0-1"
