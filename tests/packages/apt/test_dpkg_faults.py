"""What dpkg itself can run into: somebody's interrupted run, broken packages, refusals, and a disk that is full."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, Tuple

import pytest

from os_update_agent.cli import main
from os_update_agent.config.policy import Policy
from os_update_agent.model.packages import PackageState
from os_update_agent.packages.state import unmet
from os_update_agent.packages.transition import Transition
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_ONE, Node, wait_until

MIB = 1024 * 1024


def status_of(node: Node, name: str) -> str:
    """Want, error flag and status of a package: "install ok installed"."""
    (row,) = [row for row in node.apt.rows() if row.startswith(f"{name}:")]
    return " ".join(row.split()[2:])


def interrupt_a_dpkg(node: Node, deb: Deb) -> None:
    """Somebody's apt is killed, with all its children, in the middle of the package's postinst."""
    node.offer(deb)
    log = node.directory / "killed.log"
    with log.open("wb") as output:
        argv = ["apt-get", "-q", "-y", "install", deb.name]
        environment = {**os.environ, "APT_CONFIG": str(node.apt.configuration), "DEBIAN_FRONTEND": "noninteractive"}
        node.apt.apt("update")
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    wait_until(lambda: (node.root / "in-postinst").exists(), "the postinst to begin")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (node.root / "go-on").touch()
    assert status_of(node, deb.name) == "install ok half-configured"
    assert any(path.name.isdigit() for path in (node.root / "var/lib/dpkg/updates").iterdir())


SLOW = 'touch "$DPKG_ROOT/in-postinst"; while [ ! -e "$DPKG_ROOT/go-on" ]; do sleep 0.05; done'


def test_an_update_finishes_what_an_interrupted_dpkg_has_left(based: Node, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt_a_dpkg(based, Deb("tool", "2.0-1", scripts={"postinst": SLOW}))
    for value in ("v2", "v1"):
        assert main.main(["--config", str(based.conf), "plan", "--quiet", "--no-refresh", value]) == 0
        assert "an earlier transaction was not completed (tool); that is repaired first" in capsys.readouterr().out
    based.offer(Deb("libapp1", "1.5-1"))
    done = based.succeed("UPDATE", "v2")
    assert based.versions()["libapp1"] == "1.5-1"
    assert status_of(based, "tool") == "install ok installed"
    assert "an earlier interruption was repaired: tool" in done.complaint
    based.succeed("UPDATE", "v1")
    assert based.versions()["libapp1"] == "1.0-1"


def test_a_restore_goes_back_over_an_interrupted_dpkg(based: Node) -> None:
    one = based.packages()
    based.offer(Deb("libapp1", "1.5-1"))
    based.succeed("UPDATE", "v2")
    interrupt_a_dpkg(based, Deb("tool", "2.0-1", scripts={"postinst": SLOW}))
    based.succeed("UPDATE", "v1")
    assert based.packages() == one


def test_an_update_that_fails_after_a_repair_goes_back_to_the_repaired_state(based: Node) -> None:
    interrupt_a_dpkg(based, Deb("tool", "2.0-1", scripts={"postinst": SLOW}))
    based.offer(Deb("libapp1", "1.5-1", scripts={"postinst": "exit 1"}))
    failed = based.fail("UPDATE", "v2")
    assert "the node has the packages that it had before" in failed.complaint
    assert based.versions() == {**VERSIONS_ONE, "tool": "2.0-1"}


def test_a_pipe_in_place_of_a_record_of_apt_is_not_waited_for(based: Node) -> None:
    marks = based.root / "var/lib/apt/extended_states"
    marks.unlink(missing_ok=True)
    os.mkfifo(marks)
    failed = based.fail("UPDATE", "v2")
    assert "extended_states cannot be read: is a FIFO" in failed.complaint


# dpkg is killed by the package's own script, the first time.
KILLER = 'if [ ! -e "$DPKG_ROOT/killed" ]; then touch "$DPKG_ROOT/killed"; kill -9 $PPID; sleep 1; fi'


def half_install(node: Node) -> None:
    """dpkg is killed by the package's own preinst: reinst-required, half-installed, and no file of it is certain."""
    node.offer(Deb("tool", "2.0-1", scripts={"preinst": KILLER}))
    node.apt.apt("update")
    node.apt.apt("install", "tool", ok=False)
    assert status_of(node, "tool").endswith("reinstreq half-installed"), status_of(node, "tool")


def test_a_half_installed_package_is_cured_by_a_newer_version(based: Node) -> None:
    half_install(based)
    based.offer(Deb("tool", "2.1-1"))
    based.succeed("UPDATE", "v2")
    assert status_of(based, "tool") == "install ok installed"
    assert based.versions()["tool"] == "2.1-1"


