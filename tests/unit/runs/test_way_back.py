"""Several keys on one node go forward and back in every order, with a real ledger and made-up packages."""

from itertools import permutations
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import pytest

from os_update_agent.ledger import Ledger
from os_update_agent.model.options import RestoreScope
from os_update_agent.model.packages import Package, PackageState, diff
from os_update_agent.model.phases import CHANGED, RESTORE, UPDATE, RunKind
from os_update_agent.model.plans import Plan
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import Progress, Run
from os_update_agent.runs.plan import Aim
from os_update_agent.runs.way_back import aims_of_restore

Versions = Dict[str, int]
ONE: Versions = {"client": 1, "server": 1, "lib": 1, "tool": 1}


def fits(packages: Versions) -> bool:
    """The server's new version needs the newest library, and the client's new one a new library."""
    return packages["lib"] >= {1: 1, 2: 3, 3: 3}[packages["server"]] and packages["lib"] >= packages["client"]


def anything(_: Versions) -> bool:
    return True


class World:
    """A node whose package manager refuses what does not fit."""

    def __init__(self, path: Path, scope: RestoreScope, allows: Callable[[Versions], bool]) -> None:
        self.ledger = Ledger(path / "ledger.sqlite")
        self.ledger._db.execute("PRAGMA synchronous=OFF")
        self.scope, self.allows = scope, allows
        self.now = dict(ONE)
        self.globs: Sequence[str] = ()

    def state(self) -> PackageState:
        rows = sorted(Package(name, "amd64", str(version)) for name, version in self.now.items())
        return PackageState("apt", "amd64", tuple(rows))

    def current(self, key: str) -> Optional[str]:
        return self.ledger.history(key).current

    def baseline(self, *keys: str) -> None:
        for key in keys:
            self.ledger.record_reached(key, "1", self.ledger.put_state(self.state()), None, 1.0)

    def update(self, key: str, value: str, **packages: int) -> None:
        departing = self.current(key)
        run = self._opened(key, value, UPDATE, departing)
        if departing is not None and run.before is not None:
            self.ledger.record_departing(key, departing, run.before)
        before = self.state()
        self.now.update(packages)
        self._reached(run, Plan(diff(before, self.state())))

    def restore(self, key: str, value: str) -> Aim:
        """Go back the first way that the package manager does. Raises StopIteration if there is none."""
        record = self.ledger.history(key).record(value)
        assert record is not None and record.state is not None
        run = self._opened(key, value, RESTORE, self.ledger.history(key).current, record.state)
        aims = aims_of_restore(self.ledger, self.policy(key, value), self.state(), record.state, Path("/nowhere"))
        aim = next(aim for aim in aims if self.allows(versions(aim.target)))
        self.now = versions(aim.target)
        self._reached(run, aim.plan)
        return aim

    def policy(self, key: str, value: str) -> Policy:
        return Policy(value=value, key=key, restore=self.scope, packages=tuple(self.globs))

    def _opened(
        self, key: str, value: str, kind: RunKind, departing: Optional[str], state: Optional[int] = None
    ) -> Run:
        return self.ledger.open_run(
            Run(
                0,
                key,
                value,
                kind,
                "transact",
                2.0,
                policy=self.policy(key, value).as_json(),
                before=self.ledger.put_state(self.state()),
                departing=departing,
                restored_from=state,
                progress=Progress(CHANGED),
            )
        )

    def _reached(self, run: Run, plan: Plan) -> None:
        after = self.ledger.put_state(self.state())
        done = Run(**{**vars(run), "after": after, "plan": plan, "finished": 3.0})
        self.ledger.begin_change(done)
        self.ledger.record_reached(run.key, run.value, after, run.id, 3.0)
        self.ledger.save_run(Run(**{**vars(done), "progress": Progress(CHANGED, reached=True)}))


def versions(state: PackageState) -> Versions:
    return {package.name: int(package.version) for package in state.packages}


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: List[World] = []

    def make(scope: RestoreScope, allows: Callable[[Versions], bool] = fits) -> World:
        (tmp_path / str(len(made))).mkdir()
        made.append(World(tmp_path / str(len(made)), scope, allows))
        return made[-1]

    yield make
    for world in made:
        world.ledger.close()


KEYS = ("a", "b", "c")
TWO: Versions = {"client": 2, "server": 2, "lib": 3, "tool": 2}


def updated(world: World) -> None:
    """The library is what two of the keys have changed, the second one further."""
    world.baseline(*KEYS)
    world.update("a", "2", client=2, lib=2)
    world.update("b", "2", server=2, lib=3)
    world.update("c", "2", tool=2)


