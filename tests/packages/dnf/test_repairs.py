"""The repair of an interrupted transaction of rpm, seen through the hook and the command, with both dnfs: pairs of
architectures, the names of what was repaired, transaction flags, the announcement, and files that go missing.
"""

import json
import shutil
import subprocess
from typing import Any, Dict, List

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.dnf import pairs
from packages.dnf.pairs import ARCHES, has_pairs
from packages.hand_rpm import WAITS
from packages.node import PATIENCE, VERSIONS_ONE, Node, wait_until


def both(version: str, waiting: str = "", script: str = WAITS) -> List[Rpm]:
    """Return the pair; one of them has a scriptlet, which waits."""
    return pairs.both(version, [waiting], script)


def pair(node: Node) -> List[str]:
    listed = node.dnf.rpm("-q", "both", "--queryformat", r"%{version}.%{arch}\n").stdout
    return sorted(listed.split())


def is_sound(node: Node) -> bool:
    """Do the files agree with the database? hand.faults() takes a name in two architectures for two versions."""
    return not node.dnf.rpm("-Va", "--noconfig").stdout


def at(version: str) -> List[str]:
    return [f"{version}.{arch}" for arch in ARCHES]


def killed_by_hand(node: Node, *arguments: str) -> None:
    """The operator's own dnf is killed in a scriptlet that waits."""
    (node.root / "run/waits").unlink(missing_ok=True)
    (node.root / "run/go").unlink(missing_ok=True)
    running = node.dnf._start(*arguments)
    wait_until(node.hand.is_waiting, "the scriptlet")
    running.kill()
    running.wait()
    node.hand.let_go()


