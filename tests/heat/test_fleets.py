"""The templates that users copy, on a real Heat with several servers: who hears what, how many at once, and what comes
back. Only the number of their places is smaller (heat.light.with_places).

Heat mostly waits, so the scenes play at the same time; each test is one of them.
"""

import os
import subprocess
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import pytest

from heat.client import Heat, Stack, wait_until
from heat.fleet import ONE, THREE, TWO, FileServer, Fleet, Heard, Release, peak
from heat.lab import Lab
from heat.light import ENVIRONMENTS, HERE, with_places

V1, V2, V3 = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"
AT_ONCE = 4
PATIENCE = 600.0
# No scene needs more.
PLACES = 6


class Scene:
    """A fleet, and the stack that updates it."""

    def __init__(self, lab: Lab, directory: Path, release: Release, name: str, templates: Path) -> None:
        self.heat = Heat(lab)
        self.templates = templates
        self.environments = [str(templates / one) for one in ENVIRONMENTS]
        self.release = release
        self.fleet = Fleet(lab, directory, release)
        self.name = f"{name}-{uuid.uuid4().hex[:6]}"
        self.stacks: List[Stack] = []
        self.stack: Stack

    def servers(self, count: int) -> Dict[str, str]:
        """Machines that a stack of their own holds, and that poll: their ids by their names, server0, server1 ..."""
        made = self.heat.create(f"{self.name}-servers", str(HERE / "templates/servers.yaml"), count=count)
        self.stacks.append(made)
        servers = {f"server{number}": server for number, server in enumerate(made.output("servers"))}
        for name, server in servers.items():
            self.fleet.join(name, server)
        return servers

    def create(self, template: str, *, makes: int = 0, **parameters: Any) -> None:
        """The stack of a shipped template, complete: its first value is the baseline everywhere. ``makes`` servers are
        its own.
        """
        parameters = {"update_after_time": V1, **parameters}
        self.stack = self.heat.create(
            self.name, str(self.templates / template), environments=self.environments, wait=False, **parameters
        )
        self.stacks.append(self.stack)
        if makes:
            self.fleet.join_all(self.stack, makes)
        self.wait_for("CREATE_COMPLETE")
        for member in self.fleet.members.values():
            member.offer(2)

    def update(self, value: str, *statuses: str, rollback: bool = False, **parameters: Any) -> List[Heard]:
        """Deliver a value and wait for the stack's end. What was heard meanwhile."""
        self.fleet.forget()
        self.stack.update(rollback=rollback, update_after_time=value, **parameters)
        self.wait_for(*statuses)
        return self.fleet.heard

    def wait_for(self, *statuses: str) -> None:
        try:
            self.stack.wait_for(*statuses, patience=PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.fleet.story()}") from None

    def story(self) -> str:
        return f"{self.stack.story()}\n{self.fleet.story()}"

    def versions(self) -> List[Dict[str, str]]:
        return [member.versions() for member in self.fleet.members.values()]

    def end(self) -> None:
        try:
            for stack in reversed(self.stacks):
                stack.delete()
        finally:
            self.fleet.__exit__()


def told(heard: List[Heard], value: str) -> Dict[str, str]:
    """The action with which each member heard the value."""
    return {one.member: one.action for one in heard if one.value == value}


