"""One server: a real Heat, the real chain and the real agent with real packages, in every way that a value can
travel.
"""

from typing import Any, Dict

import pytest

from heat.client import Stack, wait_until
from heat.conftest import NewOne
from heat.one import CFN, V1, V2, V3
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_ONE, VERSIONS_TWO

BROKEN = Deb("tool", "3.0-1", scripts={"postinst": "echo the tool cannot be set up >&2; exit 3"})
MENDED = Deb("tool", "3.1-1", files={"usr/share/tool": "3\n"})
KEEP = {"on_failure": "keep"}


@pytest.mark.parametrize("config_transport", ["POLL_SERVER_HEAT", "POLL_SERVER_CFN"])
@pytest.mark.parametrize("signal_transport", ["CFN_SIGNAL", "HEAT_SIGNAL"])
def test_a_value_goes_in_and_comes_back(new_one: NewOne, signal_transport: str, config_transport: str) -> None:
    one = new_one(offered=True, signal_transport=signal_transport, config_transport=config_transport)
    stack, server = one.stack, one.server
    assert [(item["action"], item["value"]) for item in one.listed()] == [("CREATE", V1)]
    assert server.versions() == VERSIONS_ONE
    assert "baseline" in stack.output("stdout")
    baseline = server.apt.state(), stack.output("state_digest")

    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("UPDATE", V2)]
    assert server.versions() == VERSIONS_TWO
    changes = {change["name"]: (change["before"], change["after"]) for change in stack.output("changes")["changes"]}
    assert changes["app"] == ("1.0-1", "2.0-1")
    assert stack.output("state_digest") != baseline[1]
    assert stack.output("status_code") == 0

    delivered = one.listed()
    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert one.listed() == delivered

    one.update(V1)
    stack.wait_for("UPDATE_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("UPDATE", V1)]
    assert (server.apt.state(), stack.output("state_digest")) == baseline
    assert V1 in stack.output("restored_from")


def test_a_failing_package_is_told_and_undone_and_the_same_value_can_be_tried_again(new_one: NewOne) -> None:
    one = new_one(**CFN)
    stack, server = one.stack, one.server
    before = server.apt.state()
    server.offer_two()
    server.offer(BROKEN)
    one.update(V2)
    stack.wait_for("UPDATE_FAILED")
    assert server.apt.state() == before
    assert (
        "tool: installed tool package post-installation script subprocess returned error exit status 3" in stack.reason
    )
    assert "the update was undone: the node has the packages that it had before" in stack.reason
    assert "the tool cannot be set up" in stack.output("stderr")

    server.repository.remove("tool", "3.0-1")
    server.offer(MENDED)
    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("CREATE", V2)]
    assert server.versions() == {**VERSIONS_TWO, "tool": "3.1-1"}

    one.update(V1)
    stack.wait_for("UPDATE_COMPLETE")
    assert server.apt.state() == before


@pytest.mark.parametrize(("options", "ways"), [({}, {}), (KEEP, CFN)], ids=["undone", "left-as-it-is"])
def test_a_rollback_of_the_server_that_failed(new_one: NewOne, options: Dict[str, Any], ways: Dict[str, str]) -> None:
    """It arrives as CREATE, because Heat replaces a failed deployment; where the agent has left the failure, it is what
    restores.
    """
    one = new_one(rollback=True, options=options, **ways)
    stack, server = one.stack, one.server
    before, digest = server.apt.state(), stack.output("state_digest")
    server.offer_two()
    server.offer(BROKEN)
    one.update(V2)
    stack.wait_for("ROLLBACK_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("CREATE", V1)]
    assert server.apt.state() == before
    assert stack.output("state_digest") == digest
    assert V1 in stack.output("stdout")

    server.repository.remove("tool", "3.0-1")
    server.repository.publish()
    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == VERSIONS_TWO


def test_a_cancelled_update_comes_to_its_end_and_is_rolled_back(new_one: NewOne) -> None:
    one = new_one(**CFN)
    stack, server = one.stack, one.server
    before = server.apt.state()
    with stack.comes_to_wait(one.update_and_hold(V2)):
        stack.cancel()
    assert stack.status == "ROLLBACK_IN_PROGRESS"
    server.let_go()
    stack.wait_for("ROLLBACK_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("UPDATE", V1)]
    assert server.apt.state() == before
    assert V1 in stack.output("restored_from")


def test_a_rollback_that_heat_itself_cancels_is_mended_by_the_old_value(new_one: NewOne) -> None:
    """Heat may do so when the answer comes in the moment of a cancel; the README tells what to do then."""
    # row: ROLLBACK_FAILED
    one = new_one()
    stack, server = one.stack, one.server
    before = server.apt.state()
    underway = one.update_and_hold(V2)
    (nested,) = underway
    with stack.comes_to_wait(underway):
        stack.cancel()
    Stack(stack.heat, nested).cancel(rollback=False)
    stack.wait_for("ROLLBACK_FAILED")
    assert "Stack UPDATE cancelled" in stack.reason
    with stack.comes_to_wait(underway):
        one.update(V1)
    server.let_go()
    stack.wait_for("UPDATE_COMPLETE")
    assert server.apt.state() == before
    assert [(item["action"], item["value"]) for item in one.listed()] == [("UPDATE", V1)]


def test_an_update_that_is_cancelled_without_rollback_goes_on_and_the_next_value_waits_for_it(new_one: NewOne) -> None:
    one = new_one()
    stack, server = one.stack, one.server
    before = server.apt.state()
    underway = one.update_and_hold(V2)
    stack.cancel(rollback=False)
    stack.wait_for("UPDATE_FAILED")
    stack.wait_until_cancelled(underway)
    wait_until(
        lambda: stack.resource("update").resource_status == "UPDATE_FAILED", "Heat to wait no longer", stack.story
    )
    assert server.apt.state() == before
    with stack.comes_to_wait(underway):
        one.update(V3)
    server.let_go()
    stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == VERSIONS_TWO
    assert V3 in stack.output("stdout")
    one.update(V1)
    stack.wait_for("UPDATE_COMPLETE")
    assert server.apt.state() == before
