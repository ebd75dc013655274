"""Members of groups come, go, are renamed and exchanged on a real Heat, together with new values and with failures:
the group can always be updated again, and every member that Heat lists stands where the stack says.

The members are light ones (light.py). The scenes play at the same time; each test is one of them.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Set

import pytest
import yaml
from heatclient import exc

from heat.client import Stack, wait_until
from heat.fleet import deployed_servers, peak
from heat.lab import Lab
from heat.light import TEMPLATES, Group, Light, with_places

GROUP = "rolling-deployment-group.yaml"
V = [f"2026-11-22T10:{minute:02}:00Z" for minute in range(20)]
ALL = 20
AT_ONCE = 6
# No scene but one needs more.
PLACES = 5


def settled(group: Group, value: str, servers: Mapping[str, str]) -> None:
    """Assert that the stack lists these servers by their names, and that each stands at the value."""
    digests: Dict[str, str] = group.stack.output("state_digests")
    by_id = {member.server: member for member in group.members.values()}
    assert set(digests) == set(servers), group.story()
    for name, server in servers.items():
        member = by_id[server]
        assert member.stands_at(value), f"{name} is not at {value}\n{group.story()}"
        assert digests[name] == member.packages, f"{name}: {digests}\n{group.story()}"


class Exchange:
    """The stack of rolling-deployment-group.yaml with its first two of four servers, and what is in its map."""

    def __init__(self, group: Group, batch: int) -> None:
        self.group = group
        self.ids = group.servers(4)
        self.present = self.those(0, 1)
        group.create(group.templates / GROUP, servers=self.present, update_after_time=V[0], batch=batch)

    def those(self, *numbers: int) -> Dict[str, str]:
        return {f"s{number}": self.ids[f"s{number}"] for number in numbers}

    def forward(self, value: str, servers: Mapping[str, str], **more: Any) -> List[str]:
        """Return what was heard, sorted: with a larger batch the order is not fixed."""
        heard = self.group.update("UPDATE_COMPLETE", servers=servers, update_after_time=value, **more)
        self.present = dict(servers)
        settled(self.group, value, self.present)
        return sorted(heard)

    def rolled_back(self, ill: str, value: str, servers: Mapping[str, str], *, to: str) -> None:
        self.group.be_ill(value, ill)
        self.group.update("ROLLBACK_COMPLETE", rollback=True, servers=servers, update_after_time=value)
        settled(self.group, to, self.present)

    def failed(self, ill: str, value: str, servers: Mapping[str, str]) -> None:
        self.group.be_ill(value, ill)
        self.group.update("UPDATE_FAILED", servers=servers, update_after_time=value)
        self.group.be_ill("")


def forward(group: Group, batch: int) -> None:
    # row: UPDATE_COMPLETE
    play = Exchange(group, batch)
    # Grow: only the one that joins hears something.
    assert play.forward(V[0], play.those(0, 1, 2)) == [f"s2 CREATE {V[0]}"]
    # Shrink, with a new value.
    assert play.forward(V[1], play.those(0, 1)) == [f"s0 UPDATE {V[1]}", f"s1 UPDATE {V[1]}"]
    # One goes and another one comes, with a new value.
    assert play.forward(V[2], play.those(0, 2)) == [f"s0 UPDATE {V[2]}", f"s2 CREATE {V[2]}"]
    # A member gets another name.
    assert play.forward(V[2], {"www": play.ids["s0"], **play.those(2)}) == []
    # All are exchanged.
    assert play.forward(V[3], play.those(3, 1)) == [f"s1 CREATE {V[3]}", f"s3 CREATE {V[3]}"]
    # Back by hand, with the members of that time.
    play.forward(V[2], play.those(0, 1))
    # An option alone: all hear the value again, and what the outputs say of the node stays.
    group.members["s0"].wants_reboot = True
    heard = play.forward(V[2], play.those(0, 1), options={"exclude": ["linux-image*"]})
    assert heard == [f"s0 UPDATE {V[2]}", f"s1 UPDATE {V[2]}"]
    assert group.stack.output("reboot_required") == {"s0": True, "s1": False}


def back(group: Group, batch: int) -> None:
    """Heat must forget no server that has been updated in another place than its old one."""
    # row: ROLLBACK_COMPLETE
    # row: UPDATE_FAILED
    play = Exchange(group, batch)
    # One goes and another one comes; one more comes; one goes.
    play.rolled_back("s3", V[1], play.those(0, 3), to=V[0])
    play.rolled_back("s0", V[1], play.those(0, 1, 2), to=V[0])
    play.forward(V[2], play.those(0, 1, 2, 3))
    # The first ones leave, so the others take their places.
    play.rolled_back("s3", V[3], play.those(2, 3), to=V[2])
    play.rolled_back("s2", V[3], play.those(1, 2, 3), to=V[2])
    # No rollback: the group takes the old members with another value, and others with this one.
    play.failed("s2", V[3], play.those(1, 2, 3))
    play.forward(V[4], play.those(0, 1, 2, 3))
    play.failed("s2", V[5], {**play.those(3), "new": play.ids["s2"]})
    play.forward(V[5], {**play.those(3), "new": play.ids["s2"]})


def a_list(group: Group) -> None:
    """The list of one-by-one.yaml: another order, another server, and a rollback in the order of the list."""
    ids = group.servers(4)
    by_id = {server: name for name, server in ids.items()}

    def step(status: str, value: str, *names: str, then: str = "") -> List[str]:
        servers = ",".join(ids[name] for name in names)
        back = status == "ROLLBACK_COMPLETE"
        heard = group.update(status, rollback=back, servers=servers, update_after_time=value)
        listed: Mapping[str, str] = group.stack.output("state_digests")
        for server in listed:
            assert group.members[by_id[server]].stands_at(then or value), group.story()
        return heard

    good, back = "UPDATE_COMPLETE", "ROLLBACK_COMPLETE"
    group.create(
        group.templates / "one-by-one.yaml", servers=",".join(ids[f"s{n}"] for n in (0, 1, 2)), update_after_time=V[0]
    )
    heard = step(good, V[1], "s2", "s1", "s0")
    assert heard == [f"s2 CREATE {V[1]}", f"s1 UPDATE {V[1]}", f"s0 CREATE {V[1]}"]
    group.be_ill(V[2], "s3")
    heard = step(back, V[2], "s2", "s1", "s3", then=V[1])
    assert heard[:3] == [f"s2 UPDATE {V[2]}", f"s1 UPDATE {V[2]}", f"s3 CREATE {V[2]}"]
    assert heard[3:] == [f"s2 UPDATE {V[1]}", f"s1 UPDATE {V[1]}", f"s0 CREATE {V[1]}"]
    group.be_ill("")
    heard = step(good, V[3], "s3", "s0")
    assert [one.split()[0] for one in heard] == ["s3", "s0"]


class Made:
    """The servers that a stack makes: each is switched on as soon as it is there, and is called by its number."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.seen: Set[str] = set()

    def look(self) -> None:
        for server, _ in deployed_servers(self.group.stack):
            if server not in self.seen:
                self.seen.add(server)
                self.group.fleet.add(Light(f"m{len(self.seen)}", server))

    def update(self, status: str, *, rollback: bool = False, **parameters: Any) -> None:
        self.group.stack.update(rollback=rollback, **parameters)
        self.wait_for(status)

    def wait_for(self, status: str) -> None:
        def has_ended() -> bool:
            self.look()
            now = self.group.stack.status
            ended = ("_COMPLETE", "ROLLBACK_FAILED") if status.startswith("ROLLBACK") else ("_COMPLETE", "_FAILED")
            return now == status or now.endswith(ended)

        wait_until(has_ended, f"{self.group.name} to become {status}", self.group.story, 200.0)
        assert self.group.stack.status == status, f"{self.group.stack.story()}\n{self.group.story()}"

    def all_stand_at(self, value: str, count: int) -> List[str]:
        """Assert it of those that the stack lists now. Return their names in the order of the group."""
        by_id = {member.server: member for member in self.group.members.values()}
        servers: Mapping[str, str] = self.group.stack.output("servers")
        assert len(servers) == count, self.group.story()
        for server in servers.values():
            assert by_id[server].stands_at(value), f"{by_id[server].name} is not at {value}\n{self.group.story()}"
        assert set(self.group.stack.output("stdouts")) == set(servers)
        return [by_id[server].name for server in servers.values()]

    def lose_one(self) -> None:
        """Say that a server is broken: Heat replaces it in the next update."""
        api = self.group.heat.api
        found = next(
            one
            for one in api.resources.list(self.group.name, nested_depth=3)
            if one.resource_type == "OS::Heat::DeployedServer"
        )
        stack = next(link["href"].rsplit("/stacks/", 1)[1] for link in found.links if link["rel"] == "stack")
        api.resources.mark_unhealthy(stack, found.resource_name, True, "test")