@pytest.mark.parametrize("scope", ["changes", "exact"])
@pytest.mark.parametrize("allows", [fits, anything])
def test_in_every_order_all_keys_come_to_where_they_began_and_back(
    worlds: Callable[..., World], scope: RestoreScope, allows: Callable[[Versions], bool]
) -> None:
    for back in permutations(KEYS):
        for forth in (KEYS, back) if allows is fits else (back,):
            world = worlds(scope, allows)
            updated(world)
            for _ in range(2):
                go(world, back, "1")
                assert world.now == ONE, back
                for key in forth:
                    world.restore(key, "2")
                assert {key: world.current(key) for key in KEYS} == dict.fromkeys(KEYS, "2"), (back, forth)
                assert world.now == TWO, (back, forth)


def go(world: World, order: Sequence[str], value: str) -> None:
    """Go back with each key; no package goes forward with it."""
    for key in order:
        before = dict(world.now)
        world.restore(key, value)
        assert all(world.now[name] <= before[name] for name in before), (order, key, before, world.now)
        assert world.current(key) == value
    assert {key: world.current(key) for key in order} == dict.fromkeys(order, value)


def test_only_the_key_that_stands_in_the_way_is_taken_along(worlds: Callable[..., World]) -> None:
    world = worlds("changes")
    updated(world)
    aim = world.restore("a", "1")
    assert world.now == {**ONE, "tool": 2}
    assert [(move.key, move.value) for move in aim.plan.moves] == [("b", "2")]
    assert [world.current(key) for key in KEYS] == ["1", None, "2"]
    (line,) = aim.plan.other_keys
    assert line.startswith("packages of key 'b', which no longer stands at '2', are taken along: ")
    found = world.restore("b", "1")
    assert found.plan.changes == () and found.plan.other_keys[0].startswith("found there: run 4, the restore of '1'")


def test_an_undone_way_back_gives_the_other_key_its_value_again(worlds: Callable[..., World]) -> None:
    world = worlds("changes")
    updated(world)
    world.restore("a", "1")
    world.ledger.record_moved_back(4)
    assert world.current("b") == "2" and world.ledger.history("b").moved_by is None


def test_a_value_whose_packages_another_key_has_moved_keeps_its_state(worlds: Callable[..., World]) -> None:
    for scope in ("changes", "exact"):
        world = worlds(scope)
        updated(world)
        world.restore("a", "1")
        world.update("b", "3", server=3, lib=3)
        world.restore("b", "2")
        assert (world.now["server"], world.current("b")) == (2, "2")


def test_a_key_that_was_moved_forward_goes_back_to_its_value(worlds: Callable[..., World]) -> None:
    world = worlds("changes", lambda now: now["lib"] >= now["server"])
    world.baseline("a", "b")
    world.update("a", "2", lib=2)
    world.update("b", "2", server=2)
    for key, value, there in (("a", "1", ONE), ("b", "2", {**ONE, "lib": 2, "server": 2}), ("a", "1", ONE)):
        aim = world.restore(key, value)
        assert (world.now, world.current(key)) == (there, value)
    assert world.current("b") is None
    taken, found = aim.plan.other_keys
    assert taken.endswith("are taken along: server: 2 -> 1") and found.startswith("found there: run 4")


def test_of_three_other_keys_only_the_two_that_stand_in_the_way_are_taken_along(
    worlds: Callable[..., World],
) -> None:
    world = worlds("changes", lambda now: now["lib"] >= max(now["client"], now["server"]))
    world.baseline("a", "b", "x", "c")
    for key, name in (("a", "lib"), ("b", "client"), ("x", "tool"), ("c", "server")):
        world.update(key, "2", **{name: 2})
    world.restore("a", "1")
    assert world.now == {**ONE, "tool": 2}
    assert [world.current(key) for key in ("a", "b", "x", "c")] == ["1", None, "2", None]


def test_packages_of_a_forgotten_key_are_named(worlds: Callable[..., World]) -> None:
    world = worlds("changes")
    updated(world)
    world.ledger.forget("b")
    (line,) = world.restore("a", "1").plan.other_keys
    assert line.startswith("packages of a key that was forgotten are taken along: ") and "server: 2 -> 1" in line


def test_a_key_loses_its_value_by_packages_that_it_selects(worlds: Callable[..., World]) -> None:
    """The first key has done all the work; the second one found it done."""
    world = worlds("exact")
    world.baseline("a", "b", "c")
    world.update("a", "2", **TWO)
    for key, globs in (("b", ("server",)), ("c", ("nothing",))):
        world.globs, world.scope = globs, "changes"
        world.update(key, "2")
    world.globs, world.scope = (), "exact"
    (move,) = world.restore("a", "1").plan.moves
    assert (move.key, [place.name for place in move.places]) == ("b", ["server"])
    assert [world.current(key) for key in KEYS] == ["1", None, "2"]


def test_a_way_back_that_nothing_makes_possible_has_no_aim(worlds: Callable[..., World]) -> None:
    world = worlds("changes", lambda _: False)
    updated(world)
    with pytest.raises(StopIteration):
        world.restore("a", "1")
