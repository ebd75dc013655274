"""The way back is rehearsed before the way there is taken, and 'plan' says what the package manager would refuse."""

import os
from pathlib import Path
from typing import Dict, Sequence

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model.packages import Package, Transaction
from os_update_agent.packages.undo_check import UndoCheck
from os_update_agent.testing.repository import Deb, build, native_architecture
from packages.node import RESOURCE, SERVER, STACK, Node

KEY = f"{STACK}/{RESOURCE}@{SERVER}"


def test_a_way_back_to_a_foreign_architecture_that_is_gone_cannot_be_done(node: Node) -> None:
    architectures = node.root / "var/lib/dpkg/arch"
    native = architectures.read_text(encoding="utf-8")
    architectures.write_text(f"{native}mips\n", encoding="utf-8")
    node.apt.configuration.write_text(
        node.apt.configuration.read_text(encoding="utf-8").replace(
            'APT::Architectures "', f'APT::Architectures "{native.strip()},mips";\nNothing "'
        ),
        encoding="utf-8",
    )
    node.offer(Deb("lib", "1.0-1", "mips", fields={"Multi-Arch": "same"}))
    node.install_by_hand("lib:mips")
    node.succeed("CREATE", "v1")
    node.offer(Deb("lib", "2.0-1", "mips", fields={"Multi-Arch": "same"}))
    assert node.succeed("UPDATE", "v2").changes == {"lib": ("1.0-1", "2.0-1")}
    assert node.plan("v1")["can_be_done"] is True
    node.hand.remove("lib:mips")
    architectures.write_text(native, encoding="utf-8")
    found = node.plan("v1")
    assert found["can_be_done"] is False and "package architecture (mips) does not match system" in found["reason"]
    failed = node.fail("UPDATE", "v1")
    assert found["reason"] in failed.complaint and "nothing was changed" in failed.complaint


