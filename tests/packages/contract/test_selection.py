"""Which updates are asked for, and what two deployments on one node do to each other."""

from typing import Any, Dict, Set, Tuple

import pytest

from packages.node import RESOURCE, Node
from packages.scene import VERSIONS_ONE, Pkg
from packages.selecting import LIB, TOOL, assert_selects


def test_security_takes_the_security_version_with_what_it_needs_and_nothing_else(based: Node) -> None:
    based.offer(LIB, security=[Pkg("tool", "1.1", requires=("libsec",)), Pkg("libsec", "1.1")])
    done = based.succeed("UPDATE", "v2", select="security")
    assert done.changes == {"tool": ("1.0-1", "1.1-1"), "libsec": (None, "1.1-1")}
    assert done.held_back["libapp1"] == "not a security update (select: security)"
    assert "libsec" in based.hand.auto()
    based.succeed("UPDATE", "v1", select="security")
    assert based.versions() == VERSIONS_ONE


def test_a_result_says_which_changes_are_security_updates(based: Node) -> None:
    based.offer(LIB, security=[Pkg("tool", "1.1")])
    done = based.succeed("UPDATE", "v2")
    assert {change["name"]: change["security"] for change in done.body["changes"]["changes"]} == {
        "tool": True,
        "libapp1": False,
    }
    assert " -> 1.1-1 [security]\n" in done.body["deploy_stdout"]


@pytest.mark.parametrize(
    "options, changed",
    [
        ({"packages": ["lib*", "epoch?"]}, {"libapp1", "epochy"}),
        ({"packages": "*", "exclude": "lib*, tool"}, {"epochy"}),
    ],
)
def test_globs_select(based: Node, options: Dict[str, Any], changed: Set[str]) -> None:
    assert_selects(based, options, changed)


def test_a_mistyped_name_is_told_and_the_others_are_updated(based: Node) -> None:
    based.offer(TOOL, LIB)
    done = based.succeed("UPDATE", "v2", packages="toool, libapp1, zzz*")
    assert set(done.changes) == {"libapp1"} and not {"toool", "zzz*"} & set(done.held_back)
    assert done.complaint == "no installed package matches 'toool', 'zzz*' (packages)\n"


@pytest.mark.parametrize(
    "options, changed",
    [
        ({"exclude": "tool:{native}"}, {"libapp1", "epochy"}),
        ({"exclude": "t*:{native}"}, {"libapp1", "epochy"}),
        ({"exclude": "tool:nosuch"}, {"libapp1", "epochy", "tool"}),
        ({"packages": "tool:{native}"}, {"tool"}),
        ({"packages": "*:{native}", "exclude": "tool:{native}"}, {"libapp1", "epochy"}),
        ({"packages": "tool:nosuch"}, set()),
    ],
)
def test_a_glob_may_name_the_architecture(based: Node, options: Dict[str, Any], changed: Set[str]) -> None:
    native = based.recorded("v1").native
    assert_selects(based, {name: glob.format(native=native) for name, glob in options.items()}, changed)


def test_an_exclusion_holds_for_dependencies_and_holds_back_what_needs_them(based: Node) -> None:
    based.offer(Pkg("app", "2.0", requires=("libapp1 >= 1.5",)), LIB, TOOL)
    done = based.succeed("UPDATE", "v2", exclude="libapp1")
    assert set(done.changes) == {"tool"}
    assert "libapp1" in done.held_back["app"]
    assert done.held_back["libapp1"] == "excluded by 'libapp1' (exclude)"


def test_a_selected_package_brings_what_it_needs(based: Node) -> None:
    based.offer(Pkg("app", "2.0", requires=("libapp1 >= 1.5",)), LIB, TOOL)
    done = based.succeed("UPDATE", "v2", packages="app")
    assert set(done.changes) == {"app", "libapp1"}
    assert set(done.held_back) == {"tool"}


def test_removals_refuse_holds_back_what_would_remove(based: Node) -> None:
    based.offer_two()
    done = based.succeed("UPDATE", "v2", removals="refuse")
    versions = based.versions()
    assert (versions["useold"], versions["oldname"], versions["app"]) == ("1.0-1", "1.0-1", "2.0-1")
    # dnf names the one that would remove, apt the one that needs it.
    assert "removals: refuse" in done.held_back["oldname" if based.hand.suffix == "rpm" else "useold"]
    assert "useold" in done.held_back


def test_a_held_package_that_is_selected_is_held_back_and_stays_held(based: Node) -> None:
    based.offer_two()
    done = based.succeed("UPDATE", "v2", packages="heldpkg")
    assert done.changes == {}
    assert done.held_back["heldpkg"] == based.hand.held


def test_a_package_that_needs_a_held_one_is_held_back_with_the_reason(based: Node) -> None:
    based.offer(Pkg("heldpkg", "2.0"), Pkg("tool", "2.0", requires=("heldpkg >= 2.0",)))
    done = based.succeed("UPDATE", "v2")
    assert done.changes == {}
    assert "heldpkg" in done.held_back["tool"]


@pytest.fixture
def two_keys(node: Node) -> Tuple[Node, str]:
    """Two deployments on one node, each with its own package, both updated; and the operator has installed something by
    hand.
    """
    for resource in (RESOURCE, "other"):
        node.succeed("CREATE", "1", resource=resource)
    node.offer(TOOL, LIB, Pkg("byhand", "1.0"))
    node.succeed("UPDATE", "2", packages="tool")
    node.succeed("UPDATE", "2", resource="other", packages="libapp1")
    node.install_by_hand("byhand")
    return node, "other"


def test_a_restricted_deployment_takes_back_only_what_it_changed_itself(two_keys: Tuple[Node, str]) -> None:
    node, other = two_keys
    back = node.succeed("UPDATE", "1", packages="tool")
    assert back.changes == {"tool": ("2.0-1", "1.0-1")}
    assert node.versions()["libapp1"] == "1.5-1"
    assert node.versions()["byhand"] == "1.0-1"
    assert "left as it is: " in back.told
    node.succeed("UPDATE", "1", resource=other, packages="libapp1")
    assert node.versions() == {**VERSIONS_ONE, "byhand": "1.0-1"}


def test_an_exact_restore_takes_back_everything_and_names_what_is_foreign(two_keys: Tuple[Node, str]) -> None:
    node, _ = two_keys
    back = node.succeed("UPDATE", "1", packages="tool", restore="exact")
    assert node.versions() == VERSIONS_ONE
    assert "removes packages that the agent did not install: byhand" in back.told