def give_policies(template: Path) -> None:
    """Add two scaling policies, up and down."""
    content = yaml.safe_load(template.read_text(encoding="utf-8"))
    for name, step in (("up", 1), ("down", -1)):
        properties = {
            "adjustment_type": "change_in_capacity",
            "auto_scaling_group_id": {"get_resource": "group"},
            "scaling_adjustment": step,
            "cooldown": 0,
        }
        content["resources"][name] = {"type": "OS::Heat::ScalingPolicy", "properties": properties}
    template.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def scaling(group: Group, batch: int) -> None:
    """An autoscaling group whose policies have added and removed members before the next value comes."""
    made = Made(group)
    template = group.templates / "autoscaled-servers.yaml"
    give_policies(template)
    group.create(template, wait=False, desired_capacity=3, batch=batch, update_after_time=V[0])
    made.wait_for("CREATE_COMPLETE")
    made.all_stand_at(V[0], 3)

    def scale(policy: str, count: int) -> None:
        # Heat passes over a signal while it still notes down the last one.
        wait_until(lambda: not any(map(is_scaling, ("group", policy))), f"{group.name} to have scaled", group.story)
        group.heat.api.resources.signal(group.name, policy)
        members = Stack(group.heat, str(group.stack.resource("group").physical_resource_id))
        wait_until(
            lambda: (
                len(group.heat.api.resources.list(members.name)) == count and members.status.endswith("UPDATE_COMPLETE")
            ),
            f"{group.name} to have {count} members",
            group.story,
        )
        made.look()

    def is_scaling(name: str) -> bool:
        return bool(group.heat.api.resources.metadata(group.name, name).get("scaling_in_progress"))

    scale("up", 4)
    scale("down", 3)
    made.update("UPDATE_COMPLETE", update_after_time=V[1])
    names = made.all_stand_at(V[1], 3)
    # The oldest one goes, so all others take another place; and the update fails at the last of them.
    scale("down", 2)
    group.be_ill(V[2], names[-1])
    made.update("ROLLBACK_COMPLETE", rollback=True, update_after_time=V[2])
    made.all_stand_at(V[1], len(group.stack.output("servers")))
    # The stack's own capacity, in an update that fails: Heat takes the oldest ones away in its rollback.
    made.update("ROLLBACK_COMPLETE", rollback=True, update_after_time=V[2], desired_capacity=4)
    made.all_stand_at(V[1], len(group.stack.output("servers")))
    group.be_ill("")
    made.lose_one()
    made.update("UPDATE_COMPLETE", update_after_time=V[3], desired_capacity=2)
    made.all_stand_at(V[3], 2)


