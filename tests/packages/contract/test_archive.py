"""Law 3: the old package files are kept before they are replaced, and no restore begins without all that it needs."""

import pytest

from packages.node import Node
from packages.scene import Pkg


def lost(node: Node) -> None:
    """Nobody has the installed tool any more, and it cannot be rebuilt: one of its files is missing, or rpm cannot do
    it anyway.
    """
    node.hand.remove_from_repository("tool", "1.0-1")
    (node.root / "usr/share/tool").unlink()


@pytest.fixture
def unrestorable(based: Node) -> Node:
    lost(based)
    based.offer(Pkg("tool", "2.0"), Pkg("libapp1", "1.5"))
    return based


def test_archive_required_refuses_what_could_not_be_undone(unrestorable: Node) -> None:
    before = unrestorable.packages()
    failed = unrestorable.fail("UPDATE", "v2", archive="required")
    assert "tool:" in failed.complaint and "1.0-1" in failed.complaint
    assert "archive: required" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert unrestorable.packages() == before
    assert unrestorable.history().current == "v1"


def test_best_effort_goes_on_and_names_what_cannot_be_undone(unrestorable: Node) -> None:
    done = unrestorable.succeed("UPDATE", "v2")
    assert done.body["restorable"] is False
    assert "tool:" in done.told

    two = unrestorable.packages()
    failed = unrestorable.fail("UPDATE", "v1")
    assert "neither the archive nor a repository has tool:" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert unrestorable.packages() == two
    assert unrestorable.history().current == "v2"


def test_what_an_undo_has_fetched_is_kept_though_the_undo_fails(based: Node) -> None:
    """It may be the last one: the next to come is what a rollback needs."""
    based.offer(Pkg("tool", "2.0"), Pkg("libapp1", "1.5"))
    based.withdraw("1.0-1", "libapp1")
    based.step("health.d/10-bad", "exit 1")
    failed = based.fail("UPDATE", "v2", archive="off")
    assert "neither the archive nor a repository has libapp1" in failed.complaint
    assert "tool 1.0-1" in based.kept()


def test_the_archive_is_private_and_knows_every_file(based: Node) -> None:
    based.offer_two()
    based.succeed("UPDATE", "v2")
    assert {"app 1.0-1", "libapp1 1.0-1", "oldname 1.0-1", "epochy 9.0-1", "app 2.0-1", "extra 2.0-1"} <= set(
        based.kept()
    )
    assert {entry.origin for entry in based.kept().values()} == {"repository"}
    assert based.archive.stat().st_mode & 0o077 == 0
    files = {path.name for path in based.archive.glob(f"*.{based.hand.suffix}")}
    assert files == {entry.file for entry in based.kept().values()}


def test_archive_off_keeps_nothing_and_restores_from_the_repository(based: Node) -> None:
    one = based.packages()
    based.offer_two()
    based.succeed("UPDATE", "v2", archive="off")
    assert based.kept() == {}
    based.succeed("UPDATE", "v1", archive="off")
    assert based.packages() == one
