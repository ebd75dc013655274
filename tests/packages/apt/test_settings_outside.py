"""Diversions, overrides and alternatives: what a new version leaves outside of its files, and what a way back does.

The old version does not repeat what it did when it was installed first, as the script of a real package might.
"""

import getpass
import grp
import json
import os
import stat
import subprocess
from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest

from os_update_agent.testing.repository import Deb
from packages.hand_apt import WAITS
from packages.line.others import command
from packages.node import Node

USER, GROUP = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
OTHER, DIVERTED, OWN = "usr/bin/tooly", "usr/bin/tooly.real", "usr/bin/shape"
FIRST = 'if [ -n "$2" ]; then exit 0; fi'
DIVERT = f"dpkg-divert --package shape --rename --divert /{DIVERTED}"
LOCAL = f"dpkg-divert --local --rename --divert /{DIVERTED}"
OVERRIDE = f"dpkg-statoverride --update --add {USER} {GROUP}"
FOUR = {"usr/bin/four": "4\n", "usr/share/man/four.1": "4\n"}


def tooly(version: str = "1.0") -> Deb:
    """A package whose file others divert, and give another mode."""
    return Deb("tooly", version, files={OTHER: f"tooly {version}\n", "usr/share/tooly/more": "more\n"})


# dpkg 1.20 misplaces the records of alternatives in a private root unless it is told their directory.
_RECORDS = "var/lib/dpkg/alternatives"
ALTERNATIVES = f'update-alternatives --admindir "$DPKG_ROOT/{_RECORDS}"'


def shape(version: str, *lines: str, script: str = "postinst", **files: str) -> Deb:
    """A package with a script of these lines, and a file of its own."""
    scripts = {script: "\n".join(lines)} if lines else {}
    return Deb("shape", version, files={OWN: f"shape {version}\n", **files}, scripts=scripts)


def editors(version: str = "1.0") -> Deb:
    """A package with the targets of alternatives."""
    names = ("one", "two")
    files = {f"usr/bin/{name}": f"{name}\n" for name in names}
    return Deb("editors", version, files={**files, **{f"usr/share/man/{name}.1": f"{name}\n" for name in names}})


def install(name: str, priority: int) -> str:
    link = f"{ALTERNATIVES} --install /usr/bin/ed ed /usr/bin/{name} {priority}"
    return f"{link} --slave /usr/share/man/ed.1 ed.1 /usr/share/man/{name}.1"


BOTH = f"{FIRST}\n{install('one', 10)}\n{install('two', 20)}"


def begin(node: Node, *debs: Deb) -> None:
    """Install the packages by hand, and record the state as "v1"."""
    node.offer(*debs)
    node.install_by_hand(*(deb.name for deb in debs))
    node.succeed("CREATE", "v1")


def of_dpkg(node: Node, tool: str, *arguments: str) -> str:
    records = ["--admindir", str(node.root / _RECORDS)] if tool == "update-alternatives" else []
    argv = [tool, "--root", str(node.root), *records, *arguments]
    done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=False, env={**os.environ, "LC_ALL": "C"})
    return done.stdout


def outside(node: Node) -> Tuple[List[str], List[str], Dict[str, str]]:
    """What dpkg's own tools say of diversions, overrides, and each alternative."""
    names = [path.name for path in (node.root / _RECORDS).iterdir()]
    return (
        sorted(of_dpkg(node, "dpkg-divert", "--list").splitlines()),
        sorted(of_dpkg(node, "dpkg-statoverride", "--list").splitlines()),
        {name: of_dpkg(node, "update-alternatives", "--query", name) for name in names},
    )


def by_hand(node: Node, *arguments: str) -> str:
    done = command(node, *arguments)
    assert not done.returncode, done.stderr
    return done.stdout


def mode(node: Node, path: str) -> str:
    return stat.filemode((node.root / path).lstat().st_mode)