def test_a_plan_names_what_it_could_not_check_without_the_files(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    found = based.plan()
    assert found["can_be_done"] is True and found["reason"] == ""
    assert found["not_checked"] == ["whether apt would do this, and undo it: 1 package file has to be fetched first"]
    assert f"not checked: {found['not_checked'][0]}" in based.command("plan", "--key", KEY)
    # A download brings them.
    based.succeed("UPDATE", "d2", resource="download", operation="download")
    assert based.plan()["not_checked"] == []


def transactions(node: Node, one: Sequence[Deb], two: Sequence[Deb]) -> UndoCheck:
    """Check the undo of an update that installs ``two`` in place of ``one``."""

    def installed(debs: Sequence[Deb]) -> Transaction:
        names = {deb.name for deb in debs}
        other = one if debs is two else two
        return Transaction(
            tuple(Package(deb.name, native_architecture(), deb.version) for deb in debs),
            remove=tuple(Package(d.name, native_architecture(), d.version) for d in other if d.name not in names),
            files=tuple(str(build(deb, node.directory / "files")) for deb in debs),
        )

    backend = node.site().backend(Policy("v2", KEY))
    return backend.check_undo(installed(two), installed(one))


def test_the_undo_is_rehearsed_on_what_the_update_will_have_installed(based: Node) -> None:
    new = Deb("tool", "2.0-1", fields={"Depends": "extra"}), Deb("extra", "2.0-1")
    old = Deb("tool", "1.0-1")
    tree = based.tree()
    assert transactions(based, [old], new) == UndoCheck()
    needs = transactions(based, [Deb("tool", "1.0-1", fields={"Depends": "nowhere"})], new)
    assert needs.refused and "nowhere" in needs.refused[0]
    other = transactions(based, [Deb("tool", "1.0-1", fields={"Conflicts": "useold"})], new)
    assert other.refused and "it adds useold removed" in other.refused[0]
    assert based.tree() == tree


SHIM = """\
#!/bin/sh
case "$*" in
*Dir::State::status=*) echo 'E: not this way' >&2; exit 100 ;;
esac
exec {apt} "$@"
"""


@pytest.fixture
def refusing(based: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node whose apt refuses the way back from an update: no real one is known that does."""
    shim = based.directory / "bin/apt-get"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(apt="/usr/bin/apt-get"), encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    based.step("pre-update.d/10-drain")
    based.offer(Deb("tool", "2.0-1"))
    return based


def test_an_update_that_cannot_be_undone_is_refused_if_the_archive_is_required(refusing: Node) -> None:
    failed = refusing.fail("UPDATE", "v2", archive="required")
    assert "could not be undone (archive: required): apt would not go back: not this way" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert refusing.ran() == [] and refusing.versions()["tool"] == "1.0-1"


def test_an_update_that_cannot_be_undone_says_so(refusing: Node) -> None:
    fetched = refusing.succeed("UPDATE", "d2", resource="download", operation="download")
    assert "cannot be undone: apt would not go back: not this way" in fetched.told
    assert fetched.body["restorable"] is False
    found = refusing.plan()
    assert found["can_be_done"] is True and found["can_be_undone"] is False
    assert found["undo_refused"] == ["apt would not go back: not this way"]
    assert refusing.plan("--set", "archive=required")["can_be_done"] is False
    done = refusing.succeed("UPDATE", "v2")
    assert "cannot be undone: apt would not go back: not this way" in done.told
    assert done.body["restorable"] is False
    again = refusing.succeed("UPDATE", "v2")
    assert "nothing to do" in again.told and again.body["restorable"] is False
    # It may be wrong, and the way back is tried all the same.
    assert refusing.succeed("UPDATE", "v1").changes == {"tool": ("2.0-1", "1.0-1")}


def test_a_kept_file_is_neither_read_nor_dropped_by_a_plan(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "v2")
    kept: Path = based.archive / based.kept()["tool 1.0-1"].file
    content = bytearray(kept.read_bytes())
    content[-1] ^= 0xFF
    kept.write_bytes(content)
    based.plan("v1")
    assert kept.exists() and "tool 1.0-1" in based.kept()


def essential_successor(node: Node, fields: Dict[str, str]) -> None:
    """Offer v2: the successor of core is a package without which the system does not work."""
    node.offer(Deb("core", "1.0-1", files={"usr/share/core": "1\n"}))
    node.install_by_hand("core")
    # Since apt 3.2 an update removes no package that was installed by hand.
    node.hand.mark("auto", "core")
    node.succeed("CREATE", "v1")
    fields = {**fields, "Conflicts": "core", "Replaces": "core", "Provides": "core"}
    node.offer(
        Deb("tool", "2.0-1", fields={"Depends": "newcore"}),
        Deb("newcore", "2.0-1", fields=fields, files={"usr/share/core": "2\n"}),
    )


@pytest.mark.parametrize("field", ["Essential", "Protected"])
def test_a_way_back_removes_an_essential_successor(node: Node, field: str) -> None:
    essential_successor(node, {field: "yes"})
    one = node.packages()
    assert node.succeed("UPDATE", "v2", archive="required").body["restorable"] is True
    node.succeed("UPDATE", "v1")
    assert node.packages() == one and node.hand.faults() == ""


NO_REMOVAL = """\
#!/bin/sh
case "$*" in
*--no-act*--remove*) echo 'dpkg: error processing package newcore (--remove): not so' >&2; exit 1 ;;
esac
exec /usr/bin/dpkg "$@"
"""


def test_the_calls_of_dpkg_with_which_an_undo_begins_are_checked(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real package is known whose removal dpkg refuses by its database."""
    essential_successor(node, {"Essential": "yes"})
    shim = node.directory / "bin/dpkg"
    shim.parent.mkdir()
    shim.write_text(NO_REMOVAL, encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    failed = node.fail("UPDATE", "v2", archive="required")
    assert "could not be undone" in failed.complaint and "not so" in failed.complaint