def command(node: Node, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [*node.hand.wrapper, node.hand.python, "-m", "os_update_agent", *arguments]
    return subprocess.run(argv, env=node.environment(), capture_output=True, text=True, timeout=PATIENCE)


def planned(node: Node, *arguments: str) -> Dict[str, Any]:
    done = command(node, "plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


@has_pairs
@pytest.mark.parametrize("arch", ARCHES)
def test_an_update_of_a_pair_that_was_cut_off_goes_on_and_goes_back(based: Node, arch: str) -> None:
    based.offer(*both("1.0"))
    based.install_by_hand("both.x86_64", "both.i686")
    based.offer(*both("2.0", arch))
    based.cut_off("UPDATE", "v2")
    based.succeed("CREATE", "v2")
    assert pair(based) == at("2.0") and is_sound(based)
    based.succeed("UPDATE", "v1")
    assert pair(based) == at("1.0") and is_sound(based)


@has_pairs
def test_a_repair_of_a_pair_that_is_cut_off_itself_is_made_again(based: Node) -> None:
    based.offer(*both("1.0"))
    based.install_by_hand("both.x86_64", "both.i686")
    based.offer(*both("2.0", "i686"))
    based.cut_off("UPDATE", "v2")
    for name in ("waits", "go"):
        (based.root / "run" / name).unlink()
    based.cut_off("CREATE", "v2")
    based.succeed("CREATE", "v2")
    assert pair(based) == at("2.0") and is_sound(based)
    assert based.hand.rows().count(("both", "2.0-1")) == 2
    based.succeed("UPDATE", "v1")
    assert pair(based) == at("1.0") and is_sound(based)


@has_pairs
@pytest.mark.parametrize("is_offered", [True, False])
@pytest.mark.parametrize("lost", ARCHES)
def test_a_pair_with_a_missing_file_is_fetched_or_taken_back(based: Node, lost: str, is_offered: bool) -> None:
    """An update of the agent, of which the archive has lost a file before somebody completes it."""
    based.offer(*both("1.0"))
    based.install_by_hand("both.x86_64", "both.i686")
    based.offer(*both("2.0", "i686"))
    based.cut_off("UPDATE", "v2")
    for directory in [based.archive, *([] if is_offered else [based.repository.directory])]:
        (directory / f"both-2.0-1.{lost}.rpm").unlink()
    based.hand.publish()
    based.succeed("UPDATE", "v1")
    assert pair(based) == at("1.0") and is_sound(based)
    log = "".join(path.read_text(encoding="utf-8") for path in sorted(based.log.glob("*.log")))
    # Only i686 was begun. Without a file of it x86_64 can follow; without a file of x86_64 it has to go back.
    installed = {("i686", False): "2.0-1.x86_64", ("x86_64", False): "1.0-1.i686"}
    assert f"completing both-{installed.get((lost, is_offered), '2.0-1.i686')}.rpm" in log


@has_pairs
def test_a_file_that_an_undo_has_lost_in_a_pair_that_was_taken_back_is_repaired(based: Node) -> None:
    """The pair is at the same version before and after, so only the repair itself tells that it was touched."""
    based.offer(*both("1.0", "i686", 'if os.remove("/run/steal") then os.remove("/usr/share/both") end'))
    based.install_by_hand("both.x86_64", "both.i686")
    based.offer(*both("2.0", "i686"))
    running = based.start("UPDATE", "v2")
    wait_until(based.hand.is_waiting, "the scriptlet")
    for directory in (based.archive, based.repository.directory):
        (directory / "both-2.0-1.x86_64.rpm").unlink()
    based.hand.publish()
    (based.root / "run/steal").touch()
    based.kill(based.package_managers())
    based.hand.let_go()
    result = running.wait()
    assert result.status and "the update was undone" in result.complaint
    assert "files were repaired by installing their packages again: both (missing: /usr/share/both)" in result.complaint
    assert pair(based) == at("1.0") and is_sound(based)


@pytest.mark.parametrize("is_cached", [True, False])
def test_what_a_repair_touches_is_announced_and_named(based: Node, is_cached: bool) -> None:
    """What was complete is installed again where dnf has kept the files, and left alone where it has not."""
    based.offer(
        Rpm("tool", "2.0", requires=["newname", "epochy >= 9.1"], scripts={"post": WAITS}),
        Rpm("newname", "2.0", obsoletes=["oldname"], provides=["oldname"]),
        Rpm("epochy", "9.1"),
    )
    plan = planned(based)
    assert plan["interrupted"] is False and plan["repaired_first"] == []
    killed_by_hand(based, "upgrade", "tool", "epochy", "oldname")
    # dnf 5 keeps a copy of each package, dnf 4 none of those that lie on the disk.
    is_cached = is_cached or based.hand.kind == "dnf5"
    if is_cached:
        shutil.copytree(based.repository.directory, based.root / "var/cache/dnf/demo/packages")
    plan, text = planned(based, "v1"), command(based, "plan", "--quiet").stdout
    assert plan["interrupted"] and plan["repaired_first"] == ["epochy", "newname", "oldname", "tool"]
    assert "an earlier transaction was not completed (epochy, newname, oldname, tool); that is repaired first" in text
    done = based.succeed("UPDATE", "v2")
    again = "newname, " if is_cached else ""
    assert done.complaint == f"an earlier interruption was repaired: epochy, {again}tool; removed: oldname\n"
    names = ("epochy", *(["newname"] if is_cached else []), "oldname", "tool")
    assert based.last_run().repaired == names and f"\nrepaired: {', '.join(names)}\n" in based.run_log()
    assert based.versions() == {
        **{name: version for name, version in VERSIONS_ONE.items() if name != "oldname"},
        **{"tool": "2.0-1", "epochy": "9.1-1", "newname": "2.0-1"},
    }
    assert planned(based)["interrupted"] is False
    assert based.hand.faults() == ""


def flags_of(node: Node, flags: str) -> None:
    """dnf 5 reads drop-ins, too."""
    if node.hand.backend == "dnf5":
        place = node.root / "etc/dnf/libdnf5.conf.d/50-flags.conf"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"[main]\ntsflags={flags}\n", encoding="utf-8")
    else:
        place = node.root / "etc/dnf/dnf.conf"
        place.write_text(f"{place.read_text(encoding='utf-8')}tsflags={flags}\n", encoding="utf-8")


def documented(version: str, scripts: Dict[str, str]) -> Rpm:
    doc = "/usr/share/doc/tool/README"
    files = {"/usr/share/tool": f"{version}\n", doc: f"{version}\n"}
    return Rpm("tool", version, files=files, docs=[doc], scripts=scripts)


def test_a_repair_sets_the_flags_that_dnf_sets(based: Node) -> None:
    flags_of(based, "nodocs")
    marker = 'local f = io.open("/run/ran", "w"); f:close()'
    based.offer(documented("2.0", {"post": WAITS}), Rpm("epochy", "9.1", scripts={"post": marker}))
    based.cut_off("UPDATE", "v2")
    assert (based.root / "usr/share/tool").exists() and not (based.root / "usr/share/doc/tool/README").exists()
    based.succeed("CREATE", "v2")
    assert based.text("usr/share/tool") == "2.0\n" and (based.root / "run/ran").exists()
    assert not (based.root / "usr/share/doc/tool/README").exists()
    assert based.versions()["tool"] == "2.0-1"


def test_a_repair_runs_no_scriptlets_where_dnf_runs_none(based: Node) -> None:
    marker = 'local f = io.open("/run/ran", "w"); f:close()'
    based.offer(documented("2.0", {"post": f"{WAITS}{marker}"}))
    based.cut_off("UPDATE", "v2")
    (based.root / "run/ran").unlink(missing_ok=True)
    flags_of(based, "noscripts,nodocs")
    based.succeed("CREATE", "v2")
    assert based.versions()["tool"] == "2.0-1" and not (based.root / "run/ran").exists()


STEALS = 'if os.remove("/run/steal") then os.remove("/usr/share/fragile") end'


@pytest.mark.parametrize("steals", [STEALS, 'os.remove("/usr/share/fragile")'])
def test_a_file_that_a_repair_has_lost_is_repaired_or_named_on_the_way_back(based: Node, steals: str) -> None:
    fragile = Rpm("fragile", "1.0", files={"/usr/share/fragile": "1\n"}, scripts={"post": f"{WAITS}{steals}"})
    based.offer(fragile, Rpm("tool", "2.0", requires=["fragile"]))
    based.hand.let_go()
    based.succeed("UPDATE", "v2")
    (based.root / "usr/share/fragile").write_text("1\n", encoding="utf-8")
    killed_by_hand(based, "reinstall", "fragile")
    (based.root / "run/steal").touch()
    back = command(based, "rollback", "--key", based.history().key, "--quiet", "v2")
    notes = " ".join(based.last_run().notes)
    assert "an earlier interruption was repaired: fragile" in notes
    if steals == STEALS:
        assert back.returncode == 0, back.stderr
        assert "files were repaired by installing their packages again: fragile (missing: /usr/share/fragile)" in notes
        assert based.text("usr/share/fragile") == "1\n" and based.hand.faults() == ""
    else:
        assert back.returncode == 1 and "fragile (missing: /usr/share/fragile)" in back.stdout + back.stderr


def test_a_package_that_was_being_installed_again_is_not_there_twice(based: Node) -> None:
    """dnf keeps no file of a repository on the disk, so the repair has none."""
    based.offer(Rpm("again", "1.0", files={"/usr/share/again": "1\n"}, scripts={"post": WAITS}))
    based.hand.let_go()
    based.install_by_hand("again")
    killed_by_hand(based, "reinstall", "again")
    assert based.hand.rows().count(("again", "1.0-1")) == 2
    done = based.succeed("UPDATE", "v2")
    assert "an earlier interruption was repaired: again" in done.complaint
    assert based.hand.rows().count(("again", "1.0-1")) == 1 and based.hand.faults() == ""