def deployment_group(scene: Scene) -> None:
    """Forward one at a time, a rollback in the same order; with and without a rollback; and members that join later."""
    ids = scene.servers(6)
    four = {name: ids[name] for name in list(ids)[:4]}
    scene.create("rolling-deployment-group.yaml", servers=four)
    members = scene.fleet.members
    members["server2"].be_ill()
    heard = scene.update(V2, "ROLLBACK_COMPLETE", rollback=True)
    assert [str(one) for one in heard] == [
        *(f"server{number}:UPDATE:{V2}" for number in range(3)),
        *(f"server{number}:UPDATE:{V1}" for number in range(2)),
        f"server2:CREATE:{V1}",
    ], scene.story()
    assert peak(heard) == 1
    assert scene.versions() == [ONE] * 6

    members["server2"].be_well()
    heard = scene.update(V2, "UPDATE_COMPLETE", batch=2)
    assert sorted(one.member for one in heard) == sorted(four), scene.story()
    assert peak(heard) <= 2
    assert scene.versions()[:4] == [TWO] * 4
    said = scene.stack.output("stdouts")
    # Where it was reached before the rollback, its state is restored.
    assert [said[name].partition(" '")[0] for name in four] == ["restored", "restored", "updated to", "updated to"]

    # Without a rollback the same value again goes on where it has stopped.
    for member in members.values():
        member.offer(3)
    members["server2"].be_ill()
    heard = scene.update(V3, "UPDATE_FAILED", batch=1)
    assert [str(one) for one in heard] == [f"server{number}:UPDATE:{V3}" for number in range(3)], scene.story()
    assert scene.versions()[:4] == [THREE, THREE, TWO, TWO]
    members["server2"].be_well()
    heard = scene.update(V3, "UPDATE_COMPLETE")
    assert [str(one) for one in heard] == [f"server2:CREATE:{V3}", f"server3:UPDATE:{V3}"], scene.story()
    assert scene.versions()[:4] == [THREE] * 4

    # An option changes, so all hear the value again: what the outputs say of a node stays. One joins, updating first.
    members["server1"].want_reboot()
    five = {name: ids[name] for name in list(ids)[:5]}
    heard = scene.update(V3, "UPDATE_COMPLETE", batch=20, servers=five, options={"on_create": "update"})
    assert told(heard, V3) == {**dict.fromkeys(four, "UPDATE"), "server4": "CREATE"}, scene.story()
    assert scene.stack.output("reboot_required") == {name: name == "server1" for name in five}
    assert scene.versions()[:5] == [THREE] * 5

    # It goes back with the others, to what it had before; one that joins with the default stays as it is.
    heard = scene.update(V2, "UPDATE_COMPLETE", servers=ids, options={})
    assert told(heard, V2) == {**dict.fromkeys(five, "UPDATE"), "server5": "CREATE"}, scene.story()
    assert scene.versions() == [*[TWO] * 4, ONE, ONE]
    assert "baseline" in scene.stack.output("stdouts")["server5"]

    # A value from before its time changes nothing there, and goes on with the others.
    heard = scene.update(V1, "UPDATE_COMPLETE", batch=20)
    assert told(heard, V1) == dict.fromkeys(ids, "UPDATE"), scene.story()
    assert scene.versions() == [ONE] * 6


def autoscaling_group(scene: Scene) -> None:
    """Heat says ROLLBACK_COMPLETE and has put back nothing: the template's header says so."""
    scene.create("rolling-autoscaling-group.yaml", makes=4, desired_capacity=4)
    heard = scene.update(V2, "UPDATE_COMPLETE")
    order = [one.member for one in heard]
    assert sorted(order) == sorted(scene.fleet.members) and peak(heard) == 1, scene.story()
    assert scene.versions() == [TWO] * 4

    for member in scene.fleet.members.values():
        member.offer(3)
    scene.fleet.members[order[2]].be_ill(once=True)
    heard = scene.update(V3, "ROLLBACK_COMPLETE", rollback=True)
    assert [str(one) for one in heard] == [*(f"{name}:UPDATE:{V3}" for name in order[:3]), f"{order[2]}:CREATE:{V3}"], (
        scene.story()
    )
    versions = scene.fleet.versions()
    assert [versions[name] for name in order] == [THREE, THREE, THREE, TWO]


def one_by_one(scene: Scene) -> None:
    """A chain keeps its order in the rollback too, and so does a way back by hand."""
    ids = list(scene.servers(4).values())
    scene.create("one-by-one.yaml", servers=",".join(ids))
    order = ["server0", "server1", "server2", "server3"]
    members = scene.fleet.members
    members["server2"].be_ill()
    heard = scene.update(V2, "ROLLBACK_COMPLETE", rollback=True)
    assert [str(one) for one in heard] == [
        *(f"server{number}:UPDATE:{V2}" for number in range(3)),
        *(f"server{number}:UPDATE:{V1}" for number in range(2)),
        f"server2:CREATE:{V1}",
    ], scene.story()
    assert peak(heard) == 1
    assert scene.versions() == [ONE] * 4

    members["server2"].be_well()
    for value, versions in ((V2, TWO), (V1, ONE)):
        heard = scene.update(value, "UPDATE_COMPLETE")
        assert [one.member for one in heard] == order, scene.story()
        assert peak(heard) == 1
        assert scene.versions() == [versions] * 4


