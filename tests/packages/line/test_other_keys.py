"""Several keys on one node: whose packages a way back moves, in every order, and what each key records then."""

import json
import subprocess
from typing import Any, Dict, Optional, Tuple

import pytest

from os_update_agent.testing.repository import Deb
from packages.node import SERVER as HOST
from packages.node import STACK, Node, Result
from packages.scene import VERSIONS_ONE

SERVER = "servers"
KEY = f"{STACK}/{SERVER}@{HOST}"
CLIENTS: Dict[str, Any] = {"packages": "libapp1"}
SERVERS: Dict[str, Any] = {"packages": "app", "resource": SERVER}
LIB, APP, TOOL = (
    Deb("libapp1", "2.0-1"),
    Deb("app", "2.0-1", fields={"Depends": "libapp1 (>= 2.0)"}),
    Deb("tool", "2.0-1"),
)
NEW = {**VERSIONS_ONE, "libapp1": "2.0-1", "app": "2.0-1"}


def command(node: Node, *argv: str) -> str:
    """Return what a command of the operator prints."""
    program = [*node.hand.wrapper, node.hand.python, "-m", "os_update_agent", *argv]
    return subprocess.run(program, env=node.environment(), check=True, capture_output=True, text=True).stdout


def stands_at(node: Node) -> Tuple[Optional[str], Optional[str]]:
    return node.history().current, node.history(SERVER).current


def at_two(node: Node, clients: Dict[str, Any], servers: Dict[str, Any]) -> Any:
    """Both keys go from the baseline "1" to "2". Returns the packages of before."""
    for options in (clients, servers):
        node.succeed("CREATE", "1", **options)
    one = node.packages()
    node.offer(LIB, APP)
    for options in (clients, servers):
        node.succeed("UPDATE", "2", **options)
    assert (node.versions(), stands_at(node)) == (NEW, ("2", "2"))
    return one


def test_both_go_back_in_either_order_and_forward_again(node: Node) -> None:
    one = at_two(node, CLIENTS, SERVERS)
    for order in ((SERVERS, CLIENTS), (CLIENTS, SERVERS)):
        for options in order:
            node.succeed("UPDATE", "1", **options)
        assert (node.packages(), stands_at(node)) == (one, ("1", "1"))
        for options in order:
            node.succeed("UPDATE", "2", **options)
        assert (node.versions(), stands_at(node)) == (NEW, ("2", "2"))


def test_the_key_that_was_taken_along_goes_on_from_there(node: Node) -> None:
    at_two(node, CLIENTS, SERVERS)
    node.succeed("UPDATE", "1", **CLIENTS)
    assert stands_at(node) == ("1", None)
    keys = {key["key"]: key for key in json.loads(command(node, "status", "--json"))["keys"]}
    assert (keys[KEY]["moved_from"], keys[KEY]["moved_by"]) == ("2", 3)
    moved = f"{KEY}: at no recorded value: run 3 of another key has moved its packages; it was at '2'\n"
    assert moved in command(node, "status")
    planned = json.loads(command(node, "plan", "2", "--key", KEY, "--json"))
    assert {change["name"] for change in planned["changes"]} == {"app", "libapp1"} and planned["other_keys"]
    # Its value again is no work that is done already: it takes along what it needs.
    again = node.succeed("UPDATE", "2", **SERVERS)
    assert (node.versions(), stands_at(node)) == (NEW, (None, "2"))
    assert "libapp1: 1.0-1 -> 2.0-1" in again.told
    node.succeed("UPDATE", "1", **CLIENTS)
    # A newer value fails and is undone. Its old value keeps its state, to which the rollback leads.
    node.offer(Deb("app", "3.0-1"))
    step = node.step("health.d/10-check", "exit 1")
    assert "was undone" in node.fail("UPDATE", "3", **SERVERS).complaint
    step.unlink()
    assert (node.versions(), stands_at(node)) == (VERSIONS_ONE, ("1", None))
    assert (node.history(SERVER).moved_from, node.history(SERVER).moved_by) == ("2", 5)
    node.succeed("CREATE", "2", **SERVERS)
    assert (node.versions(), stands_at(node)) == (NEW, (None, "2"))


def test_after_a_failed_health_check_everybody_stands_where_he_stood(node: Node) -> None:
    one = at_two(node, CLIENTS, SERVERS)
    step = node.step("health.d/10-check", "exit 1")
    failed = node.fail("UPDATE", "1", **CLIENTS)
    assert "was undone" in failed.complaint and (node.versions(), stands_at(node)) == (NEW, ("2", "2"))
    step.unlink()
    for options in (CLIENTS, SERVERS):
        node.succeed("UPDATE", "1", **options)
    assert (node.packages(), stands_at(node)) == (one, ("1", "1"))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_keys_that_update_everything_end_where_they_began(node: Node, order: Tuple[int, int]) -> None:
    """phases.yaml with a server in both lists and no globs: the first key does all the work."""
    both: Tuple[Dict[str, Any], ...] = ({}, {"resource": SERVER})
    one = at_two(node, *both)
    for _ in range(2):
        for number in order:
            node.succeed("UPDATE", "1", **both[number])
        assert (node.packages(), stands_at(node)) == (one, ("1", "1"))
        for number in order:
            node.succeed("UPDATE", "2", **both[number])
        assert (node.versions(), stands_at(node)) == (NEW, ("2", "2"))


def test_an_exact_way_back_says_which_key_it_takes_along(node: Node) -> None:
    one = at_two(node, {}, SERVERS)
    back = node.succeed("UPDATE", "1")
    assert "packages of key" in back.told and SERVER in back.told
    assert (node.packages(), stands_at(node)) == (one, ("1", None))
    found = node.succeed("UPDATE", "1", **SERVERS)
    assert "found there: run " in found.told and stands_at(node) == ("1", "1")


def test_a_value_that_was_reached_by_hand_with_other_packages_is_said(node: Node) -> None:
    node.succeed("CREATE", "1", **CLIENTS)
    node.offer(TOOL, LIB)
    command(node, "update", "2", "--packages", "tool")
    done = node.succeed("UPDATE", "2", **CLIENTS)
    assert "run 1, which reached it, selected other packages (select all, packages ['tool']; here:" in done.told


def test_what_does_not_stand_in_the_way_is_left(node: Node) -> None:
    """A third key has updated something else: it is not taken along."""
    tools = {"packages": "tool", "resource": "tools"}
    node.succeed("CREATE", "1", **tools)
    one = at_two(node, CLIENTS, SERVERS)
    node.offer(TOOL)
    node.succeed("UPDATE", "2", **tools)
    back: Result = node.succeed("UPDATE", "1", **CLIENTS)
    assert (node.versions()["tool"], node.history("tools").current) == ("2.0-1", "2")
    assert "tools" not in back.told
    node.succeed("UPDATE", "1", **SERVERS)
    node.succeed("UPDATE", "1", **tools)
    assert node.packages() == one