def resource_group(group: Group, batch: int) -> None:
    made = Made(group)
    template = group.templates / "rolling-resource-group.yaml"
    group.create(template, wait=False, count=2, batch=batch, update_after_time=V[0])
    made.wait_for("CREATE_COMPLETE")
    made.update("UPDATE_COMPLETE", update_after_time=V[1], count=3)
    first, *_, last = made.all_stand_at(V[1], 3)
    group.be_ill(V[2], last)
    made.update("ROLLBACK_COMPLETE", rollback=True, update_after_time=V[2], count=4)
    assert made.all_stand_at(V[1], 3)[0] == first
    group.be_ill(V[2], first)
    made.update("ROLLBACK_COMPLETE", rollback=True, update_after_time=V[2], count=2)
    made.all_stand_at(V[1], 3)
    group.be_ill("")
    made.lose_one()
    made.update("UPDATE_COMPLETE", update_after_time=V[3], count=2)
    made.all_stand_at(V[3], 2)


def roles(group: Group) -> None:
    """A server moves from one role to another, in an update that is rolled back and in one that is not."""
    ids = group.servers(3)
    template = group.templates / "roles-in-order.yaml"
    here: Dict[str, Any] = {"first": {"a": ids["s0"], "b": ids["s1"]}, "second": {"c": ids["s2"]}}
    there: Dict[str, Any] = {"first": {"b": ids["s1"]}, "second": {"a": ids["s0"], "c": ids["s2"]}}
    group.create(template, update_after_time=V[0], **here)
    group.update("UPDATE_COMPLETE", update_after_time=V[1], **here)
    group.be_ill(V[2], "s2")
    group.update("ROLLBACK_COMPLETE", rollback=True, update_after_time=V[2], **there)
    assert all(member.stands_at(V[1]) for member in group.members.values()), group.story()
    group.be_ill("")
    group.update("UPDATE_COMPLETE", update_after_time=V[3], **there)
    assert all(member.stands_at(V[3]) for member in group.members.values()), group.story()
    assert [sorted(role) for role in group.stack.output("stdouts")] == [["b"], ["a", "c"], []]