def test_a_plan_says_whether_a_half_installed_package_can_be_repaired(
    based: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    half_install(based)
    based.withdraw("2.0-1", "tool")
    nothing = "cannot be done: no archive or repository has tool:amd64 1.0-1"
    for is_there in (True, False):
        assert main.main(["--config", str(based.conf), "plan", "--quiet"]) == 0
        said = capsys.readouterr().out
        assert "an earlier transaction was not completed (tool); that is repaired first, and" in said
        assert (nothing in said) != is_there
        if is_there:
            based.withdraw("1.0-1", "tool")
    assert "tool needs to be reinstalled" in based.fail("UPDATE", "v2").complaint


def test_a_restore_cures_a_half_installed_package(based: Node) -> None:
    one = based.packages()
    based.offer(Deb("libapp1", "1.5-1"))
    based.succeed("UPDATE", "v2")
    half_install(based)
    based.succeed("UPDATE", "v1")
    assert based.packages() == one


def test_a_half_installed_package_that_nothing_cures_stops_the_update_and_is_named(based: Node) -> None:
    half_install(based)
    based.withdraw("2.0-1", "tool")
    based.withdraw("1.0-1", "tool")
    based.offer(Deb("libapp1", "1.5-1"))
    failed = based.fail("UPDATE", "v2")
    assert "an earlier run or interruption left tool half-installed: " in failed.complaint
    assert "was repaired" not in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert based.versions()["libapp1"] == "1.0-1"


def way_to(node: Node, target: PackageState) -> Tuple[str, ...]:
    """The way back of an undo from where the node is. Returns what the package manager complained of."""
    site = node.site()
    backend = site.backend(Policy(key="any"))
    with (node.directory / "way.log").open("w+b") as output:
        return Transition(backend, site.archive(backend), node.root, output).go(target, forced=True)


def test_what_apt_mends_with_packages_that_the_target_has_not_does_not_stay(based: Node) -> None:
    """An update was cut off when useold 2.0 was unpacked, which needs newname, and that would drive oldname out."""
    one = based.recorded("v1")
    successor = Deb("newname", "2.0-1", fields=dict.fromkeys(("Conflicts", "Replaces", "Provides"), "oldname"))
    based.offer(successor, Deb("useold", "2.0-1", fields={"Depends": "newname"}))
    based.succeed("UPDATE", "v2", operation="download")
    options = (f"--root={based.root}", "--force-script-chrootless", "--force-bad-path")
    based.apt._run("dpkg", *options, "--unpack", *map(str, based.archive.glob("useold_2.0*")))
    assert status_of(based, "useold") == "install ok unpacked"
    assert way_to(based, one) == ()
    assert unmet(based.site().backend(Policy(key="any")).capture(), one) == ()


def test_a_half_installed_package_that_the_target_has_not_goes(based: Node) -> None:
    one = based.recorded("v1")
    based.offer(
        Deb("tool", "2.0-1", fields={"Depends": "brandnew"}), Deb("brandnew", "1.0-1", scripts={"preinst": KILLER})
    )
    based.succeed("UPDATE", "v2", operation="download")
    based.apt.apt("update")
    based.apt.apt("install", "brandnew", ok=False)
    assert status_of(based, "brandnew").endswith("reinstreq half-installed")
    assert way_to(based, one) == ()
    assert unmet(based.site().backend(Policy(key="any")).capture(), one) == ()


# The older version of a package that lets nobody go back to it.
STUBBORN = {"preinst": 'if [ "$1" = upgrade ]; then echo "never back" >&2; exit 1; fi'}


@pytest.fixture
def stubborn(node: Node) -> Node:
    """A node with a baseline, v1, to which the package "gate" cannot go back, and with the packages of v2 offered."""
    node.offer(Deb("gate", "1.0-1", scripts=STUBBORN))
    node.install_by_hand("gate")
    node.succeed("CREATE", "v1")
    node.offer(Deb("gate", "2.0-1"), Deb("libapp1", "1.5-1"))
    return node


def test_a_package_that_refuses_the_way_back_leaves_the_node_where_it_was(stubborn: Node) -> None:
    stubborn.succeed("UPDATE", "v2")
    two = stubborn.packages()
    failed = stubborn.fail("UPDATE", "v1")
    assert "gate" in failed.complaint and "never back" in failed.complaint
    assert stubborn.packages() == two
    assert stubborn.history().current == "v2"
    assert failed.changes == {}
    assert "the node has the packages that it had before" in failed.complaint
    assert "restore of 'v1' failed" in failed.complaint


def test_a_way_back_that_is_kept_as_far_as_it_went_is_a_partial_result_that_names_the_rest(stubborn: Node) -> None:
    stubborn.succeed("UPDATE", "v2")
    failed = stubborn.fail("UPDATE", "v1", on_failure="keep")
    assert stubborn.versions()["gate"] == "2.0-1"
    assert "gate is 2.0-1 installed in place of 1.0-1 installed" in failed.complaint
    assert failed.changes == {"libapp1": ("1.5-1", "1.0-1")}
    assert stubborn.history().current is None


def test_an_undo_that_a_package_refuses_says_what_is_not_undone(stubborn: Node) -> None:
    stubborn.step("health.d/10-bad", "exit 1")
    failed = stubborn.fail("UPDATE", "v2")
    assert "could not be undone" in failed.complaint
    (note,) = [line for line in failed.complaint.splitlines() if line.startswith("the undo is not complete: ")]
    assert "gate is 2.0-1" in note
    assert failed.changes["gate"] == ("1.0-1", "2.0-1")
    assert stubborn.history().current is None


def test_five_megabytes_of_output_stay_on_the_node_and_heat_gets_the_end(based: Node) -> None:
    noise = "head -c 5242880 /dev/zero | tr '\\0' 'x' | fold -w 100; echo the last words; exit 1"
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": noise}))
    failed = based.fail("UPDATE", "v2")
    assert len(failed.stdout.encode()) <= 256 * 1024
    assert len(failed.body["deploy_stderr"].encode()) <= 32 * 1024
    (request,) = failed.received
    assert request.body.decode() == failed.stdout
    log = Path(based.last_run().log)
    assert log.stat().st_size > 5 * MIB
    assert log.stat().st_mode & 0o077 == 0
    assert str(log) in failed.complaint
    assert "exit status 1" in failed.complaint and "the node has the packages that it had before" in failed.complaint


def on_a_small_disk(node: Node, size: str) -> None:
    """From now on the hook sees the root on a file system of its own of that size, with a copy of its files."""
    script = (
        f"set -e; cp -a {node.root} {node.root}.real; mount -t tmpfs -o size={size} none {node.root}; "
        f'cp -a {node.root}.real/. {node.root}/; "$@"; cp -a {node.root}/. {node.root}.after/'
    )
    (node.directory / "root.after").mkdir()
    node.wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")


def versions_after(node: Node) -> Dict[str, str]:
    """Of the root as the hook has left it on the small disk."""
    form = "${Package} ${Version} ${db:Status-Status}\\n"
    argv = ["dpkg-query", f"--admindir={node.root}.after/var/lib/dpkg", "--show", "--showformat", form]
    rows = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: version for name, version, status in map(str.split, rows) if status == "installed"}


