"""Why a package is there, where that is more than "asked for" or "needed": dnf knows groups, weak dependencies, and
what is nobody's.
"""

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.node import Node

NOWHERE = "http://127.0.0.1:9/"
each_dnf = pytest.mark.parametrize("template", ["dnf4", "dnf5"], indirect=True, scope="session")
only_dnf5 = pytest.mark.parametrize("template", ["dnf5"], indirect=True, scope="session")
# To dnf 5 a group is more than a word of a package's: it has to be there.
GROUPS = "usr/lib/sysimage/libdnf5/groups.toml"


@pytest.fixture
def grouped(based: Node) -> Node:
    """A group brought "member" and "old-member"; this and what rpm brought, "byhand", is recorded under "v1.5"."""
    based.dnf.add_group("team", "member", "old-member")
    based.offer(Rpm("member", "1.0"), Rpm("old-member", "1.0"), Rpm("byhand", "1.0"))
    based.dnf.dnf(*based.dnf.REFRESHED, "group", "install", "team")
    (path,) = based.repository.directory.glob("byhand-1.0-*")
    based.dnf.rpm("-i", str(path)).check_returncode()
    based.succeed("UPDATE", "v1.5", packages="nothing-yet")
    assert based.dnf.reasons()["old-member"] == "group"
    return based


def offer_more(node: Node) -> None:
    heirs = (Rpm("new-member", "2.0", obsoletes=["old-member"]), Rpm("heir", "2.0", obsoletes=["byhand"]))
    node.offer(Rpm("member", "2.0"), *heirs)


@each_dnf
def test_a_package_of_a_group_is_renamed_and_gets_the_reason_that_dnf_itself_gives(grouped: Node) -> None:
    hand = grouped.dnf
    one = (grouped.packages(), hand.reasons())
    offer_more(grouped)
    there = grouped.succeed("UPDATE", "v2")
    two = (grouped.packages(), hand.reasons())
    assert there.changes["new-member"] == (None, "2.0-1") and there.complaint == ""

    hand.use(NOWHERE)
    back = grouped.succeed("UPDATE", "v1.5")
    assert (grouped.packages(), hand.reasons()) == one
    assert back.complaint == "" and " is back\n" in back.told

    hand.use()
    hand.upgrade()
    assert (grouped.packages(), hand.reasons()) == two


@each_dnf
def test_what_a_group_has_brought_comes_back_when_the_group_is_gone(grouped: Node) -> None:
    hand = grouped.dnf
    one = (hand.rows(), hand.reasons())
    grouped.offer(Rpm("member", "2.0"))
    grouped.succeed("UPDATE", "v2")
    hand.dnf("group", "remove", "team")
    assert "member" not in hand.versions()
    back = grouped.succeed("UPDATE", "v1.5")
    members = {"member", "old-member"}
    if hand.kind == "dnf4":
        assert (hand.rows(), hand.reasons()) == one and back.complaint == ""
        return
    assert hand.rows() == one[0]
    assert hand.reasons() == {**one[1], **dict.fromkeys(members, "external user")}
    # Nobody is told that this is exactly what it was.
    assert " is back, but for the marks of member, old-member\n" in back.told and "left as it is" not in back.told
    assert "member is marked unknown in place of group" in back.complaint
    assert "no installed group has member, old-member" in grouped.run_log()
    assert back.body["state_digest"] == grouped.recorded("v1.5").digest

    # And it is reached: the next way back has nothing to leave out.
    grouped.succeed("UPDATE", "v2")
    again = grouped.succeed("UPDATE", "v1.5")
    assert again.complaint == "" and again.body["state_digest"] == back.body["state_digest"]


@only_dnf5
def test_no_clean_up_removes_what_came_by_a_group_that_is_gone(grouped: Node) -> None:
    """The operator has it marked as needed by others since, and nobody needs it."""
    hand = grouped.dnf
    grouped.offer(Rpm("tool", "2.0"))
    grouped.succeed("UPDATE", "v2")
    hand.dnf("group", "remove", "--no-packages", "team")
    hand.mark("auto", "member")
    grouped.succeed("UPDATE", "v1.5")
    assert hand.reasons()["member"] == "external user"
    hand.dnf("autoremove")
    assert hand.versions()["member"] == "1.0-1"


@each_dnf
@pytest.mark.parametrize("then", ["group", "user"])
def test_what_was_nobodys_is_nobodys_again_after_a_group_had_it(grouped: Node, then: str) -> None:
    """dnf 5 keeps the name in the group's record, also behind the operator's wish for it."""
    hand = grouped.dnf
    one = (hand.rows(), hand.reasons())
    grouped.offer(Rpm("tool", "2.0"))
    grouped.succeed("UPDATE", "v2")
    hand.dnf("mark", "group", *(["team"] if hand.kind == "dnf5" else []), "byhand")
    if then == "user":
        hand.mark("manual", "byhand")
    assert hand.reasons()["byhand"] == then
    back = grouped.succeed("UPDATE", "v1.5", restore="exact")
    assert (hand.rows(), hand.reasons()) == one and back.complaint == ""


@only_dnf5
def test_a_mark_alone_does_not_spoil_an_undo(grouped: Node) -> None:
    one = grouped.dnf.rows()
    offer_more(grouped)
    grouped.step(
        "health.d/10-loses-the-group", f"printf 'version = \"1.0\"\n[groups]\n' > {grouped.root}/{GROUPS}; exit 1"
    )
    failed = grouped.fail("UPDATE", "v2")
    assert grouped.dnf.rows() == one
    assert "the update was undone: the node has the packages that it had before" in failed.complaint
    assert "old-member is marked unknown in place of group" in failed.complaint
    assert grouped.last_run().result == "undone"


@each_dnf
def test_what_came_by_a_weak_dependency_comes_back_as_that(based: Node) -> None:
    conf = based.root / "etc/dnf/dnf.conf"
    conf.write_text(
        conf.read_text(encoding="utf-8").replace("install_weak_deps=False", "install_weak_deps=True"), encoding="utf-8"
    )
    based.offer(Rpm("tool", "2.0", provides=("tool-with-more\nRecommends: more",)), Rpm("more", "1.0"))
    based.succeed("UPDATE", "v2")
    two = (based.packages(), based.dnf.reasons())
    assert two[1]["more"] == ("weak dependency" if based.dnf.kind == "dnf5" else "weak-dependency")
    based.succeed("UPDATE", "v1")
    assert "more" not in based.versions()
    based.succeed("UPDATE", "v2")
    assert (based.packages(), based.dnf.reasons()) == two
