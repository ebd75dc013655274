"""rpm's policy "%_pkgverify_level all": each package of a transaction needs a signature by a key that rpm has."""

import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.state import expected
from os_update_agent.packages.transition import Transition
from os_update_agent.packages.undo_check import UndoCheck
from os_update_agent.testing.rpm_repository import Rpm
from packages import sid
from packages.dnf.world import World, killed
from packages.dnf.world import version_file as world_file
from packages.hand_rpm import WAITS
from packages.node import Node
from packages.scene import Pkg, version_file
from packages.signing import sign

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """rpm's policy is strict. It reads that from its own directory, which nobody else may be able to write."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".test-venv") as directory:
        monkeypatch.setenv("RPM_CONFIGDIR", str(strict_copy(Path(directory), Path("/"))))
        yield


def strict_copy(directory: Path, root: Path) -> Path:
    """Return a copy of the directory of the root's rpm in which the policy is strict."""
    copy = directory / "rpm"
    shutil.copytree(root / "usr/lib/rpm", copy, symlinks=True)
    with open(copy / "macros", "a", encoding="utf-8") as macros:
        macros.write("%_pkgverify_level all\n")
    return copy


@pytest.fixture
def signed(two: World, keyring: Path) -> World:
    """A world whose packages are signed, with the key in rpm's database; the scriptlet of an update waits."""
    two.offer(Rpm("tool", "2.0", files=world_file("tool", "2"), scripts={"post": WAITS}))
    sign(keyring, two.repository.directory.rglob("*.rpm"))
    two.repository.publish()
    two.serve(two.repository.section(gpgcheck="1", gpgkey=(keyring / "key.asc").as_uri()))
    two.rpm("--import", str(keyring / "key.asc"))
    return two


@pytest.mark.usefixtures("strict")
def test_a_killed_update_is_completed_and_goes_back(signed: World) -> None:
    before, _ = killed(signed, signal.SIGKILL)
    assert signed.go(before) == ()
    assert signed.state().digest == before.digest
    assert signed.is_sound()


@pytest.mark.usefixtures("strict")
def test_a_killed_update_is_completed_without_the_key(signed: World) -> None:
    """A node is never half-done. The way back is rpm's, which refuses it before anything changes, in plain words."""
    before, _ = killed(signed, signal.SIGKILL)
    signed.rpm("-e", "gpg-pubkey")
    with signed.log.open("ab", buffering=0) as output:
        signed.backend().mend((), output)
    assert not signed.backend().interrupted()
    assert signed.is_sound()
    reached = signed.state()
    with pytest.raises(PackageError, match=r"does not verify: .* NOKEY"):
        signed.reach(before)
    assert signed.state() == reached


@pytest.mark.usefixtures("strict")
def test_a_way_back_without_the_key_is_refused_before_the_update(signed: World) -> None:
    """The files were taken while rpm had the key. The update is told that there is no way back."""
    before = signed.state()
    target = expected(before, signed.plan()[0])
    assert signed.obtain(before.packages) == ()
    assert signed.obtain([package for package in target.packages if package not in before.packages]) == ()

    def check() -> UndoCheck:
        with signed.log.open("ab", buffering=0) as output:
            return Transition(signed.backend(), signed.archive, signed.root, output).check_undo(before, target)

    assert check() == UndoCheck()
    signed.rpm("-e", "gpg-pubkey")
    found = check()
    assert found.unchecked == () and found.refused
    assert all(
        re.search("does not verify: .* NOKEY .rpm does not have this key: import it", one) for one in found.refused
    )


@pytest.fixture
def strict_node(based: Node) -> Iterator[Callable[[], None]]:
    """Yield a function that makes rpm's policy strict for the node's next calls."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".test-venv") as directory, pytest.MonkeyPatch.context() as patch:
        copy = strict_copy(Path(directory), sid.root() if based.hand.kind == "dnf5" else Path("/"))
        yield lambda: patch.setenv("RPM_CONFIGDIR", str(copy))


def test_unsigned_packages_go_where_dnf_takes_them(based: Node, strict_node: Callable[[], None]) -> None:
    """A repository with gpgcheck=0: dnf 5 lets its packages pass whatever rpm's policy says, dnf 4 does not."""
    before = based.packages()
    based.offer_two()
    strict_node()
    if based.hand.kind == "dnf4":
        failed = based.fail("UPDATE", "v2")
        assert "does not verify: no signature" in failed.complaint
    else:
        assert "cannot be undone" not in based.succeed("UPDATE", "v2").told
        based.succeed("UPDATE", "v1")
    assert based.packages() == before
    assert based.hand.faults() == ""


@pytest.mark.parametrize("goes_on", [True, False])
def test_unsigned_packages_are_completed_after_a_kill(
    based: Node, strict_node: Callable[[], None], goes_on: bool
) -> None:
    """With dnf 4 the policy has become strict since: its way back is refused before anything changes."""
    before = based.packages()
    based.hand.add(Pkg("tool", "2.0", files=version_file("tool", "2"), waits=True))
    based.offer_two()
    is_dnf4 = based.hand.kind == "dnf4"
    if not is_dnf4:
        strict_node()
    based.cut_off("UPDATE", "v2")
    based.hand.let_go()
    if is_dnf4:
        strict_node()
    if goes_on:
        based.succeed("CREATE", "v2")
    if is_dnf4:
        assert "does not verify: no signature" in based.fail("UPDATE", "v1").complaint
        assert based.versions()["tool"] == "2.0-1"
    else:
        based.succeed("UPDATE", "v1")
        assert based.packages() == before
    assert based.hand.faults() == ""
