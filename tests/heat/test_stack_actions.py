"""What happens to a stack besides an update: suspend, resume, check, snapshot, restore, a deletion in the middle of an
update, a killed engine. One light member hears of it or not; the README of the templates has the table.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Callable, Dict, Iterator, List, Set

import pytest
from heatclient import exc

from heat.client import wait_until
from heat.lab import Lab
from heat.light import HERE, TEMPLATES, Group, Light

ONE = HERE / "templates/one-server.yaml"
V1, V2, V3 = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"


def one_server(group: Group) -> Light:
    """A stack with a server and its update, which is at V1."""
    group.create(ONE, environment_of=TEMPLATES, wait=False, update_after_time=V1)
    member = Light("s0", made_server(group))
    group.fleet.add(member)
    group.wait_for("CREATE_COMPLETE")
    assert group.heard() == [f"s0 CREATE {V1}"] and member.stands_at(V1)
    group.fleet.forget()
    return member


def made_server(group: Group) -> str:
    """Wait for the server and return its id: until then the output has the name of the resource."""
    found: List[str] = []

    def is_made() -> bool:
        with suppress(exc.HTTPNotFound):
            found.append(group.stack.resource("server").physical_resource_id)
        return bool(found and found[-1])

    wait_until(is_made, "the server of the stack", group.stack.story)
    return found[-1]


def suspend_and_resume(group: Group) -> None:
    """The server hears nothing. Until it is resumed, the stack takes no value."""
    # row: SUSPEND_COMPLETE, RESUME_COMPLETE
    member = one_server(group)
    actions = group.heat.api.actions
    actions.suspend(group.name)
    group.wait_for("SUSPEND_COMPLETE")
    with pytest.raises(exc.HTTPBadRequest):
        group.stack.update(update_after_time=V2)
    actions.resume(group.name)
    group.wait_for("RESUME_COMPLETE")
    assert group.heard() == [] and member.stands_at(V1)
    assert group.update("UPDATE_COMPLETE", update_after_time=V2) == [f"s0 UPDATE {V2}"]


def check(group: Group) -> None:
    """The server hears nothing, and the outputs are those of the last result."""
    # row: CHECK_COMPLETE
    member = one_server(group)
    group.heat.api.actions.check(group.name)
    group.wait_for("CHECK_COMPLETE")
    assert group.heard() == [] and group.stack.output("state_digest") == member.packages
    assert group.update("UPDATE_COMPLETE", update_after_time=V2) == [f"s0 UPDATE {V2}"]


def snapshot_and_restore(group: Group) -> None:
    """A snapshot is delivered to nobody; its restore delivers the value of its time."""
    # row: SNAPSHOT_COMPLETE
    # row: RESTORE_COMPLETE
    member = one_server(group)
    before = member.packages
    made = group.heat.api.stacks.snapshot(group.name, "first")
    wait_until(
        lambda: group.heat.api.stacks.snapshot_show(group.name, made["id"])["snapshot"]["status"] == "COMPLETE",
        "the snapshot",
        group.stack.story,
    )
    assert group.heard() == []
    group.update("UPDATE_COMPLETE", update_after_time=V2)
    assert member.packages == V2
    group.fleet.forget()
    group.heat.api.stacks.restore(group.name, made["id"])
    group.wait_for("RESTORE_COMPLETE")
    assert group.heard() == [f"s0 UPDATE {V1}"]
    assert member.stands_at(V1) and member.packages == before


def deleted_in_the_middle(group: Group) -> None:
    """The server ends its update, and nobody takes the result."""
    # row: deleted during a run
    member = one_server(group)
    member.go.clear()
    group.stack.update(update_after_time=V2)
    wait_until(lambda: member.at_work, "the member to be at work", group.story)
    group.stack.delete()
    member.go.set()
    assert group.heard() == [f"s0 UPDATE {V2}"]
    assert member.packages == V2 and member.faults


def killed_engine(group: Group) -> None:
    """The result is taken after the restart; the stack stays in progress until the next value, which brings it on."""
    # row: UPDATE_IN_PROGRESS, engine was killed
    member = one_server(group)
    member.go.clear()
    group.stack.update(update_after_time=V2)
    wait_until(lambda: member.at_work, "the member to be at work", group.story)
    group.heat.lab.kill_heat()
    member.go.set()
    group.heat.lab.start_heat()
    assert group.heard() == [f"s0 UPDATE {V2}"] and not member.faults
    wait_until(
        lambda: group.heat.api.software_deployments.get(group.stack.output("deployment")).status == "COMPLETE",
        "the result to be taken",
        group.stack.story,
    )
    assert group.stack.status == "UPDATE_IN_PROGRESS"
    heard = group.update("UPDATE_COMPLETE", update_after_time=V3)
    assert heard == [f"s0 CREATE {V3}"] and member.stands_at(V3)


TOGETHER: Dict[str, Callable[[Group], None]] = {
    one.__name__: one for one in (suspend_and_resume, check, snapshot_and_restore, deleted_in_the_middle)
}


@pytest.fixture(scope="session")
def played(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Dict[str, Future[None]]]:
    wanted: Set[str] = {
        str(item.callspec.params["action"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "action" in getattr(getattr(item, "callspec", None), "params", {})
    }

    def play(name: str) -> None:
        with Group(lab, name.replace("_", "-")) as group:
            TOGETHER[name](group)

    with ThreadPoolExecutor(len(TOGETHER)) as pool:
        yield {name: pool.submit(play, name) for name in TOGETHER if name in wanted}


@pytest.mark.parametrize("action", TOGETHER)
def test_a_stack_action(played: Dict[str, Future[None]], action: str) -> None:
    played[action].result()


def test_a_killed_engine(played: Dict[str, Future[None]], lab: Lab) -> None:
    """Alone: it is everybody's engine."""
    for future in played.values():
        future.exception()
    with Group(lab, "killed-engine") as group:
        killed_engine(group)