BIG = {"usr/share/big": b"\0" * (30 * MIB)}


def test_a_disk_that_is_too_small_stops_the_update_before_it_begins(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1", files=BIG, installed_size=30 * 1024))
    on_a_small_disk(based, "24m")
    failed = based.fail("UPDATE", "v2")
    assert "not enough space in " in failed.complaint
    assert "MB are needed" in failed.complaint and "MB are free" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert versions_after(based) == VERSIONS_ONE
    assert based.history().current == "v1"


def test_a_disk_that_fills_up_in_the_transaction_is_reported_and_the_update_undone(based: Node) -> None:
    """The package says that it takes 10 KiB."""
    based.offer(Deb("tool", "2.0-1", files=BIG), Deb("libapp1", "1.5-1"))
    on_a_small_disk(based, "24m")
    failed = based.fail("UPDATE", "v2")
    assert "No space left on device" in failed.complaint
    assert versions_after(based) == VERSIONS_ONE
    assert "the node has the packages that it had before" in failed.complaint
    assert based.history().current == "v1"


@pytest.mark.parametrize("place", ["state", "log", "run"])
def test_a_directory_of_ours_that_cannot_be_written_is_named_and_signalled(based: Node, place: str) -> None:
    based.offer(Deb("tool", "2.0-1"))
    directory = getattr(based, place)
    script = f'set -e; mount --bind {directory} {directory}; mount -o remount,bind,ro {directory}; exec "$@"'
    directory.mkdir(mode=0o700, exist_ok=True)
    based.wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    start = time.monotonic()
    failed = based.fail("UPDATE", "v2")
    assert time.monotonic() - start < 60
    assert str(directory) in failed.complaint
    assert "ead-only" in failed.complaint or "readonly" in failed.complaint
    assert [request.body.decode() for request in failed.received] == [failed.stdout]
    assert based.versions() == VERSIONS_ONE