def there_and_back(node: Node, *new: Deb, undo: bool = False) -> str:
    """Go to the new packages and back, by a restore or by the undo of an update whose health check fails. Return what
    the operator reads.
    """
    before, files = outside(node), node.tree()
    node.offer(*new)
    if undo:
        node.step("health.d/10-no", "exit 1")
        said = node.fail("UPDATE", "v2").complaint
        assert "was undone" in said
    else:
        node.succeed("UPDATE", "v2")
        assert outside(node) != before, "the new version has changed nothing"
        done = node.succeed("UPDATE", "v1")
        said = done.told + done.complaint
        assert "left as it is" not in said
    assert outside(node) == before
    assert node.tree() == files
    assert node.hand.faults() == ""
    return said


# --- diversions


@pytest.mark.parametrize("script", ["preinst", "postinst"])
def test_a_diversion_that_the_new_version_adds_goes(node: Node, script: str) -> None:
    begin(node, tooly(), shape("1.0"))
    said = there_and_back(node, shape("2.0", f"{DIVERT} --add /{OTHER}", script=script))
    assert f"settings outside of the packages put back: diversion of /{OTHER}\n" in said
    assert node.text(OTHER) == "tooly 1.0\n"


def test_a_diversion_for_a_file_of_the_new_version_goes(node: Node) -> None:
    begin(node, tooly(), shape("1.0"))
    new = shape("2.0", f"{DIVERT} --add /{OTHER}", script="preinst", **{OTHER: "instead\n"})
    there_and_back(node, new, tooly("2.0"))


def test_a_diversion_in_whose_place_a_script_has_made_a_file_goes(node: Node) -> None:
    begin(node, tooly(), shape("1.0"))
    there_and_back(node, shape("2.0", f'{DIVERT} --add /{OTHER}\necho made > "$DPKG_ROOT/{OTHER}"'))


def test_a_diversion_that_the_new_version_removes_is_there_again(node: Node) -> None:
    begin(node, tooly(), shape("1.0", FIRST, f"{DIVERT} --add /{OTHER}", script="preinst", **{OTHER: "instead\n"}))
    there_and_back(node, shape("2.0", f"{DIVERT} --remove /{OTHER}"), tooly("2.0"))


def test_a_diversion_to_another_place_is_moved_back(node: Node) -> None:
    begin(node, tooly(), shape("1.0", FIRST, f"{DIVERT} --add /{OTHER}"))
    there_and_back(node, shape("2.0", f"{DIVERT} --remove /{OTHER}", f"{DIVERT}.new --add /{OTHER}"))


def test_a_local_diversion_is_there_again(node: Node) -> None:
    begin(node, tooly(), shape("1.0", FIRST, f"{LOCAL} --add /{OTHER}"))
    there_and_back(node, shape("2.0", f"{LOCAL} --remove /{OTHER}"))


def test_the_administrators_own_file_outlives_his_diversion(node: Node) -> None:
    begin(node, tooly(), shape("1.0"))
    node.offer(shape("2.0"))
    node.succeed("UPDATE", "v2")
    of_dpkg(node, *LOCAL.split(), "--add", f"/{OTHER}")
    (node.root / OTHER).write_text("his own\n", encoding="utf-8")
    node.succeed("UPDATE", "v1")
    assert node.text(OTHER) == "tooly 1.0\n" and node.text(f"{OTHER}.os-update-agent-saved") == "his own\n"
    assert outside(node)[0] == []


# --- overrides


@pytest.mark.parametrize("undo", [False, True])
def test_an_override_that_the_new_version_adds_goes(node: Node, undo: bool) -> None:
    """One of its own file, and two of a package that is in no transaction."""
    begin(node, tooly(), shape("1.0"))
    places = (OTHER, OWN, "usr/share/tooly")
    said = there_and_back(node, shape("2.0", *(f"{OVERRIDE} 2750 /{place}" for place in places)), undo=undo)
    assert f"put back: {', '.join(f'override of /{place}' for place in sorted(places))}\n" in said
    assert mode(node, OWN) == mode(node, OTHER) == "-rw-r--r--"