def prefetch(group: Group) -> None:
    """Members are exchanged in both phases."""
    ids = group.servers(3)
    template = group.templates / "prefetch-then-roll.yaml"

    def those(*numbers: int) -> Dict[str, str]:
        return {f"s{number}": ids[f"s{number}"] for number in numbers}

    group.create(template, servers=those(0, 1), update_after_time=V[0])
    group.be_ill(V[1], "s2")
    group.update("ROLLBACK_COMPLETE", rollback=True, servers=those(1, 2), update_after_time=V[1])
    assert all(group.members[name].stands_at(V[0]) for name in ("s0", "s1")), group.story()
    group.be_ill("")
    group.update("UPDATE_COMPLETE", servers=those(1, 2), update_after_time=V[1])
    assert all(group.members[name].stands_at(V[1]) for name in ("s1", "s2")), group.story()
    assert set(group.stack.output("fetched")) == {"s1", "s2"}


def sizes(group: Group) -> None:
    """No server, one, twenty; and twenty-one, or a batch that there is not: Heat says at once what is wrong."""
    ids = group.servers(21)
    names = list(ids)

    def those(count: int) -> Dict[str, str]:
        return {name: ids[name] for name in names[:count]}

    group.create(TEMPLATES / GROUP, servers={}, update_after_time=V[0], batch=10)
    assert group.stack.output("stdouts") == {}
    assert group.update("UPDATE_COMPLETE", servers=those(1), update_after_time=V[1]) == [f"s0 CREATE {V[1]}"]
    settled(group, V[1], those(1))
    group.update("UPDATE_COMPLETE", servers=those(20), update_after_time=V[2])
    settled(group, V[2], those(20))
    assert peak(group.fleet.heard) <= 10
    for given, message in (({"servers": those(21)}, "at most 20 servers"), ({"batch": 7}, "10, or 20 for all")):
        try:
            group.update("UPDATE_FAILED", update_after_time=V[3], **given)
        except exc.HTTPBadRequest as error:
            assert message in str(error)
        else:
            assert message in group.stack.reason, group.stack.reason
    group.update("UPDATE_COMPLETE", servers={}, batch=1, update_after_time=V[3])
    assert group.stack.output("changes") == {}


