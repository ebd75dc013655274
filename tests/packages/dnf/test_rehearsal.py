"""The rehearsal finds what rpm would refuse before the node leaves its cluster (law 12), with both dnfs."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.node import Node

D = "/usr/share/d"
MAKES_ROOM = f'posix.unlink("{D}/f"); posix.rmdir("{D}")'


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def careful(based: Node) -> Node:
    """A node with a directory, a link and a file of a package, and a step that takes it out of service."""
    based.offer(Rpm("dd", "1.0", files={f"{D}/f": "1"}), Rpm("plain", "1.0", files={"/usr/share/plain": "1"}))
    based.install_by_hand("dd", "plain")
    based.step("pre-update.d/10-drain")
    return based


def refused(node: Node, *causes: str) -> None:
    before, tree = node.packages(), node.tree()
    failed = node.fail("UPDATE", "v2")
    for cause in causes:
        assert cause in failed.complaint, failed.complaint
    assert "nothing was changed" in failed.complaint and node.ran() == []
    assert node.packages() == before and node.tree() == tree


def test_what_rpm_finds_only_in_a_transaction_is_found_before(careful: Node) -> None:
    careful.offer(Rpm("tool", "2.0", files={"/usr/share/libapp1": "other\n"}))
    refused(careful, "file /usr/share/libapp1 from install of tool-2.0-1", "conflicts with file from package libapp1")
    # In the middle of unpacking.
    careful.offer(
        Rpm("tool", "3.0"),
        Rpm("dd", "2.0", files={"/usr/share/e/f": "2"}, links={D: "e"}),
        Rpm("plain", "2.0", files={"/usr/share/plain/f": "2"}),
    )
    refused(careful, f"dd-2.0-1.x86_64 has {D} as a symbolic link", "plain-2.0-1.x86_64 has files below /usr/share/pl")
    careful.offer(Rpm("dd", "3.0", files={f"{D}/f": "3"}), Rpm("plain", "3.0", files={"/usr/share/plain": "3"}))
    with read_only(careful.root / "usr/share"):
        refused(careful, f"{careful.root}/usr/share is mounted read-only, and ")
    # A script makes room for the link.
    careful.offer(Rpm("dd", "4.0", files={"/usr/share/e/f": "2"}, links={D: "e"}, scripts={"pretrans": MAKES_ROOM}))
    careful.succeed("UPDATE", "v2")
    assert (careful.root / "usr/share/d").is_symlink() and careful.hand.faults() == ""
    assert careful.ran() == ["pre-update.d/10-drain v2 update []"]


def test_a_restore_that_rpm_would_refuse_is_refused_before(careful: Node) -> None:
    """Of a file comes a directory; rpm does that, and does not make a file of a directory again."""
    careful.succeed("UPDATE", "v1.1", packages="nothing*")
    careful.offer(Rpm("plain", "2.0", files={"/usr/share/plain/f": "2"}, directories=["/usr/share/plain"]))
    careful.succeed("UPDATE", "v2")
    careful.ran()
    before = careful.packages()
    failed = careful.fail("UPDATE", "v1.1")
    assert "plain-1.0-1.x86_64 has /usr/share/plain as a file, and rpm cannot replace the" in failed.complaint
    assert "nothing was changed" in failed.complaint and careful.ran() == [] and careful.packages() == before


@pytest.mark.parametrize("based_dnf_template", ["dnf4"], indirect=True, scope="session")
def test_a_level_of_signatures_that_rpm_insists_on_is_asked_before(
    careful: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of dnf 5 in the root of sid this setting does not reach even the transaction."""
    lib, mine = Path("/usr/lib/rpm"), careful.directory / "rpm"
    shutil.copytree(lib / "macros.d", mine / "macros.d")
    for path in (*lib.glob("rpm[rp]*"), lib / "macros"):
        shutil.copy(path, mine)
    with (mine / "macros").open("a") as macros:
        macros.write("\n%_pkgverify_level signature\n")
    careful.offer(Rpm("tool", "2.0"))
    monkeypatch.setenv("RPM_CONFIGDIR", str(mine))
    refused(careful, "package tool-2.0-1.x86_64 does not verify: no signature")