def test_an_override_that_the_new_version_removes_is_there_again(node: Node) -> None:
    begin(node, tooly(), shape("1.0", FIRST, f"{OVERRIDE} 750 /{OTHER}", f"{OVERRIDE} 4755 /{OWN}"))
    gone = [f'dpkg-statoverride --remove /{place}; chmod 600 "$DPKG_ROOT/{place}"' for place in (OTHER, OWN)]
    there_and_back(node, shape("2.0", *gone))
    assert mode(node, OTHER) == "-rwxr-x---" and mode(node, OWN) == "-rwsr-xr-x"


def test_an_override_that_changes_is_changed_back(node: Node) -> None:
    begin(node, tooly(), shape("1.0", FIRST, f"{OVERRIDE} 750 /{OTHER}"))
    there_and_back(node, shape("2.0", f"dpkg-statoverride --remove /{OTHER}", f"{OVERRIDE} 700 /{OTHER}"))


def test_an_override_stays_and_is_named_if_nobody_knows_the_mode_of_its_file(node: Node) -> None:
    begin(node, tooly(), shape("1.0"))
    node.offer(shape("2.0", f"dpkg-statoverride --list /{OTHER} || {OVERRIDE} 700 /{OTHER}"))
    node.succeed("UPDATE", "v2")
    node.withdraw("1.0", "tooly")
    two = outside(node)
    failed = node.fail("UPDATE", "v1")
    assert f"override of /{OTHER} is {USER} {GROUP} 700 in place of absent" in failed.complaint
    assert "was undone" in failed.complaint and outside(node) == two and mode(node, OTHER) == "-rwx------"
    # What an earlier try has left wrong is no success for the next one.
    for _ in range(2):
        failed = node.fail("UPDATE", "v1", on_failure="keep")
        assert f"override of /{OTHER} is {USER} {GROUP} 700 in place of absent" in failed.complaint
    assert node.versions()["shape"] == "1.0"
    node.offer(tooly())
    node.succeed("UPDATE", "v1")
    assert outside(node)[1] == [] and mode(node, OTHER) == "-rw-r--r--"


# --- alternatives


def test_an_alternative_that_the_new_version_adds_goes(node: Node) -> None:
    """Its target goes, too, and would leave the link dangling."""
    begin(node, editors(), shape("1.0"))
    there_and_back(node, shape("2.0", install("four", 40), **FOUR))
    assert not os.path.lexists(node.root / "usr/bin/ed")


@pytest.mark.parametrize("undo", [False, True])
def test_the_old_target_is_chosen_again(node: Node, undo: bool) -> None:
    begin(node, editors(), shape("1.0", BOTH))
    said = there_and_back(node, shape("2.0", install("four", 40), **FOUR), editors("2.0"), undo=undo)
    assert "settings outside of the packages put back: alternative ed\n" in said
    assert os.readlink(node.root / "etc/alternatives/ed") == "/usr/bin/two"
    assert os.readlink(node.root / "etc/alternatives/ed.1") == "/usr/share/man/two.1"


def test_a_choice_by_hand_comes_back_with_its_target(node: Node) -> None:
    begin(node, editors(), shape("1.0", BOTH, f"{ALTERNATIVES} --set ed /usr/bin/one"))
    less = f"{ALTERNATIVES} --install /usr/bin/ed ed /usr/bin/two 5"
    there_and_back(node, shape("2.0", f"{ALTERNATIVES} --remove ed /usr/bin/one", less))
    assert os.readlink(node.root / "etc/alternatives/ed") == "/usr/bin/one"


def test_an_alternative_that_is_removed_comes_back(node: Node) -> None:
    begin(node, editors(), shape("1.0", BOTH))
    there_and_back(node, shape("2.0", f"{ALTERNATIVES} --remove-all ed"))


def test_links_that_move_are_moved_back(node: Node) -> None:
    begin(node, editors(), shape("1.0", BOTH))
    there_and_back(node, shape("2.0", install("one", 10).replace("bin/ed ", "bin/edit ").replace("/ed.1", "/edit.1")))


