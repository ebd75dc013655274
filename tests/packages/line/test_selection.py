"""Which updates are asked for: what is apt's own, and what the front door alone decides. The rest is in contract/."""

from pathlib import Path
from typing import Any, Dict, Set

import pytest

from os_update_agent.testing.repository import Deb, Repository
from packages.node import VERSIONS_ONE, Node
from packages.selecting import assert_selects

TOOL, LIB = Deb("tool", "2.0-1"), Deb("libapp1", "1.5-1")


@pytest.fixture
def security(based: Node, tmp_path: Path) -> Repository:
    """A security archive beside the plain one, which has a newer version of the same package."""
    archive = Repository(tmp_path / "security", suite="demo-security")
    archive.add(Deb("tool", "1.1-1", fields={"Depends": "libsec"}), Deb("libsec", "1.1-1"))
    archive.publish()
    based.offer(Deb("tool", "2.0-1"), LIB)
    based.use_sources(based.repository.source_line(), archive.source_line())
    return archive


def test_security_takes_the_security_version_although_there_is_a_newer_one(based: Node, security: Repository) -> None:
    done = based.succeed("UPDATE", "v2", select="security")
    assert done.changes == {"tool": ("1.0-1", "1.1-1"), "libsec": (None, "1.1-1")}


def test_security_without_security_updates_changes_nothing(based: Node) -> None:
    based.offer(TOOL, LIB)
    done = based.succeed("UPDATE", "v2", select="security")
    assert done.changes == {}
    assert set(done.held_back) == {"tool", "libapp1"}
    assert based.versions() == VERSIONS_ONE


def test_without_select_the_newest_version_comes(based: Node, security: Repository) -> None:
    done = based.succeed("UPDATE", "v2")
    assert done.changes["tool"] == ("1.0-1", "2.0-1")


@pytest.mark.parametrize(
    "options, changed",
    [
        ({"packages": "tool"}, {"tool"}),
        ({"packages": "nosuch*"}, set()),
        ({"packages": '["lib*"]'}, {"libapp1"}),
        ({"exclude": "lib*, tool"}, {"epochy"}),
        ({"packages": "*", "exclude": "tool"}, {"libapp1", "epochy"}),
    ],
)
def test_globs_select(based: Node, options: Dict[str, Any], changed: Set[str]) -> None:
    assert_selects(based, options, changed)


def test_a_held_package_that_is_selected_is_held_back_and_stays_held(based: Node) -> None:
    based.offer_two()
    done = based.succeed("UPDATE", "v2", packages="heldpkg")
    assert done.changes == {}
    assert done.held_back["heldpkg"] == "on hold"
    assert any(row.startswith("heldpkg:") and " hold " in row for row in based.apt.rows())


def test_an_own_state_key_joins_deployments_into_one_history(node: Node) -> None:
    node.succeed("CREATE", "1", resource="a", state_key="the-node")
    node.offer(TOOL)
    node.succeed("UPDATE", "2", resource="b", state_key="the-node")
    back = node.succeed("CREATE", "1", resource="c", state_key="the-node")
    assert "restored '1'" in back.told
    assert node.versions() == VERSIONS_ONE


def test_deployments_that_select_different_packages_cannot_share_a_key(node: Node) -> None:
    """Under one key a value is one state: the second deployment would be told that its value is reached."""
    node.succeed("CREATE", "1", resource="a", state_key="the-node", packages="tool")
    refused = node.fail("CREATE", "1", resource="b", state_key="the-node", packages="libapp1", archive="off")
    assert "the key 'the-node' is also that of the resource 'a' of stack" in refused.complaint
    assert "select all, packages ['tool']; here: select all, packages ['libapp1']" in refused.complaint
    assert "nothing was changed" in refused.complaint and "its own state_key" in refused.complaint
    node.succeed("DELETE", "1", resource="b", state_key="the-node", packages="libapp1", archive="off")
    with node.ledger() as ledger:
        policy = ledger.last_policy("the-node")
    assert policy is not None and (policy.packages, policy.archive) == (("tool",), "best-effort")
    # A deployment may change its own choice, and goes on under another config id.
    node.offer(TOOL, LIB)
    done = node.succeed("UPDATE", "2", resource="a", state_key="the-node", packages="libapp1, tool")
    assert set(done.changes) == {"tool", "libapp1"}
    node.succeed("CREATE", "1", resource="a", state_key="the-node", packages="tool, libapp1")
    assert node.versions() == VERSIONS_ONE


def test_a_changes_restore_after_an_undone_failure_is_still_right(based: Node) -> None:
    based.offer(TOOL)
    based.succeed("UPDATE", "2", packages="tool")
    based.offer(Deb("tool", "3.0-1", scripts={"postinst": "exit 1"}))
    based.fail("UPDATE", "3", packages="tool")
    based.succeed("CREATE", "2", packages="tool")
    based.succeed("UPDATE", "v1", packages="tool")
    assert based.versions() == VERSIONS_ONE


def test_an_excluded_package_is_not_removed_for_another_one(based: Node) -> None:
    based.offer_two()
    done = based.succeed("UPDATE", "v2", exclude="oldname")
    versions = based.versions()
    assert versions["oldname"] == "1.0-1" and versions["useold"] == "1.0-1"
    assert "newname" not in versions
    assert "oldname" in done.held_back["useold"]
    assert versions["app"] == "2.0-1"