def roles_in_order(scene: Scene) -> None:
    ids = scene.servers(4)
    roles = {"first": ["server0", "server1"], "second": ["server2"], "third": ["server3"]}
    servers: Dict[str, Any] = {role: {name: ids[name] for name in those} for role, those in roles.items()}
    scene.create("roles-in-order.yaml", batch=2, **servers)
    role_of = {name: role for role, those in roles.items() for name in those}

    def order(heard: List[Heard]) -> List[str]:
        return list(dict.fromkeys(role_of[one.member] for one in heard))

    heard = scene.update(V2, "UPDATE_COMPLETE")
    assert order(heard) == ["first", "second", "third"], scene.story()
    assert peak(heard) <= 2
    assert scene.versions() == [TWO] * 4

    scene.fleet.members["server2"].use_source("deb [trusted=yes] http://127.0.0.1:9 ./")
    heard = scene.update(V3, "ROLLBACK_COMPLETE", rollback=True, reverse=True)
    assert [str(one) for one in heard if one.value == V3] == [f"server3:UPDATE:{V3}", f"server2:UPDATE:{V3}"], (
        scene.story()
    )
    assert told(heard, V2) == {"server2": "CREATE", "server3": "UPDATE"}, scene.story()
    assert order([one for one in heard if one.value == V2]) == ["second", "third"]
    assert scene.versions() == [TWO] * 4

    scene.fleet.members["server2"].offer(2)
    heard = scene.update(V3, "UPDATE_COMPLETE", reverse=True)
    assert order(heard) == ["third", "second", "first"], scene.story()


def phases(scene: Scene) -> None:
    """Forward; and the database step fails: what every phase does then."""
    ids = scene.servers(2)
    directory = scene.fleet.directory
    calls = directory / "database"
    fuse = directory / "fuse"
    scene.create(
        "phases.yaml",
        # The server is a client, too.
        clients=ids,
        servers={"server1": ids["server1"]},
        database_server=ids["server1"],
        units="web.service",
        options={"packages": ["app", "lib"]},
        client_packages="*",
        database_upgrade=f"echo upgrade >> {calls}; test ! -e {fuse}",
        database_back=f"echo back >> {calls}",
        database_record=f"{directory}/record/database",
    )
    # The clients have packages of their own, the servers those of all.
    told = {
        one["name"]: one["options"] for name in ("server0", "server1") for one in scene.stack.deployments(ids[name])
    }
    assert [told[phase]["packages"] for phase in ("10-clients", "20-servers")] == [["*"], ["app", "lib"]]
    services = scene.fleet.members["server1"].services
    assert services.calls() == [] and not calls.exists()

    fuse.touch()
    heard = scene.update(V2, "ROLLBACK_COMPLETE", rollback=True)
    assert names_by_phase(heard, V2) == [set(ids), *[{"server1"}] * 3], scene.story()
    assert names_by_phase(heard, V1) == [set(ids), *[{"server1"}] * 3], scene.story()
    assert services.calls() == ["stop -- web.service", "start -- web.service"]
    assert services.state("web.service") == "active"
    assert calls.read_text(encoding="utf-8") == "upgrade\n"
    assert scene.versions() == [ONE] * 2

    fuse.unlink()
    heard = scene.update(V2, "UPDATE_COMPLETE")
    five = [set(ids), *[{"server1"}] * 4]
    assert names_by_phase(heard, V2) == five, scene.story()
    assert services.calls() == ["stop -- web.service", "start -- web.service"]
    assert scene.versions() == [TWO] * 2

    heard = scene.update(V1, "UPDATE_COMPLETE")
    assert names_by_phase(heard, V1) == five, scene.story()
    assert calls.read_text(encoding="utf-8") == "upgrade\nupgrade\nback\n"
    assert services.state("web.service") == "active"
    assert services.calls() == ["start -- web.service"] * 2
    assert scene.versions() == [ONE] * 2