def test_a_package_with_an_alternative_goes_and_comes_back(node: Node) -> None:
    choose = f"{ALTERNATIVES} --set ed /usr/bin/four"
    removes = f'if [ "$1" = remove ]; then {ALTERNATIVES} --remove ed /usr/bin/four; fi'
    scripts = {"postinst": f"{install('four', 5)}\n{choose}", "prerm": removes}
    begin(node, editors(), shape("1.0", BOTH), Deb("fourth", "1.0", files=FOUR, scripts=scripts))
    # Since apt 3.2 an update removes no package that was installed by hand.
    node.hand.mark("auto", "fourth")
    there_and_back(node, replace(shape("2.0"), fields={"Conflicts": "fourth"}))
    assert os.readlink(node.root / "etc/alternatives/ed") == "/usr/bin/four"


# --- together


OLD_ONES = (f"{DIVERT} --add /{OTHER}", f"{OVERRIDE} 4755 /{OWN}", install("one", 10))
NEW_ONES = (
    *(f"{DIVERT} --remove /{OTHER}", "dpkg-divert --package shape --rename --divert /usr/bin/1 --add /usr/bin/one"),
    *(f"dpkg-statoverride --remove /{OWN}", f"{OVERRIDE} 700 /usr/share/man/two.1"),
    *(install("two", 20), install("four", 40)),
)


@pytest.mark.parametrize("undo", [False, True])
def test_all_of_them_in_one_transaction(node: Node, undo: bool) -> None:
    begin(node, tooly(), editors(), shape("1.0", FIRST, *OLD_ONES))
    there_and_back(node, shape("2.0", *NEW_ONES, **FOUR), tooly("2.0"), undo=undo)


def test_all_of_them_before_a_script_that_fails(node: Node) -> None:
    begin(node, tooly(), editors(), shape("1.0", FIRST, *OLD_ONES))
    before, files = outside(node), node.tree()
    node.offer(shape("2.0", *NEW_ONES, "exit 1", **FOUR), tooly("2.0"))
    failed = node.fail("UPDATE", "v2")
    assert "was undone" in failed.complaint and "settings outside of the packages put back: " in failed.complaint
    assert outside(node) == before and node.tree() == files


def test_an_override_of_a_path_that_is_spelled_otherwise_goes(node: Node) -> None:
    """Packages list /usr/bin, and /bin is a link to it."""
    (node.root / "bin").rmdir()
    (node.root / "bin").symlink_to("usr/bin")
    begin(node, tooly(), shape("1.0"))
    there_and_back(node, shape("2.0", f"{OVERRIDE} 2750 /bin/tooly"))


def test_a_way_back_that_is_killed_halfway_goes_on(node: Node) -> None:
    waits = f'if [ -n "$2" ]; then {WAITS}; fi'
    begin(node, tooly(), editors(), shape("1.0", waits, FIRST, *OLD_ONES))
    before, files = outside(node), node.tree()
    node.offer(shape("2.0", *NEW_ONES, **FOUR), tooly("2.0"))
    node.succeed("UPDATE", "v2")
    deployment = node.cut_off("UPDATE", "v1")
    assert outside(node) != before
    done = node.start_with(deployment).wait()
    assert done.status == 0, done.complaint
    assert outside(node) == before and node.tree() == files


def test_a_restore_of_changes_leaves_the_settings_of_others(node: Node) -> None:
    begin(node, tooly(), editors(), shape("1.0"))
    node.offer(shape("2.0", f"{DIVERT} --add /{OTHER}"))
    node.succeed("UPDATE", "v2")
    of_dpkg(node, *OVERRIDE.split(), "700", f"/{OWN}")
    of_dpkg(node, *install("one", 10).split())
    theirs = outside(node)[1:]
    node.succeed("UPDATE", "v1", restore="changes")
    assert outside(node) == ([], *theirs)
    assert mode(node, OWN) == "-rwx------"


