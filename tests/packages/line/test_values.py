"""What the front door alone decides about values and actions, whatever the package manager is; here with apt. See also
contract/.
"""

import json
import time
from typing import Callable

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.testing.repository import Deb
from packages.line.others import held
from packages.node import Node
from packages.scene import VERSIONS_TWO, Pkg


def test_the_same_delivery_again_gets_its_stored_answer(based: Node) -> None:
    based.offer_two()
    first = based.succeed("UPDATE", "v2", config_id="the-one")
    based.offer(Pkg("tool", "3.0"))
    based.succeed("UPDATE", "v3")
    again = based.succeed("UPDATE", "v2", config_id="the-one")
    assert again.stdout == first.stdout
    assert again.received == ()
    assert based.versions()["tool"] == "3.0-1"


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
def test_other_actions_touch_no_package(based: Node, action: str) -> None:
    based.offer_two()
    before = based.packages()
    history = based.history()
    for value in ("v1", "v9"):
        result = based.succeed(action, value)
        assert f"packages are not touched on {action}" in result.told
    assert based.packages() == before
    assert based.history() == history


def test_without_a_create_an_older_value_means_the_state_before_the_first_update(node: Node) -> None:
    one = node.packages()
    node.offer_two()
    node.succeed("UPDATE", "2026-11-02T10:00:00Z")
    node.offer(Pkg("tool", "3.0"))
    node.succeed("UPDATE", "2026-11-03T10:00:00Z")
    back = node.succeed("UPDATE", "2026-11-01T10:00:00Z")
    assert node.packages() == one
    assert "restored '2026-11-01T10:00:00Z'" in back.told
    node.succeed("UPDATE", "2026-11-02T10:00:00Z")
    assert node.versions() == VERSIONS_TWO


def test_without_a_create_a_value_that_is_no_moment_is_a_new_one(node: Node) -> None:
    node.offer_two()
    node.succeed("UPDATE", "v2")
    node.offer(Pkg("tool", "3.0"))
    node.succeed("UPDATE", "v1")
    assert node.versions()["tool"] == "3.0-1"


def test_a_node_without_updates_reaches_every_value(based: Node) -> None:
    result = based.succeed("UPDATE", "v2")
    assert "0 packages changed" in result.told
    assert based.history().current == "v2"
    assert json.loads(result.stdout)["changes"] == {"count": 0, "changes": []}


def test_each_result_is_signalled_once_with_the_bytes_that_the_hook_prints(node: Node) -> None:
    node.offer_two()
    for action, value in (("CREATE", "v1"), ("UPDATE", "v2"), ("UPDATE", "v1"), ("DELETE", "v1")):
        result = node.succeed(action, value)
        (request,) = result.received
        assert request.body.decode() == result.stdout
        assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert {signal.standing for signal in node.signals().values()} == {"delivered"}


def test_all_that_the_worker_leaves_is_its_owners(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    again = based.succeed("UPDATE", "v2")
    assert "was open to others" not in again.stderr
    files = [path for place in (based.run, based.log) for path in place.rglob("*") if path.is_file()]
    assert files
    assert [str(path) for path in files if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    "hand",
    [
        lambda node: node.install_by_hand("epochy"),
        lambda node: node.hand.mark("auto", "tool"),
        lambda node: node.hand.hold("tool"),
    ],
    ids=["version", "mark", "hold"],
)
def test_what_somebody_changes_behind_the_back_of_a_backend_is_captured(
    based: Node, hand: Callable[[Node], object]
) -> None:
    """It keeps what it has read as long as dpkg's and apt's files are the same."""
    based.offer_two()
    backend = based.site().backend(Policy(key="any"))
    # Files that have just been written are read every time.
    time.sleep(0.2)
    one = backend.capture()
    assert backend.capture() is one
    hand(based)
    assert backend.capture() != one


def test_a_first_update_that_could_not_begin_is_no_baseline_when_heat_replaces_it(node: Node) -> None:
    one = node.packages()
    node.offer(Deb("tool", "2.0-1"))
    with held(node, "var/lib/dpkg/lock-frontend"):
        failed = node.fail("UPDATE", "2026-02-01", lock_timeout=1)
    assert "nothing was changed" in failed.complaint
    done = node.succeed("CREATE", "2026-02-01")
    assert "baseline" not in done.told
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}
    assert node.history().first_state is not None
    # The one before the first update: what it was is told by no value of Heat's.
    node.succeed("UPDATE", "2026-01-01")
    assert node.packages() == one


def test_a_node_that_came_later_does_not_go_forward_when_the_others_go_back(node: Node) -> None:
    """A server that was added, or that has another place in a list: its history begins with the newest value."""
    one = node.packages()
    node.succeed("CREATE", "2026-11-20T10:00:00Z")
    node.offer_two()
    for action, value in (("UPDATE", "2026-11-18T10:00:00Z"), ("CREATE", "2026-11-16"), ("UPDATE", "1794996000")):
        back = node.succeed(action, value)
        assert "older than every known one" in back.told and back.changes == {}
        assert (node.packages(), node.history().current) == (one, value)
        assert "already" in node.succeed(action, value).told
    node.succeed("UPDATE", "2026-11-20T10:00:00Z")
    assert node.packages() == one
    # The older value has a state now: after an update it is the way back.
    node.succeed("UPDATE", "1794996000")
    node.succeed("UPDATE", "2026-11-21T10:00:00Z")
    assert node.versions() == VERSIONS_TWO
    node.succeed("CREATE", "1794996000")
    assert node.packages() == one
