"""Law 3: the old package files are kept before they are replaced, and no restore begins without all that it needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model import phases
from os_update_agent.model.runs import Run
from os_update_agent.runs.retention import prune
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_ONE, VERSIONS_TWO, Node

RELEASE_ONE = ("app", "libapp1", "oldname", "useold", "heldpkg", "tool")


@pytest.fixture
def updated(based: Node) -> Node:
    """A node that has gone from v1 to v2 while the repository had both."""
    based.offer_two()
    based.succeed("UPDATE", "v2")
    return based


def lose_release_one(node: Node) -> None:
    node.repository.remove("epochy", "9.0-1")
    node.withdraw("1.0-1", *RELEASE_ONE)


def test_a_restore_needs_no_repository_for_what_the_archive_holds(updated: Node) -> None:
    lose_release_one(updated)
    back = updated.succeed("UPDATE", "v1")
    assert updated.versions() == VERSIONS_ONE
    assert "rebuilt" not in back.told
    updated.succeed("UPDATE", "v2")
    assert updated.versions() == VERSIONS_TWO


def test_what_left_the_repository_before_the_first_update_is_rebuilt_and_flagged(based: Node) -> None:
    one = based.packages()
    lose_release_one(based)
    based.offer_two()
    there = based.succeed("UPDATE", "v2")
    assert "kept as rebuilt packages, with any local edits in them: " in there.told
    assert "app:amd64 1.0-1" in there.told.replace(":arm64", ":amd64")
    assert based.kept()["app 1.0-1"].origin == "repack"
    assert there.body["restorable"] is True

    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.text("etc/app.conf") == "a=1\n"
    assert based.text("usr/share/tool") == "1\n"


@pytest.fixture
def unrestorable(based: Node) -> Node:
    """The installed tool is in no repository, and one of its files is missing, so that it cannot be rebuilt either."""
    based.offer(Deb("tool", "2.0-1"), Deb("libapp1", "1.5-1"))
    based.withdraw("1.0-1", "tool")
    (based.root / "usr/share/tool").unlink()
    return based


def test_the_file_without_which_a_package_cannot_be_rebuilt_is_named(unrestorable: Node) -> None:
    failed = unrestorable.fail("UPDATE", "v2", archive="required")
    assert "archive: required" in failed.complaint and "/usr/share/tool is missing" in failed.complaint


def test_an_undo_that_is_impossible_is_reported_as_such(unrestorable: Node) -> None:
    unrestorable.offer(Deb("tool", "3.0-1", scripts={"postinst": "exit 3"}))
    failed = unrestorable.fail("UPDATE", "v2")
    assert "could not be undone" in failed.complaint
    assert "tool" in failed.complaint
    assert unrestorable.history().current is None
    assert failed.body["restorable"] is False


def walk(node: Node, *values: str, **options: object) -> None:
    """One update of tool for each value; the repository always has the newest version only."""
    for value in values:
        old = node.versions()["tool"]
        node.offer(Deb("tool", f"{value[1:]}.0-1"))
        node.withdraw(old, "tool")
        node.succeed("UPDATE", value, **options)


def test_a_key_with_another_keep_does_not_prune_what_the_first_one_keeps(based: Node) -> None:
    walk(based, "v2", "v3")
    based.succeed("CREATE", "w1", resource="other")
    based.offer(Deb("libapp1", "1.5-1"))
    based.succeed("UPDATE", "w2", resource="other", packages="libapp1", keep=1)
    assert "tool 1.0-1" in based.kept()
    based.succeed("UPDATE", "v1")
    assert based.versions()["tool"] == "1.0-1"


def test_archive_off_of_one_key_does_not_empty_the_archive_of_another(based: Node) -> None:
    walk(based, "v2")
    based.succeed("CREATE", "w1", resource="other")
    based.offer(Deb("libapp1", "1.5-1"))
    based.succeed("UPDATE", "w2", resource="other", packages="libapp1", archive="off")
    assert "tool 1.0-1" in based.kept()


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_damaged_file_in_the_archive_is_fetched_again(updated: Node) -> None:
    flip_a_byte(updated.archive / updated.kept()["libapp1 1.0-1"].file)
    updated.succeed("UPDATE", "v1")
    assert updated.versions() == VERSIONS_ONE


def test_a_damaged_file_that_nobody_has_any_more_stops_the_restore_before_anything_changes(updated: Node) -> None:
    lose_release_one(updated)
    flip_a_byte(updated.archive / updated.kept()["libapp1 1.0-1"].file)
    failed = updated.fail("UPDATE", "v1")
    assert "libapp1:" in failed.complaint and "1.0-1" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert updated.versions() == VERSIONS_TWO
    assert updated.history().current == "v2"


def test_a_damaged_file_of_what_is_about_to_be_replaced_is_kept_anew(updated: Node) -> None:
    flip_a_byte(updated.archive / updated.kept()["libapp1 2.0-1"].file)
    updated.offer(Deb("libapp1", "3.0-1", scripts={"postinst": "exit 3"}))
    updated.withdraw("2.0-1", "libapp1")
    failed = updated.fail("UPDATE", "v3")
    assert "the node has the packages that it had before" in failed.complaint
    assert updated.versions() == VERSIONS_TWO


def test_a_file_that_the_ledger_does_not_know_is_not_trusted(updated: Node) -> None:
    """Somebody's file of the right name lies in the archive before the agent has kept its own."""
    stray = updated.archive / next(iter(updated.kept().values())).file.replace("app_1.0-1", "tool_2.0-1")
    stray = stray.with_name(f"tool_2.0-1_{stray.stem.rpartition('_')[2]}.deb")
    stray.write_bytes(b"not a package")
    updated.offer(Deb("tool", "2.0-1"))
    updated.succeed("UPDATE", "v3")
    assert updated.versions()["tool"] == "2.0-1"