def test_settings_alone_are_put_back(node: Node) -> None:
    begin(node, tooly(), editors(), shape("1.0", BOTH))
    before, files = outside(node), node.tree()
    node.offer(tooly("2.0"))
    node.succeed("UPDATE", "v2")
    node.succeed("UPDATE", "v1")
    of_dpkg(node, "update-alternatives", "--set", "ed", "/usr/bin/one")
    of_dpkg(node, *LOCAL.split(), "--add", f"/{OTHER}")
    shown = json.loads(by_hand(node, "plan", "v1", "--json", "--no-refresh"))
    assert shown["settings"] == ["alternative ed", f"diversion of /{OTHER}"]
    by_hand(node, "rollback", "v1")
    assert outside(node) == before and node.tree() == files
    # A target that does not exist is nothing to put back.
    for name in ("one", "two"):
        (node.root / f"usr/bin/{name}").unlink()
    of_dpkg(node, "update-alternatives", "--auto", "ed")
    assert outside(node) == ([], [], {})
    assert json.loads(by_hand(node, "plan", "v1", "--json", "--no-refresh"))["settings"] == []


def test_what_an_older_agent_has_recorded_has_no_settings_and_demands_none(node: Node) -> None:
    begin(node, tooly(), shape("1.0"))
    with node.ledger() as ledger:
        record = node.history().record("v1")
        assert record is not None and record.state is not None
        old = ledger.put_state(replace(ledger.state(record.state), settings=None))
        # The state of the value that the node leaves is recorded anew, with settings.
        for value in ("v0", "v1"):
            ledger.record_reached(node.history().key, value, old, None, 1.0)
    node.offer(shape("2.0", f"{DIVERT} --add /{OTHER}"))
    node.succeed("UPDATE", "v2")
    two = outside(node)
    done = node.succeed("UPDATE", "v0")
    assert node.versions()["shape"] == "1.0" and outside(node) == two
    assert "left as it is" not in done.told


def test_an_update_fails_for_no_setting(node: Node) -> None:
    """Not for a file that its own tool refuses, and not for a target that does not exist."""
    begin(node, editors(), shape("1.0", BOTH))
    admin = node.root / "var/lib/dpkg/alternatives"
    (admin / "odd").write_text("nonsense\n", encoding="utf-8")
    (admin / "dead").write_text("manual\n/usr/bin/dead\n\n/usr/bin/nobody\n5\n\n", encoding="utf-8")
    node.offer(shape("2.0", install("four", 40), **FOUR))
    node.succeed("UPDATE", "v2")
    (admin / "odd").write_text("other nonsense\n", encoding="utf-8")
    (admin / "dead").unlink()
    failed = node.fail("UPDATE", "v1")
    assert "alternative odd is" in failed.complaint and "dead" not in failed.complaint


def test_people_and_programs_read_the_settings_that_differ(node: Node) -> None:
    begin(node, tooly(), editors(), shape("1.0", BOTH))
    node.offer(shape("2.0", f"{DIVERT} --add /{OTHER}", f"{OVERRIDE} 700 /{OTHER}-x", install("four", 40), **FOUR))
    node.succeed("UPDATE", "v2")
    assert by_hand(node, "diff", "v1", "v2").splitlines() == [
        "shape: 1.0 -> 2.0",
        "alternative ed: /usr/bin/two (auto) -> /usr/bin/four (auto)",
        f"diversion of /{OTHER}: to /{DIVERTED} by shape (new)",
        f"override of /{OTHER}-x: {USER} {GROUP} 700 (new)",
    ]
    found: Any = json.loads(by_hand(node, "diff", "v2", "v1", "--json"))["settings"]
    assert [(one["kind"], one["name"]) for one in found][1:] == [
        ("diversion", f"/{OTHER}"),
        ("override", f"/{OTHER}-x"),
    ]
    assert found[1]["before"] == {"to": f"/{DIVERTED}", "by": "shape"} and found[1]["after"] is None
    assert found[0]["after"]["choices"][0] == {
        **{"path": "/usr/bin/one", "priority": "10"},
        "slaves": [{"name": "ed.1", "path": "/usr/share/man/one.1"}],
    }
    shown = json.loads(by_hand(node, "show", "v2", "--json"))
    assert [one["kind"] for one in shown["settings"]] == ["alternative", "diversion", "override"]
    assert "and 3 settings outside of packages" in by_hand(node, "show", "v2")