def names_by_phase(heard: List[Heard], value: str) -> List[Set[str]]:
    """The members of each phase, which a value has to go through one after the other: a phase that comes twice is two
    phases.
    """
    found: List[Set[str]] = []
    last = ""
    for one in heard:
        if one.value == value:
            if one.config != last:
                found.append(set())
            found[-1].add(one.member)
            last = one.config
    return found


def prefetch_then_roll(scene: Scene) -> None:
    """In the serial phase no package file is asked for, and in no rollback: in a try that fails in the middle, and in
    the next one.
    """
    with FileServer(scene.release) as served:
        scene.create("prefetch-then-roll.yaml", servers=scene.servers(4))
        members = scene.fleet.members
        for member in members.values():
            member.use_source(*served.lines())

        def rolled(heard: List[Heard]) -> List[str]:
            """The members that were updated, after all had fetched; from then on nothing was asked for."""
            fetches, updates = (of_config(heard, V2, name) for name in ("80-package-download", "90-package-update"))
            assert len(fetches) == 4 and peak(updates) == 1, scene.story()
            serial = min(one.begin for one in updates)
            assert max(one.end for one in fetches) <= serial
            assert [request for request in served.files() if request.moment >= serial] == []
            return [one.member for one in updates]

        order = ["server0", "server1", "server2", "server3"]
        members["server2"].be_ill()
        heard = scene.update(V2, "ROLLBACK_COMPLETE", rollback=True)
        assert rolled(heard) == order[:3], scene.story()
        assert len([request for request in served.files() if "2.0-1" in request.path]) == 8
        assert told(of_config(heard, V1, "80-package-download"), V1) == dict.fromkeys(members, "UPDATE"), scene.story()
        back = {"server0": "UPDATE", "server1": "UPDATE", "server2": "CREATE"}
        assert told(of_config(heard, V1, "90-package-update"), V1) == back, scene.story()
        assert scene.versions() == [ONE] * 4

        members["server2"].be_well()
        assert sorted(rolled(scene.update(V2, "UPDATE_COMPLETE"))) == sorted(order), scene.story()
        assert scene.versions() == [TWO] * 4

        served.close()
        scene.update(V1, "UPDATE_COMPLETE")
        assert scene.versions() == [ONE] * 4


def of_config(heard: List[Heard], value: str, config: str) -> List[Heard]:
    """Those of one deployment's name and one value."""
    return [one for one in heard if (one.value, one.config) == (value, config)]


def seed(scene: Scene) -> None:
    """Only updates are delivered; a moment that is older than the first one is known for the state before it."""
    (server,) = scene.servers(1).values()
    scene.create("seed.yaml", server=server)
    assert scene.fleet.heard == []
    assert [str(one) for one in scene.update(V2, "UPDATE_COMPLETE")] == [f"server0:UPDATE:{V2}"]
    assert scene.versions() == [TWO]
    scene.update(V1, "UPDATE_COMPLETE")
    assert scene.versions() == [ONE]
    # What it cannot do, and its header says: the retry after a failure is not delivered, and Heat is content.
    scene.fleet.members["server0"].be_ill()
    scene.update(V3, "UPDATE_FAILED")
    assert scene.versions() == [ONE]
    assert scene.update(V3, "UPDATE_COMPLETE") == []