def odd_names(group: Group) -> None:
    ids = group.servers(3)
    odd = dict(zip(["web 1/ä", "%index%", "a.b:[c],{d}'s \""], ids.values()))
    group.create(group.templates / GROUP, servers=odd, update_after_time=V[0])
    group.update("UPDATE_COMPLETE", servers=odd, update_after_time=V[1])
    settled(group, V[1], odd)
    # A stack that is deleted and made again begins with a baseline, also with a value that its namesake had.
    group.stack.delete()
    group.create(group.templates / GROUP, servers=odd, update_after_time=V[0])
    assert all(member.packages == V[1] for member in group.members.values()), group.story()


def autoscaling_group(group: Group) -> None:
    """Heat does not roll back rolling-autoscaling-group.yaml, but it can always be given another value."""
    made = Made(group)
    template = group.templates / "rolling-autoscaling-group.yaml"
    group.create(template, wait=False, desired_capacity=3, update_after_time=V[0])
    made.wait_for("CREATE_COMPLETE")
    names = made.all_stand_at(V[0], 3)
    group.be_ill(V[1], names[-1])
    made.update("UPDATE_FAILED", update_after_time=V[1])
    made.update("UPDATE_COMPLETE", update_after_time=V[2])
    made.all_stand_at(V[2], 3)
    # Fewer members together with one that fails, and more again.
    group.be_ill(V[3], made.all_stand_at(V[2], 3)[-1])
    made.update("UPDATE_FAILED", update_after_time=V[3])
    made.update("UPDATE_COMPLETE", update_after_time=V[4], desired_capacity=2)
    made.update("UPDATE_COMPLETE", update_after_time=V[5], desired_capacity=3)
    made.all_stand_at(V[5], 3)


SCENES: Mapping[str, Callable[[Group], None]] = {
    "back_one_at_a_time": lambda group: back(group, 1),
    "back_all_at_once": lambda group: back(group, ALL),
    "forward_one_at_a_time": lambda group: forward(group, 1),
    "forward_all_at_once": lambda group: forward(group, ALL),
    "scaling_one_at_a_time": lambda group: scaling(group, 1),
    "scaling_all_at_once": lambda group: scaling(group, ALL),
    "resource_group_one_at_a_time": lambda group: resource_group(group, 1),
    "resource_group_all_at_once": lambda group: resource_group(group, ALL),
    "a_list": a_list,
    "roles": roles,
    "prefetch": prefetch,
    "autoscaling_group": autoscaling_group,
    "sizes": sizes,
    "odd_names": odd_names,
}
# The others are these with another batch, or take long: tests/run heat-members plays all, in a quarter of an hour.
IN_CI = (
    "back_one_at_a_time",
    "forward_all_at_once",
    "scaling_one_at_a_time",
    "resource_group_all_at_once",
    "a_list",
    "roles",
    "sizes",
    "odd_names",
)
PLAYED = list(SCENES) if os.environ.get("OS_UPDATE_AGENT_TEST_MEMBERS") == "all" else IN_CI


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dict[str, Future[None]]]:
    """The scenes that this run of the tests asks for, at the same time."""
    wanted: Set[str] = {
        str(item.callspec.params["scene"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__) and hasattr(item, "callspec")
    }

    def play(name: str) -> None:
        templates = TEMPLATES if name == "sizes" else with_places(PLACES, tmp_path_factory.mktemp(name))
        with Group(lab, name.replace("_", "-"), templates) as group:
            SCENES[name](group)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(play, name) for name in SCENES if name in wanted}


@pytest.mark.parametrize("scene", PLAYED)
def test_members_come_and_go(played: Dict[str, Future[None]], scene: str) -> None:
    played[scene].result()
