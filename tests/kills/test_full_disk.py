"""A disk that is full at any write of the ledger: nothing is lost, the node is never left outside, and Heat is told."""

import json
import random
from typing import Iterator, List, Tuple

import pytest

from kills.death import AHEAD, BEFORE, Death
from kills.kills import world_of
from kills.nodes import FAILING, RESTORE, UPDATE, VALUES, Node, World
from kills.trials import Trial
from os_update_agent.ledger.reserve import NAME

SIZE = "12m"
# A step of the operator: takes the room that is kept, then all that is left.
FILL = """#!/bin/sh
rm -f {state}/{reserve}
for size in 65536 4096 1; do dd if=/dev/zero bs=$size count=5000 >> {disk}/filler 2>/dev/null; done
exit 0
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of("apt") as world:
        yield world


pytestmark = pytest.mark.xdist_group("kills-apt")


def trial_on_a_small_disk(world: World, scenario: str) -> Trial:
    trial = Trial(
        world, scenario, random.Random(0), limit=0, excuses=("not enough space", "No space left", "disk is full")
    )
    trial.node.disk = None
    world.clear(trial.node)
    trial.node = world.node(scenario, small=SIZE)
    return trial


def ledger_writes(way: List[str]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in way if ".fsync" not in name))


@pytest.mark.parametrize("scenario", [RESTORE, FAILING])
def test_a_disk_that_fills_up_at_any_write_changes_nothing(world: World, scenario: str) -> None:
    """The ledger keeps room for what a run has yet to write."""
    for name in ledger_writes(world.way[scenario]):
        trial = trial_on_a_small_disk(world, scenario)
        try:
            config_id = trial.node.put("UPDATE", VALUES[scenario])
            death = Death(writes=((name, AHEAD),), fill=str(trial.node.small_disk.mount_point))
            assert trial.node.run_worker(death) == 0, name
            assert f"filled {AHEAD} {name}" in trial.node.writes()
            assert not (trial.node.settings.state / NAME).exists()
            assert trial.end(config_id) == [], name
        finally:
            world.clear(trial.node)


@pytest.mark.parametrize("scenario", [UPDATE])
def test_a_write_that_fails_stops_the_worker_and_nothing_else(world: World, scenario: str) -> None:
    """Filled between the look at the free room and the commit. The node comes back at once, the rest is done when there
    is room.
    """
    for name in ledger_writes(world.way[scenario]):
        trial = trial_on_a_small_disk(world, scenario)
        node = trial.node
        try:
            config_id = node.put("UPDATE", VALUES[scenario])
            status = node.run_worker(Death(writes=((name, BEFORE),), fill=str(node.small_disk.mount_point)))
            assert f"filled {BEFORE} {name}" in node.writes()
            assert_not_outside(node)
            if status:
                assert "full" in node.output.read_text(encoding="utf-8")
            node.small_disk.free()
            trial.died_at.append((name, BEFORE))
            assert trial.end(config_id) == [], name
        finally:
            world.clear(node)


def assert_not_outside(node: Node) -> None:
    steps = [step.partition(":")[0] for step in node.steps()]
    assert not steps or steps[-1] == "post-update.d"


@pytest.mark.parametrize("place", ["pre-update.d", "health.d", "post-update.d"])
def test_heat_is_told_once_although_nothing_can_be_stored(world: World, place: str) -> None:
    """A step of the operator fills the disk, and takes the kept room as well."""
    node = world.node(UPDATE, small=SIZE)
    try:
        before = node.state()
        step = node.directory / "steps" / place / "50-fill"
        step.parent.mkdir(parents=True, exist_ok=True)
        step.write_text(
            FILL.format(state=node.settings.state, reserve=NAME, disk=node.small_disk.mount_point), encoding="utf-8"
        )
        step.chmod(0o755)
        config_id, hook = node.call_hook("UPDATE", VALUES[UPDATE])
        assert hook.wait(120) == 0
        sent = [request for request in world.receiver.received if f"/{config_id}?" in request.path]
        assert len(sent) == 1
        told = json.loads(sent[0].body)
        assert told["deploy_status_code"] != 0 and "is cut off in phase" in told["deploy_stderr"]
        assert (
            f"; log on the node: {node.settings.log}/000" in told["deploy_stderr"]
            and "\nnext: " in told["deploy_stderr"]
        )
        assert_not_outside(node)
        step.unlink()
        node.small_disk.free()
        assert node.run_worker() == 0
        # The run that was cut off has come to its end, and Heat, which no longer waits, is not told a second time.
        assert node.state().digest in (before.digest, world.reached[UPDATE].digest)
        assert node.kind.unsound(node.root) == ""
        assert_not_outside(node)
        assert node.run_worker() == 0
        assert len([request for request in world.receiver.received if f"/{config_id}?" in request.path]) == 1
    finally:
        world.clear(node)