def update_packages(scene: Scene) -> None:
    """The script that drives a stack: to the end; and until its check fails, when it cancels and tells what has become
    of it.
    """
    scene.create("one-by-one.yaml", servers=",".join(scene.servers(2).values()))
    fuse, go = scene.fleet.directory / "fuse", scene.fleet.directory / "go"
    environment = {"PAUSE": "1", "PATIENCE": "3600", "CHECK": f"test ! -e {fuse}"}

    def drive(value: str) -> "subprocess.Popen[str]":
        script = f". {scene.heat.lab.directory}/openrc; exec {scene.templates}/update-packages.sh {scene.name} {value}"
        return subprocess.Popen(
            ["sh", "-c", script],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end_of(process: "subprocess.Popen[str]") -> Tuple[int, str, str]:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return process.returncode, out, err

    status, out, err = end_of(drive(V2))
    assert status == 0, out + err
    assert f"{scene.name} is updated to {V2}" in out
    assert scene.versions() == [TWO] * 2

    for member in scene.fleet.members.values():
        member.offer(3)
    held = scene.fleet.directory / "held"
    scene.fleet.members["server0"].step(
        "pre-update.d/10-hold", f"touch {held}; while [ ! -e {go} ]; do sleep 0.2; done"
    )
    scene.fleet.forget()
    process = drive(V3)
    try:
        wait_until(held.exists, "the first server to be at work", scene.story, PATIENCE)
        with scene.stack.comes_to_wait({scene.stack.id}):
            fuse.touch()
        assert scene.stack.status == "ROLLBACK_IN_PROGRESS"
    except BaseException:
        process.kill()
        raise
    finally:
        # Else the server holds on, and its fleet cannot end.
        go.touch()
    status, out, err = end_of(process)
    assert status == 1, out + err
    assert "cancelling: the check has failed" in err and "ROLLBACK_COMPLETE" in err
    assert [str(one) for one in scene.fleet.heard] == [f"server0:UPDATE:{V3}", f"server0:UPDATE:{V2}"], scene.story()
    assert scene.versions() == [TWO] * 2


def two_stacks(scene: Scene) -> None:
    """Two stacks update one server, each some packages: forward one after the other, and back in the opposite order."""
    # row: two stacks on one server
    (server,) = scene.servers(1).values()
    stacks: Dict[str, Stack] = {}
    for package in ("lib", "app"):
        parameters: Dict[str, Any] = {"server": server, "options": {"packages": [package]}}
        parameters.update(name=f"90-{package}", update_after_time=V1)
        template = str(scene.templates / "package-update.yaml")
        scene.stack = stacks[package] = scene.heat.create(
            f"{scene.name}-{package}", template, environments=scene.environments, **parameters
        )
        scene.stacks.append(scene.stack)
    member = scene.fleet.members["server0"]
    member.offer(2)
    for package, value, versions in (
        ("lib", V2, {**ONE, "lib": "2.0-1"}),
        ("app", V2, TWO),
        ("app", V1, {**ONE, "lib": "2.0-1"}),
        ("lib", V1, ONE),
    ):
        scene.stack = stacks[package]
        heard = scene.update(value, "UPDATE_COMPLETE")
        assert [(str(one), one.config) for one in heard] == [(f"server0:UPDATE:{value}", f"90-{package}")]
        assert member.versions() == versions


SCENES: Sequence[Callable[[Scene], None]] = (
    phases,
    roles_in_order,
    deployment_group,
    one_by_one,
    autoscaling_group,
    prefetch_then_roll,
    seed,
    update_packages,
    two_stacks,
)


def scene_of(item: pytest.Function) -> str:
    scene: Any = item.callspec.params["scene"]
    return str(scene.__name__)


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dict[str, Future[None]]]:
    """The scenes that this run of the tests asks for, at the same time."""
    wanted = {
        scene_of(item)
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__) and "played" in item.fixturenames
    }
    release = Release(tmp_path_factory.mktemp("release"))
    templates = with_places(PLACES, tmp_path_factory.mktemp("templates"))

    def play(scene: Callable[[Scene], None]) -> None:
        name = scene.__name__
        stage = Scene(lab, tmp_path_factory.mktemp(name), release, name.replace("_", "-"), templates)
        try:
            scene(stage)
        finally:
            stage.end()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {scene.__name__: pool.submit(play, scene) for scene in SCENES if scene.__name__ in wanted}


@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__ for scene in SCENES])
def test_a_template_does_what_its_header_says(played: Dict[str, Future[None]], scene: Callable[[Scene], None]) -> None:
    played[scene.__name__].result()
