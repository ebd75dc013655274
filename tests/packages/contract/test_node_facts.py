"""The outputs describe the node, whatever the delivery has done; a member that joins late reaches the value first."""

from packages.node import Node
from packages.scene import VERSIONS_ONE, VERSIONS_TWO, Pkg


def test_flags_stay_true_when_nothing_is_done(based: Node) -> None:
    based.offer_two()
    there = based.succeed("UPDATE", "v2", reboot="never")
    (based.root / "run/reboot-required").touch()
    digest = there.body["state_digest"]
    again = based.succeed("UPDATE", "v2", keep="3")
    assert again.held_back == there.held_back == {"heldpkg": based.hand.held}
    assert again.body["reboot_required"] is True and again.body["restorable"] is True
    assert (again.body["state_digest"], again.body["drift"]) == (digest, {"count": 0, "changes": [], "others": []})
    assert "reboot required: " in again.told and "held back: heldpkg: " in again.told

    # Every other kind of result says it too: an error, a baseline of another key, a suspension, a stop.
    failed = based.fail("UPDATE", "v3", keep="many")
    assert failed.body["reboot_required"] is True and failed.body["state_digest"] == digest
    for action, value, options in (
        ("CREATE", "x", {"resource": "other"}),
        ("SUSPEND", "v2", {}),
        ("UPDATE", "v4", {"operation": "assess"}),
    ):
        told = based.succeed(action, value, **options).body
        assert told["reboot_required"] is True and told["state_digest"] == digest, (action, value)
        assert told["drift"]["count"] == 0
    # The boot empties /run.
    (based.root / "run/reboot-required").unlink()
    assert based.succeed("UPDATE", "v2").body["reboot_required"] is False


def test_a_change_by_hand_is_drift(based: Node) -> None:
    based.offer(Pkg("tool", "2.0"))
    there = based.succeed("UPDATE", "v2")
    based.offer(Pkg("byhand", "1.0"), Pkg("libapp1", "1.5"))
    based.install_by_hand("byhand", "libapp1")
    based.hand.hold("tool")
    again = based.succeed("UPDATE", "v2")
    drift = again.body["drift"]
    assert {change["name"]: change["after"] for change in drift["changes"]} == {"byhand": "1.0-1", "libapp1": "1.5-1"}
    assert drift["count"] == 2
    assert any(other.startswith("tool: ") for other in drift["others"]) or based.hand.kind != "apt"
    assert again.body["state_digest"] != there.body["state_digest"]
    assert "changed by others since the last result: byhand: 1.0-1 (new), libapp1: 1.0-1 -> 1.5-1" in again.told
    # A failure says it too, and an update that takes it along; after that it is no drift any more.
    assert based.fail("UPDATE", "v3", keep="many").body["drift"]["count"] == 2
    based.offer(Pkg("app", "1.5"))
    forth = based.succeed("UPDATE", "v3")
    assert forth.body["drift"]["count"] == 2 and "changed by others" in forth.told
    assert based.succeed("UPDATE", "v3").body["drift"]["count"] == 0


def test_what_another_key_has_changed_is_no_drift(based: Node) -> None:
    based.succeed("CREATE", "w1", resource="other", packages="lib*")
    based.offer(Pkg("libapp1", "1.5"))
    based.succeed("UPDATE", "w2", resource="other", packages="lib*")
    again = based.succeed("UPDATE", "v1")
    assert again.body["drift"] == {"count": 0, "changes": [], "others": []}
    based.offer(Pkg("libapp1", "1.6"))
    based.install_by_hand("libapp1")
    again = based.succeed("UPDATE", "v1")
    assert [change["after"] for change in again.body["drift"]["changes"]] == ["1.6-1"]


def test_a_package_that_is_no_longer_held_back_is_not_named(based: Node) -> None:
    based.offer_two()
    assert based.succeed("UPDATE", "v2").held_back == {"heldpkg": based.hand.held}
    based.hand.unhold("heldpkg")
    based.install_by_hand("heldpkg")
    assert based.succeed("UPDATE", "v2").held_back == {}


def test_an_update_that_cannot_be_undone_says_so_until_the_next_one(based: Node) -> None:
    based.offer(Pkg("tool", "2.0"))
    assert based.succeed("UPDATE", "v2").body["restorable"] is True
    for entry in based.kept().values():
        if entry.version.startswith("1.0"):
            (based.archive / entry.file).unlink()
    assert based.succeed("UPDATE", "v2").body["restorable"] is False
    based.offer(Pkg("libapp1", "1.5"))
    assert based.succeed("UPDATE", "v3").body["restorable"] is True


def test_a_failed_update_keeps_the_flags_of_the_value_where_it_stands(based: Node) -> None:
    based.offer_two()
    there = based.succeed("UPDATE", "v2")
    (based.root / "run/reboot-required").touch()
    based.offer(Pkg("tool", "3.0", fails="broken here"))
    failed = based.fail("UPDATE", "v3")
    assert failed.held_back == there.held_back and failed.body["reboot_required"] is True
    assert failed.body["state_digest"] == there.body["state_digest"]


def test_a_member_that_joins_late_reaches_the_value_first(node: Node) -> None:
    one = node.packages()
    node.offer_two()
    joined = node.succeed("CREATE", "2026-11-02T10:00:00Z", on_create="update")
    assert node.versions() == VERSIONS_TWO and joined.changes["extra"] == (None, "2.0-1")
    assert node.history().current == "2026-11-02T10:00:00Z"
    # Heat replaces its deployment: the same value again does nothing.
    assert node.succeed("CREATE", "2026-11-02T10:00:00Z", on_create="update").changes == {}
    # The others go back to a value from before its time: so does it, to what it had before.
    node.succeed("UPDATE", "2026-11-01T10:00:00Z", on_create="update")
    assert node.packages() == one and node.versions() == VERSIONS_ONE


def test_a_late_member_whose_update_fails_says_so_and_tries_again(node: Node) -> None:
    one = node.packages()
    node.offer(Pkg("tool", "3.0", fails="broken here"), Pkg("libapp1", "1.5"))
    failed = node.fail("CREATE", "v2", on_create="update")
    assert "broken here" in failed.complaint and node.packages() == one
    node.withdraw("3.0-1", "tool")
    retried = node.succeed("CREATE", "v2", on_create="update")
    assert retried.changes == {"libapp1": ("1.0-1", "1.5-1")}


def test_on_create_counts_for_nodes_without_history_and_for_updates_only(based: Node) -> None:
    one = based.packages()
    based.offer_two()
    assert based.succeed("CREATE", "v1", on_create="update").changes == {}
    for operation in ("stop", "download"):
        told = based.succeed(
            "CREATE", "v1", resource=operation, operation=operation, units="x.service", on_create="update"
        )
        assert "is the baseline" in told.told
    assert based.packages() == one
    refused = based.fail("CREATE", "v2", resource="new", on_create="sometimes")
    assert "on_create" in refused.complaint and "baseline, update" in refused.complaint
