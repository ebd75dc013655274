"""The promise under SIGKILL, as much of it as CI has time for: tests/run kills N SEED runs more.

Each durable write of each scenario is the last one, before and after it is durable, with dnf 4 (which is slower) in two
ways, with apt in four and with dnf 5 in five; then come random moments, and the hook.
"""

import os
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

import pytest

from kills.death import AFTER, BEFORE
from kills.disk import Disk
from kills.kills import CALLER, Tally, one_trial, rounds, world_of
from kills.nodes import SCENARIOS, World
from kills.trials import EVERYTHING, POWER, WORKER, Trial
from packages import sid

SEED = 20261124


WAYS = {
    "apt": [(BEFORE, WORKER), (AFTER, EVERYTHING), (BEFORE, POWER), (AFTER, POWER)],
    "dnf": [(BEFORE, EVERYTHING), (AFTER, POWER)],
    "dnf5": [(BEFORE, WORKER), (BEFORE, EVERYTHING), (AFTER, WORKER), (AFTER, EVERYTHING), (AFTER, POWER)],
}
MOMENTS = {
    "apt": [(WORKER, 6), (EVERYTHING, 10), (POWER, 4), (CALLER, 2)],
    "dnf": [(WORKER, 3), (EVERYTHING, 5), (POWER, 2), (CALLER, 1)],
    "dnf5": [(WORKER, 3), (EVERYTHING, 5), (POWER, 2), (CALLER, 1)],
}


def in_each_world(cases: Mapping[str, Sequence[Tuple[Any, ...]]]) -> List[Any]:
    """One process for each kind: a world takes seconds to prepare."""
    return [
        pytest.param(kind, *case, marks=pytest.mark.xdist_group(f"kills-{kind}"))
        for kind in cases
        for case in cases[kind]
    ]


@pytest.fixture(scope="module")
def worlds() -> Iterator[Dict[str, World]]:
    with ExitStack() as stack:
        yield _Worlds(stack)


class _Worlds(Dict[str, World]):
    """Made when they are asked for, and once."""

    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, kind: str) -> World:
        if kind == "dnf5":
            sid.needed()
        self[kind] = self._stack.enter_context(world_of(kind))
        return self[kind]


@pytest.fixture
def world(request: pytest.FixtureRequest, worlds: Dict[str, World]) -> World:
    return worlds[request.param]


@pytest.mark.parametrize("world, when, victim", in_each_world(WAYS), indirect=["world"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_durable_write_can_be_the_last_one(world: World, scenario: str, when: str, victim: str) -> None:
    way = world.way[scenario]
    assert len(way) > 15
    died_at: Set[str] = set()
    for writes in rounds(way, when):
        trial = Trial(world, scenario, random.Random(SEED), limit=len(way), victim=victim)
        try:
            assert trial.at_writes(writes) == [], trial.story
        finally:
            world.clear(trial.node)
        died_at.update(name for name, _ in trial.died_at)
    assert died_at == set(way)


@pytest.mark.parametrize("world, how, kills", in_each_world(MOMENTS), indirect=["world"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_any_moment_can_be_the_last_one(world: World, scenario: str, how: str, kills: int) -> None:
    chance = random.Random(f"{SEED} {world.kind.name} {scenario} {how}")
    tally = Tally(kills)
    complaints: List[str] = []
    # A death may come too late to be one: a bounded number of tries.
    for _ in range(10 * kills):
        if tally.left > 0:
            complaints += tally.count(*one_trial(world, scenario, how, random.Random(chance.random()), tally.left))
    assert complaints == []
    assert tally.survived == tally.kills == kills


def test_the_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    """The model itself: without this the trials above could not fail for a missing fsync."""
    disk = Disk(tmp_path / "disk", tmp_path)
    try:
        synced, lost = disk.mount_point / "synced", disk.mount_point / "lost"
        with synced.open("w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        lost.write_text("gone")
        disk.cut()
        assert synced.read_text() == "kept"
        assert not lost.exists() or lost.read_text() == ""
    finally:
        disk.remove()
