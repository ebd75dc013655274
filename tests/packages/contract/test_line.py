"""There and back: the line from a value to a package state and from the value back to that state."""

from packages.node import Node
from packages.scene import VERSIONS_ONE, VERSIONS_TWO, Pkg

BROKEN = Pkg("tool", "3.0", fails="broken here")


def test_the_first_create_records_the_baseline_and_changes_nothing(node: Node) -> None:
    before = node.packages()
    node.offer_two()
    result = node.succeed("CREATE", "v1")
    assert node.packages() == before
    assert result.changes == {}
    assert "baseline" in result.told and "7 installed packages" in result.told
    assert node.history().current == "v1"
    assert result.body["state_digest"] == node.recorded("v1").digest


def test_there_and_back_is_exact_in_versions_marks_and_holds(based: Node) -> None:
    one = based.packages()
    digest = based.recorded("v1").digest
    based.offer_two()

    there = based.succeed("UPDATE", "v2")
    assert based.versions() == VERSIONS_TWO
    two = based.packages()
    assert there.held_back == {"heldpkg": based.hand.held}
    assert there.changes["extra"] == (None, "2.0-1")
    assert there.changes["newname"] == (None, "2.0-1")
    assert there.changes["oldname"] == ("1.0-1", None)
    assert there.changes["epochy"] == ("9.0-1", "1:1.0-1")
    assert there.body["restorable"] is True
    # What the agent reads of the marks is what the package manager itself says of them.
    auto = based.hand.auto()
    assert {package.name for package in based.recorded("v2").packages if package.mark == "auto"} == auto
    assert "extra" in auto and "app" not in auto

    back = based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.versions() == VERSIONS_ONE
    assert back.body["state_digest"] == digest
    assert back.body["restored_from"].startswith("'v1', reached ")
    assert back.changes["extra"] == ("2.0-1", None)

    again = based.succeed("UPDATE", "v2")
    assert based.packages() == two
    assert again.body["state_digest"] == there.body["state_digest"]


def test_the_same_value_again_is_nothing_to_do(based: Node) -> None:
    based.offer_two()
    two = based.succeed("UPDATE", "v2")
    based.offer(Pkg("tool", "3.0"))
    for action in ("UPDATE", "CREATE"):
        result = based.succeed(action, "v2")
        assert result.changes == {}
        assert "the node stands at this value already" in result.told
        assert result.body["state_digest"] == two.body["state_digest"]
    assert based.versions() == VERSIONS_TWO


def test_a_failed_update_is_undone_and_the_old_value_is_still_current(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    two, tree = based.packages(), based.tree()
    based.offer(BROKEN, Pkg("app", "3.0"))

    failed = based.fail("UPDATE", "v3")
    assert based.packages() == two
    assert based.tree() == tree
    assert failed.status == 1
    assert "broken here" in failed.complaint
    assert "the node has the packages that it had before" in failed.complaint
    assert str(based.log) in failed.complaint
    assert failed.changes == {}
    assert based.history().current == "v2"

    rollback = based.succeed("CREATE", "v2")
    assert "nothing to do" in rollback.told
    based.succeed("CREATE", "v1")
    assert based.versions() == VERSIONS_ONE


def test_a_failed_value_is_run_again_once_the_repository_is_mended(based: Node) -> None:
    based.offer(BROKEN)
    based.fail("UPDATE", "v2")
    based.fail("CREATE", "v2")
    based.withdraw("3.0-1", "tool")
    based.offer(Pkg("tool", "3.1"))
    retry = based.succeed("CREATE", "v2")
    assert retry.changes == {"tool": ("1.0-1", "3.1-1")}
    assert based.history().current == "v2"
    based.succeed("UPDATE", "v1")
    assert based.versions() == VERSIONS_ONE


def test_what_is_kept_on_failure_is_left_and_said(based: Node) -> None:
    based.offer(BROKEN, Pkg("libapp1", "3.0"))
    failed = based.fail("UPDATE", "v2", on_failure="keep")
    assert based.versions()["libapp1"] == "3.0-1"
    if based.hand.kind == "apt":
        assert any(row.startswith("tool:") and row.endswith("half-configured") for row in based.apt.rows())
    else:
        # To rpm a package whose %post failed is installed.
        assert based.versions()["tool"] == "3.0-1"
    assert "left as it is" in failed.complaint
    assert failed.changes["libapp1"] == ("1.0-1", "3.0-1")
    assert based.history().current is None

    based.succeed("CREATE", "v1")
    assert based.versions() == VERSIONS_ONE


def test_the_state_that_an_operator_has_made_since_is_the_one_that_comes_back(based: Node) -> None:
    based.offer(Pkg("byhand", "1.0"))
    based.install_by_hand("byhand")
    based.hand.hold("tool")
    one = based.packages()
    based.offer_two()
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one


def test_a_restore_names_what_it_removes_that_nobody_of_us_installed(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    based.offer(Pkg("byhand", "1.0"))
    based.install_by_hand("byhand")
    back = based.succeed("UPDATE", "v1")
    assert based.versions() == VERSIONS_ONE
    assert "removes packages that the agent did not install: byhand" in back.told


def test_changed_marks_and_holds_alone_are_restored(based: Node) -> None:
    one = based.packages()
    based.offer(Pkg("tool", "2.0"))
    based.succeed("UPDATE", "v2")
    based.hand.hold("app", "tool")
    based.hand.mark("auto", "useold")
    based.hand.unhold("heldpkg")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