def test_pruning_keeps_what_the_kept_states_need_and_nothing_else(based: Node) -> None:
    """After each update the repository loses the version before."""
    for number in (2, 3, 4):
        based.offer(Deb("tool", f"{number}.0-1"))
        based.succeed("UPDATE", f"v{number}", keep=2)
        based.withdraw(f"{number - 1}.0-1", "tool")
    assert {name for name in based.kept() if name.startswith("tool ")} == {"tool 2.0-1", "tool 3.0-1", "tool 4.0-1"}
    failed = based.fail("UPDATE", "v1", keep=2)
    assert "tool:" in failed.complaint and "1.0-1" in failed.complaint
    based.succeed("UPDATE", "v3", keep=2)
    assert based.versions()["tool"] == "3.0-1"
    assert {**based.versions(), "tool": "1.0-1"} == VERSIONS_ONE


def test_archive_off_says_what_cannot_be_undone(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.withdraw("1.0-1", "tool")
    done = based.succeed("UPDATE", "v2", archive="off")
    assert done.body["restorable"] is False
    assert "cannot be undone for: tool:" in done.told


def test_an_archive_that_cannot_be_cleaned_up_takes_nothing_from_an_update(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.archive.mkdir(mode=0o700)
    stray = based.archive / "stray.deb"
    stray.write_text("x")
    # What something is mounted on cannot be removed, by root neither.
    based.wrapper = ("unshare", "--mount", "sh", "-c", f'set -e; mount --bind {stray} {stray}; exec "$@"', "sh")
    done = based.succeed("UPDATE", "v2")
    assert stray.exists()
    assert "the archive could not be cleaned up" in done.complaint
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}
    assert based.history().current == "v2"
    based.wrapper = ()
    based.succeed("UPDATE", "v1")
    assert not stray.exists()
    assert based.versions() == VERSIONS_ONE


def test_the_files_of_a_run_that_is_cut_off_are_not_pruned(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    kept = set(based.kept())
    site = based.site()
    archive = site.archive(site.backend(Policy()))
    number = {record.value: record.state for record in based.history().records}
    cut_off = site.ledger.open_run(
        Run(0, "other", "w", "update", phases.TRANSACT, 1.0, before=number["v1"], target=number["v2"])
    )
    prune(site.ledger, archive, Policy(), keep=0)
    assert set(based.kept()) == kept
    site.ledger.save_run(replace(cut_off, finished=2.0))
    prune(site.ledger, archive, Policy(), keep=0)
    assert based.kept() == {}
