"""rpm's policy "%_pkgverify_level all": each package of a transaction needs a signature by a key that rpm has."""

import json
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.testing.rpm_repository import Rpm
from packages import sid
from packages.dnf.world import World, killed, version_file
from packages.hand_rpm import WAITS
from packages.node import Node
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
    two.offer(Rpm("tool", "2.0", files=version_file("tool", "2"), scripts={"post": WAITS}))
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


@pytest.fixture
def strict_node(based: Node) -> Iterator[Callable[[bool], None]]:
    """Yield what makes rpm's policy strict for the node's next calls, or ends that."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".test-venv") as directory, pytest.MonkeyPatch.context() as patch:
        copy = strict_copy(Path(directory), sid.root() if based.hand.kind == "dnf5" else Path("/"))

        def set_strict(is_strict: bool) -> None:
            patch.setenv("RPM_CONFIGDIR", str(copy)) if is_strict else patch.delenv("RPM_CONFIGDIR")

        yield set_strict


def test_unsigned_packages_go_where_dnf_takes_them(based: Node, strict_node: Callable[[bool], None]) -> None:
    """A repository with gpgcheck=0: dnf 5 lets its packages pass whatever rpm's policy says, dnf 4 does not."""
    before = based.packages()
    based.offer_two()
    strict_node(True)
    if based.hand.kind == "dnf4":
        failed = based.fail("UPDATE", "v2")
        assert "does not verify: no signature" in failed.complaint
        assert based.packages() == before
    else:
        assert "cannot be undone" not in json.dumps(based.succeed("UPDATE", "v2").body)
        based.succeed("UPDATE", "v1")
        assert based.packages() == before
