"""A name that is installed in two architectures: an interruption is completed for both, or taken back for both. Their
files have no color, as in a package without programs, so rpm's own upgrade of one would erase the other.
"""

import shutil
import subprocess
from typing import Dict, Iterator, List, Sequence

import pytest

from os_update_agent.packages.state import unmet
from os_update_agent.packages.transition import Transition
from os_update_agent.testing.rpm_repository import DATABASE, Rpm
from packages.dnf import pairs
from packages.dnf.pairs import ARCHES, has_pairs
from packages.dnf.world import World, killed
from packages.hand_rpm import WAITS
from packages.node import wait_until

pytestmark = has_pairs


def both(version: str, scripts: Sequence[str] = (), kind: str = "post") -> List[Rpm]:
    """Return the pair; ``scripts`` are the architectures whose scriptlet waits."""
    return pairs.both(version, scripts, WAITS, kind)


def pair(world: World) -> Dict[str, List[str]]:
    found: Dict[str, List[str]] = {}
    for package in world.state().packages:
        if package.name == "both":
            found.setdefault(package.arch, []).append(package.version)
    return found


def at(version: str) -> Dict[str, List[str]]:
    return {arch: [version] for arch in sorted(ARCHES)}


def forget(world: World, arch: str, version: str) -> None:
    (path,) = (world.directory / "archive").glob(f"both-{version}-1.{arch}.rpm")
    path.unlink()


@pytest.fixture
def paired(world: World) -> Iterator[World]:
    world.offer(*both("1.0"))
    world.dnf("install", "both.x86_64", "both.i686")
    yield world
    (world.root / "run/go").touch()


@pytest.mark.parametrize("kind", ["pre", "post"])
@pytest.mark.parametrize("arch", ARCHES)
def test_a_pair_that_was_cut_off_is_completed_and_goes_back(paired: World, arch: str, kind: str) -> None:
    paired.offer(*both("2.0", [arch], kind))
    before, target = killed(paired)
    assert paired.backend().interrupted()
    assert paired.complete() == ()
    assert not paired.backend().interrupted()
    assert unmet(paired.state(), target) == () and pair(paired) == at("2.0-1")
    assert paired.is_sound()
    assert paired.go(before) == ()
    assert paired.state().digest == before.digest and paired.is_sound()


@pytest.mark.parametrize("lost", ARCHES)
@pytest.mark.parametrize("arch", ARCHES)
def test_a_pair_of_which_one_file_is_missing_is_at_one_version(paired: World, arch: str, lost: str) -> None:
    paired.offer(*both("2.0", [arch]))
    before, _ = killed(paired)
    print(pair(paired))
    forget(paired, lost, "2.0")
    assert paired.complete() == ()
    assert not paired.backend().interrupted()
    assert pair(paired) in (at("1.0-1"), at("2.0-1")) and paired.is_sound()
    assert paired.go(before) == ()
    assert paired.state().digest == before.digest and paired.is_sound()


def test_a_pair_whose_old_files_are_gone_as_well_is_said_to_be_at_two_versions(paired: World) -> None:
    paired.offer(*both("2.0", ["i686"]))
    killed(paired)
    for path in (paired.directory / "archive").glob("both-*"):
        path.unlink()
    complaints = paired.complete()
    assert not paired.backend().interrupted()
    assert pair(paired) == {"i686": ["2.0-1"], "x86_64": ["1.0-1"]}
    assert "both.x86_64 2.0-1 has no package file" in " ".join(complaints)


def test_a_pair_that_rpm_alone_was_upgrading_is_completed(paired: World) -> None:
    """dnf's record says nothing of it."""
    paired.offer(*both("2.0", ["i686"]))
    paired.plan()
    new = [path for path in paired.repository.directory.glob("both-2.0-*")]
    process = subprocess.Popen(["rpm", "--root", str(paired.root), "--dbpath", DATABASE, "-U", *map(str, new)])
    wait_until(lambda: (paired.root / "run/waits").exists(), "the scriptlet")
    process.kill()
    process.wait()
    (paired.root / "run/go").touch()
    assert paired.backend().interrupted()
    for path in new:
        shutil.copy(path, paired.directory / "archive")
    assert paired.complete() == ()
    assert pair(paired) == at("2.0-1") and paired.is_sound()


def test_an_update_of_one_architecture_alone_is_held_back(paired: World) -> None:
    """dnf itself keeps a name at one version, so no transaction of the agent takes a pair apart."""
    before = paired.state()
    paired.offer(both("2.0")[ARCHES.index("x86_64")])
    changes, held = paired.plan()
    assert changes == () and "both-1.0-1.i686" in held["both"]
    assert paired.update() == () and paired.state() == before


def test_one_architecture_that_is_installed_again_leaves_the_other_one_alone(paired: World) -> None:
    """As the check of files does it on a way back."""
    before = paired.state()
    (paired.root / "usr/lib/i686/both").unlink()
    with paired.log.open("ab", buffering=0) as output:
        transition = Transition(paired.backend(), paired.archive, paired.root, output)
        faults = transition.faults((), (), ())
        assert [fault.arch for fault in faults] == ["i686"]
        assert transition.reinstall(faults, before) == ((), set())
    assert paired.state() == before and paired.is_sound()
