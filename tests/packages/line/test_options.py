"""Options of a delivery that changes what it does, and of the command by hand."""

from os_update_agent.testing.repository import Deb
from packages.line.others import command
from packages.node import VERSIONS_ONE, Node

LIB, TOOL = Deb("libapp1", "1.5-1"), Deb("tool", "2.0-1")
NEW = {**VERSIONS_ONE, "libapp1": "1.5-1", "tool": "2.0-1"}


# --- operation: download


def test_a_first_delivery_that_only_downloads_is_the_baseline(node: Node) -> None:
    one = node.packages()
    node.succeed("CREATE", "v1", operation="download")
    assert node.history().current == "v1"
    node.offer(LIB, TOOL)
    node.succeed("UPDATE", "v2", operation="update")
    assert node.versions() == NEW
    node.succeed("UPDATE", "v1", operation="update")
    assert node.packages() == one


def test_a_download_and_an_update_with_one_history_are_created_without_an_update(node: Node) -> None:
    one = node.packages()
    node.offer(LIB, TOOL)
    node.succeed("CREATE", "v1", resource="fetch", operation="download", state_key="web")
    node.succeed("CREATE", "v1", resource="apply", state_key="web")
    assert node.packages() == one
    node.succeed("UPDATE", "v2", resource="fetch", operation="download", state_key="web")
    assert node.packages() == one
    done = node.succeed("UPDATE", "v2", resource="apply", state_key="web")
    assert set(done.changes) == {"libapp1", "tool"}
    node.succeed("UPDATE", "v1", resource="fetch", operation="download", state_key="web")
    node.succeed("UPDATE", "v1", resource="apply", state_key="web")
    assert node.packages() == one


# --- by hand what Heat's deployment asks for


def test_by_hand_the_options_of_the_deployment_count_too(based: Node) -> None:
    based.offer(LIB, TOOL)
    based.succeed("UPDATE", "v2", exclude="tool*")
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "1.5-1"}
    based.install_by_hand("tool")

    plan = command(based, "plan", "v1")
    assert plan.returncode == 0, plan.stderr
    assert "the way back to 'v1' would change:" in plan.stdout and "libapp1: 1.5-1 -> 1.0-1" in plan.stdout
    assert "tool" not in plan.stdout
    back = command(based, "rollback", "v1")
    assert back.returncode == 0, back.stderr
    assert based.versions() == {**VERSIONS_ONE, "tool": "2.0-1"}

    based.offer(Deb("libapp1", "3.0-1"), Deb("tool", "3.0-1"))
    forth = command(based, "update", "v3")
    assert forth.returncode == 0, forth.stderr
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "3.0-1", "tool": "2.0-1"}
    assert "excluded by 'tool*' (exclude)" in forth.stdout
    all_of_it = command(based, "update", "v4", "--exclude", "libapp1")
    assert all_of_it.returncode == 0, all_of_it.stderr
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "3.0-1", "tool": "3.0-1"}
