"""A complaint of a leaving package does not decide whether a way back has worked (rpm, both dnfs)."""

from dataclasses import replace
from typing import Dict

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.node import Node

FAILS = 'error("it cannot be")'
ARMED = f'if posix.stat("/run/armed") then {FAILS} end'


def files(name: str, version: str) -> Dict[str, str]:
    """One file that is in every version, and one that is in this version only."""
    return {f"/usr/share/{name}": f"{version}\n", f"/usr/share/{name}-{version}": "x"}


# Everything that rpm runs because a package leaves, each for another package.
LEAVING = (
    Rpm("tool", "2.0", files=files("tool", "2.0"), scripts={"preun": FAILS}),
    Rpm("libapp1", "2.0", files=files("libapp1", "2.0"), scripts={"postun": FAILS, "triggerin -- epochy": ARMED}),
    Rpm("newname", "2.0", obsoletes=["oldname"], provides=["oldname"], files=files("n", "2"), scripts={"preun": FAILS}),
    Rpm("epochy", "9.1", files=files("epochy", "9.1")),
    Rpm("useold", "1.1", requires=["newname"], files=files("useold", "1.1")),
)
WATCHER = Rpm(
    "watcher",
    "1.0",
    scripts={
        "triggerun -- epochy": ARMED,
        "triggerpostun -- useold": ARMED,
        "filetriggerun -- /usr/share/epochy-": ARMED,
        "transfiletriggerpostun -- /usr/share/useold-": ARMED,
    },
)


@pytest.mark.parametrize("way", ["restore", "undo"])
def test_a_way_back_ends_at_its_state_whatever_a_leaving_package_says(based: Node, way: str) -> None:
    """rpm keeps a package whose %preun fails, and with rpm 6 one whose removal fails another package's trigger."""
    based.offer(WATCHER)
    based.install_by_hand("watcher")
    based.succeed("UPDATE", "v1.1", packages="nothing*")
    one, tree = based.packages(), based.tree()
    based.offer(*LEAVING)
    armed = f"touch {based.root}/run/armed"
    if way == "undo":
        based.step("health.d/10", f"{armed}; exit 1")
        result = based.fail("UPDATE", "v2")
        assert "the update was undone" in result.complaint and based.last_run().progress.impact == "undone"
    else:
        based.succeed("UPDATE", "v2")
        based.step("pre-update.d/10", armed)
        result = based.succeed("UPDATE", "v1.1")
        for kept in ("tool 2.0-1", "newname 2.0-1"):
            assert f"of a leaving package: {kept} had to be erased without its scriptlets" in result.complaint
        assert "it cannot be" in result.complaint
    assert based.packages() == one and based.tree() == tree and based.hand.faults() == ""


def test_a_package_that_comes_back_and_complains_is_still_a_failure(based: Node) -> None:
    """Nothing tells whether what its %post was to do is done."""
    stubborn = Rpm("tool", "1.1", files=files("tool", "1.1"), scripts={"post": ARMED})
    based.offer(stubborn)
    based.succeed("UPDATE", "v1.1")
    based.offer(Rpm("tool", "2.0", files=files("tool", "2.0"), scripts={"postun": FAILS}))
    based.succeed("UPDATE", "v2")
    before = based.packages()
    based.step("pre-update.d/10", f"touch {based.root}/run/armed")
    failed = based.fail("UPDATE", "v1.1")
    assert "it cannot be" in failed.complaint and "the restore was undone" in failed.complaint
    assert based.packages() == before and based.hand.faults() == ""


def test_nothing_leaves_for_a_package_that_does_not_come(based: Node) -> None:
    based.offer(Rpm("tool", "1.1", files=files("tool", "1.1"), scripts={"pre": ARMED}))
    based.succeed("UPDATE", "v1.1")
    based.offer(*(replace(rpm, scripts={"preun": FAILS}) for rpm in LEAVING[:1]))
    based.succeed("UPDATE", "v2")
    before, tree = based.packages(), based.tree()
    based.step("pre-update.d/10", f"touch {based.root}/run/armed")
    failed = based.fail("UPDATE", "v1.1")
    assert "the restore was undone" in failed.complaint
    assert based.packages() == before and based.tree() == tree and based.hand.faults() == ""


def test_a_package_of_the_same_version_that_does_not_go_is_not_there_twice(based: Node) -> None:
    """The way back installs another build of the same version."""
    one, tree = based.packages(), based.tree()
    based.offer(Rpm("libapp1", "1.5"))
    based.succeed("UPDATE", "v2")
    based.hand.build([Rpm("tool", "1.0", files=files("tool", "o"), scripts={"preun": FAILS})], based.directory / "else")
    (path,) = (based.directory / "else").iterdir()
    based.dnf.rpm("-U", "--replacepkgs", str(path)).check_returncode()
    based.succeed("UPDATE", "v1")
    assert based.packages() == one and based.tree() == tree and based.hand.faults() == ""


def test_an_update_is_not_undone_for_a_leaving_package(based: Node) -> None:
    """The undo would bring back the very package that complains, and so would the undo of each newer update."""
    based.offer(Rpm("tool", "1.5", files=files("tool", "1.5"), scripts={"postun": FAILS}))
    based.succeed("UPDATE", "v1.5")
    based.offer(Rpm("tool", "2.0", files=files("tool", "2.0")))
    result = based.succeed("UPDATE", "v2")
    assert "of a leaving package: Error in" in result.complaint and "it cannot be" in result.complaint
    assert based.versions()["tool"] == "2.0-1" and based.hand.faults() == ""


def test_a_repair_of_files_goes_on_whatever_the_old_row_says(based: Node) -> None:
    """rpm puts the files of 1.0 where the link leads, so 1.0 is installed again. The %preun of its old row fails."""
    based.offer(Rpm("tool2", "1.0", files={"/usr/share/t2/f": "1"}, scripts={"preun": ARMED}))
    based.install_by_hand("tool2")
    based.succeed("UPDATE", "v1.1", packages="nothing*")
    one, tree = based.packages(), based.tree()
    room = 'posix.unlink("/usr/share/t2/f"); posix.rmdir("/usr/share/t2")'
    link = {"/usr/share/t2": "t2-e"}
    based.offer(Rpm("tool2", "2.0", files={"/usr/share/t2-e/f": "2"}, links=link, scripts={"pretrans": room}))
    based.succeed("UPDATE", "v2")
    based.step("pre-update.d/10", f"touch {based.root}/run/armed")
    back = based.succeed("UPDATE", "v1.1")
    assert "complained during a repair of files: of a leaving package: " in back.complaint
    # The file where the link led stays.
    assert based.packages() == one and tree.items() <= based.tree().items() and based.hand.faults() == ""
