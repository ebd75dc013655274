"""Faults that rpm and both dnfs have in their own way, seen through the hook: nothing is half done, the truth is told,
the next works.

What every package manager has (a repository that is down or spoilt, a kill in the middle, an old version that is gone)
is in contract.
"""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Union

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.packages.disk_space import free_bytes
from os_update_agent.testing.rpm_repository import Rpm
from packages.hand_rpm import WAITS
from packages.node import VERSIONS_ONE, VERSIONS_TWO, Node, Result, wait_until

CHANGED = {"tool": ("1.0-1", "2.0-1")}


def assert_untouched(node: Node, failed: Result) -> None:
    assert failed.status != 0 and "nothing was changed" in failed.complaint
    assert failed.changes == {}
    assert node.versions() == VERSIONS_ONE and node.history().current == "v1"


def assert_undone(node: Node, failed: Result) -> None:
    assert failed.status == 1 and "the update was undone" in failed.complaint
    assert node.versions() == VERSIONS_ONE and node.history().current == "v1"
    assert node.hand.faults() == ""


@pytest.mark.parametrize("script", ["pre", "post", "preun"])
def test_a_failing_scriptlet_is_told_and_undone_exactly(based: Node, script: str) -> None:
    """rpm calls a failing %post and %preun a success, and after a failing %pre it does all the others."""
    fails = {script: 'error("it cannot be")'}
    if script == "preun":
        based.offer(Rpm("tool", "1.5", files=file("1.5"), scripts=fails))
        # Nothing of the old tool fails on the way here, and the one that fails is what has to go.
        based.succeed("UPDATE", "v1.5", packages="tool")
        before = based.packages()
        based.offer(Rpm("tool", "2.0", files=file("2.0")))
        failed = based.fail("UPDATE", "v2")
        assert "it cannot be" in failed.complaint and "the update was undone" in failed.complaint
        assert based.packages() == before and based.history().current == "v1.5"
        # rpm lets a file be that is in both versions: it is that of the old one again.
        assert based.hand.faults() == ""
        return
    before = based.packages()
    based.offer_two()
    based.offer(Rpm("tool", "2.0", scripts=fails))
    failed = based.fail("UPDATE", "v2")
    assert "it cannot be" in failed.complaint
    assert_undone(based, failed)
    assert based.packages() == before


def test_an_unsigned_package_is_refused_where_its_repository_is_checked(based: Node) -> None:
    based.offer(Rpm("tool", "2.0"))
    based.hand.use(gpgcheck="1")
    failed = based.fail("UPDATE", "v2")
    assert "tool-2.0-1" in failed.complaint and "is not signed (repository demo, gpgcheck=1)" in failed.complaint
    assert_untouched(based, failed)
    assert not [name for name in based.kept() if name.endswith("2.0-1")]
    based.hand.use()
    assert based.succeed("UPDATE", "v2").changes == CHANGED


def test_a_damaged_database_stops_everything_before_it_is_made_worse(based: Node) -> None:
    database = based.root / "var/lib/rpm/rpmdb.sqlite"
    sound = database.read_bytes()
    for path in database.parent.glob("rpmdb.sqlite-*"):
        path.unlink()
    database.write_bytes(sound[:4096] + b"\xff" * 8192 + sound[12288:])
    damaged = database.read_bytes()
    based.offer(Rpm("tool", "2.0"))
    for value in ("v2", "v1"):
        failed = based.deliver("UPDATE", value, resource="update" if value == "v2" else "other")
        assert failed.status != 0 and "the package database" in failed.complaint, failed.complaint
    assert database.read_bytes() == damaged
    database.write_bytes(sound)
    for path in database.parent.glob("rpmdb.sqlite-*"):
        path.unlink()
    assert based.succeed("UPDATE", "v2").changes == CHANGED


def test_a_warning_of_rpm_is_no_damage(based: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """What EL 9 says at each call where an old key is in its database; the rpm of the tests knows the old algorithm
    still.
    """
    programs = based.directory / "bin"
    programs.mkdir()
    warning = "warning: Signature not supported. Hash algorithm SHA1 not available."
    (programs / "rpm").write_text(f'#!/bin/sh\necho "{warning}" >&2\nexec /usr/bin/rpm "$@"\n', encoding="utf-8")
    (programs / "rpm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    based.offer(Rpm("tool", "2.0"))
    assert based.succeed("UPDATE", "v2").changes == CHANGED


def test_a_comment_of_dnf_conf_may_be_in_any_encoding(based: Node) -> None:
    with (based.root / "etc/dnf/dnf.conf").open("ab") as file:
        file.write(b"# caf\xe9\n")
    based.offer(Rpm("tool", "2.0"))
    assert based.succeed("UPDATE", "v2").changes == CHANGED


def file(version: str) -> Dict[str, str]:
    return {"/usr/share/tool-file": version}


@contextmanager
def no_space(node: Node) -> Iterator[None]:
    """The file system of /srv is too small for anything."""
    small = node.root / "srv"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(small)], check=True)


def interrupt(node: Node, new: Rpm) -> None:
    """The operator's dnf brings another version of a package and is killed in the middle. The agent has the file
    already.
    """
    node.offer(replace(new, scripts={**new.scripts, "post": WAITS}))
    node.succeed("UPDATE", "download", operation="download", packages=new.name)
    process = node.hand.start_installing(new.name)
    wait_until(node.hand.is_waiting, "the script")
    process.kill()
    process.wait()
    node.hand.let_go()
    assert "is there twice" in node.hand.faults()


@pytest.fixture
def stubborn(based: Node) -> Node:
    """A node at "v1.5" whose tool does not go by itself, and whose operator has tried and was interrupted."""
    based.offer(Rpm("tool", "1.5", files=file("1.5"), scripts={"preun": 'error("it cannot be")'}))
    based.succeed("UPDATE", "v1.5", packages="tool")
    interrupt(based, Rpm("tool", "2.0", files=file("2.0")))
    based.offer(Rpm("epochy", "9.1"))
    return based


def test_an_interruption_that_cannot_be_completed_stops_an_update(stubborn: Node) -> None:
    before = stubborn.packages()
    failed = stubborn.fail("UPDATE", "v2")
    assert "cannot be completed" in failed.complaint and "it cannot be" in failed.complaint
    assert "tool (1.5-1 and 2.0-1)" in failed.complaint and "rpm -e --noscripts" in failed.complaint
    assert "nothing was changed" in failed.complaint and stubborn.packages() == before
    # What it says can be done by hand.
    stubborn.dnf.rpm("-e", "--noscripts", "tool-1.5-1").check_returncode()
    assert stubborn.succeed("UPDATE", "v2").changes == {"epochy": ("9.0-1", "9.1-1")}
    assert stubborn.hand.faults() == ""


def test_an_interruption_that_cannot_be_completed_is_left_behind_by_the_way_back(stubborn: Node) -> None:
    back = stubborn.succeed("UPDATE", "v1")
    told = str(back.body["deploy_stderr"])
    assert "tool 1.5-1 had to be erased without its scriptlets" in told and "it cannot be" in told
    assert stubborn.versions() == VERSIONS_ONE and stubborn.hand.faults() == ""
    assert not (stubborn.root / "usr/share/tool-file").exists()


def test_an_update_of_ours_that_cannot_be_completed_is_undone_exactly(based: Node) -> None:
    """A way back past the same script ends at its state; all within a second or two."""
    based.offer(Rpm("tool", "1.5", files=file("1.5"), scripts={"preun": 'error("it cannot be")'}))
    based.succeed("UPDATE", "v1.5", packages="tool")
    before = based.packages()
    based.offer(Rpm("tool", "2.0", files=file("2.0"), scripts={"post": WAITS}))
    based.cut_off("UPDATE", "v2")
    failed = based.fail("CREATE", "v2")
    assert "it cannot be" in failed.complaint and "the update was undone" in failed.complaint
    assert based.packages() == before and based.hand.faults() == ""
    assert based.text("usr/share/tool-file") == "1.5"
    back = based.succeed("UPDATE", "v1")
    assert "it cannot be" in back.complaint and based.versions() == VERSIONS_ONE and based.hand.faults() == ""
    with based.ledger() as ledger:
        ours = next(run for run in ledger.runs() if run.value == "v2")
    assert ours.progress.impact == "undone" and "it cannot be" in ours.failure


def test_what_rpm_refuses_to_complete_is_no_old_story(based: Node) -> None:
    """Nothing was done: it is still to be done, and neither update nor restore starts from there."""
    based.offer(Rpm("other", "1.0"))
    based.install_by_hand("other")
    based.succeed("UPDATE", "v1.5", packages="nothing*")
    interrupt(based, Rpm("tool", "2.0", files={"/srv/large": os.urandom(1_000_000)}))
    based.offer(Rpm("epochy", "9.1"))
    rows = based.hand.rows()
    with no_space(based):
        for value in ("v2", "v1"):
            failed = based.fail("UPDATE", value)
            assert (
                "cannot be completed" in failed.complaint and "needs" in failed.complaint and "/srv" in failed.complaint
            )
            assert "nothing was changed" in failed.complaint and based.hand.rows() == rows
    assert based.succeed("UPDATE", "v2").changes == {"epochy": ("9.0-1", "9.1-1")}
    assert based.versions()["tool"] == "2.0-1" and based.hand.faults() == ""


def test_what_does_not_go_when_it_is_installed_again_is_not_there_twice(based: Node) -> None:
    """To complete a transaction is to install the new version again, over itself: a script of its own may be against
    that.
    """
    interrupt(based, Rpm("tool", "2.0", files=file("2.0"), scripts={"preun": 'error("it cannot be")'}))
    based.offer(Rpm("epochy", "9.1"))
    done = based.succeed("UPDATE", "v2")
    assert done.changes == {"epochy": ("9.0-1", "9.1-1")} and "it cannot be" in str(done.body["deploy_stderr"])
    assert based.versions()["tool"] == "2.0-1" and based.hand.faults() == ""


def kernel(version: str) -> List[Rpm]:
    """A kernel as Enterprise Linux packs it: one of its packages has it, in two places, and announces its initrd."""
    initrd = f"/boot/initramfs-{version}.img"
    files: Dict[str, Union[str, bytes]] = {
        f"/boot/vmlinuz-{version}": b"k" * 300_000,
        f"/lib/modules/{version}/vmlinuz": b"k" * 300_000,
    }
    core = Rpm(
        "kernel-core",
        version,
        provides=["installonlypkg(kernel)"],
        files={**files, initrd: b"i" * 2_500_000},
        ghosts=[f"/boot/vmlinuz-{version}", initrd],
    )
    several = {name: [f"installonlypkg({name})"] for name in ("kernel", "kernel-modules")}
    others = ("kernel", "kernel-modules", "kernel-tools", "kernel-tools-libs", "kernel-headers")
    return [core, *(Rpm(name, version, provides=several.get(name, ())) for name in others)]


def test_boot_needs_room_for_as_many_kernels_as_come(based: Node) -> None:
    """Not for one with each of their packages, nor for another rescue image; and what is needed is needed."""
    boot, first = based.root / "boot", kernel("6.1.1")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8500k", "tmpfs", str(boot)], check=True)
    try:
        based.offer(*first)
        based.install_by_hand(*(rpm.name for rpm in first))
        (boot / "initramfs-6.1.1.img").write_bytes(b"i" * 2_000_000)
        (boot / "initramfs-0-rescue-f3b1.img").write_bytes(b"r" * 3_000_000)
        based.offer(*kernel("6.1.2"))
        assert len(based.succeed("UPDATE", "v2").changes) == len(first)
        filler = boot / "filler"
        filler.write_bytes(b"f" * (free_bytes(boot) - 2_200_000))
        before = based.packages()
        based.offer(*kernel("6.1.3"))
        failed = based.fail("UPDATE", "v3")
        assert (
            f"not enough space in {boot}: 2.3 MB are needed" in failed.complaint
            and "nothing was changed" in failed.complaint
        )
        assert based.packages() == before
    finally:
        subprocess.run(["umount", str(boot)], check=True)


@contextmanager
def another_dnf(node: Node, package: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The operator's own dnf is in the middle of a transaction, until it is let go."""
    process = node.hand.start_installing(package)
    try:
        wait_until(node.hand.is_waiting, "the other dnf's scriptlet")
        yield process
    finally:
        node.hand.let_go()
        process.wait()


def test_another_dnf_is_waited_for(based: Node) -> None:
    based.offer(Rpm("tool", "2.0", scripts={"post": WAITS}), Rpm("epochy", "9.1"))
    with another_dnf(based, "tool"):
        running = based.start("UPDATE", "v2")
        wait_until(lambda: based.phase() != "", "the run to begin")
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1)
    done = running.wait()
    assert done.status == 0 and done.changes == {"epochy": ("9.0-1", "9.1-1")}
    assert based.versions()["tool"] == "2.0-1"


def test_another_dnf_that_takes_too_long_is_named_and_left_alone(based: Node) -> None:
    based.offer(Rpm("tool", "2.0", scripts={"post": WAITS}), Rpm("epochy", "9.1"))
    with another_dnf(based, "tool") as other:
        failed = based.fail("UPDATE", "v2", lock_timeout=1)
        assert f"is held by {based.dnf.program} (process {other.pid}); waited 1 s" in failed.complaint
        holder = based.site().lock_holder(Policy())
        assert holder is not None and holder.startswith(
            f"{based.dnf.program} (process {other.pid}) holds {based.root}/"
        )
        assert "nothing was changed" in failed.complaint
        assert other.poll() is None
    assert other.returncode == 0 and based.versions()["epochy"] == "9.0-1"
    assert based.site().lock_holder(Policy()) is None
    assert based.succeed("UPDATE", "v3").changes == {"epochy": ("9.0-1", "9.1-1")}


@pytest.mark.parametrize(
    ("script", "number", "value"),
    [
        ("pre", signal.SIGKILL, "v1"),
        ("post", signal.SIGKILL, "v3"),
        ("preun", signal.SIGKILL, "v1"),
        ("post", signal.SIGTERM, "v1"),
    ],
)
def test_another_dnf_that_was_ended_in_the_middle_is_completed(
    based: Node, script: str, number: int, value: str
) -> None:
    """The operator's own. dnf 5 gives up on SIGTERM as well, and leaves both versions. What had not come yet, from a
    repository on the disk, is nowhere in dnf's cache: nothing may go for it."""
    one = based.packages()
    old, new = ({script: WAITS}, {}) if script == "preun" else ({}, {script: WAITS})
    based.offer(Rpm("tool", "1.5", scripts=old))
    based.succeed("UPDATE", "v2")
    based.offer_two()
    based.offer(Rpm("tool", "2.0", scripts=new))
    process = based.dnf.start_upgrading()
    try:
        wait_until(based.hand.is_waiting, "the other dnf's scriptlet")
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
    finally:
        based.hand.let_go()
    process.wait()
    if number == signal.SIGKILL:
        assert based.hand.faults() != ""
    based.succeed("UPDATE", value)
    assert based.hand.faults() == ""
    if value == "v1":
        assert based.packages() == one
        based.succeed("UPDATE", "v3")
    assert based.versions() == {**VERSIONS_TWO, "tool": "2.0-1"}
    based.succeed("UPDATE", "v1")
    assert based.packages() == one and based.hand.faults() == ""


@pytest.fixture
def small(based: Node) -> Iterator[Path]:
    """A file system of 256 KiB at /srv of the root."""
    place = based.root / "srv"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_file_system_that_is_too_small_is_told_before_anything_changes(based: Node, small: Path) -> None:
    """The agent looks at the root alone; rpm knows every file system, and says so in its own rehearsal."""
    before = based.packages()
    based.offer_two()
    based.offer(Rpm("tool", "2.0", files={"/srv/large": os.urandom(1_000_000)}))
    failed = based.fail("UPDATE", "v2")
    assert "needs" in failed.complaint and "/srv" in failed.complaint
    assert based.packages() == before and based.hand.faults() == ""
    assert "nothing was changed" in failed.complaint or "the update was undone" in failed.complaint


def test_a_disk_that_fills_up_in_the_middle_is_undone(based: Node, small: Path) -> None:
    """What rpm has counted as free is taken by somebody else while it works."""
    fill = 'local f = io.open("/srv/taken", "w"); f:write(string.rep("x", 250000)); f:close()'
    before = based.packages()
    based.offer_two()
    based.offer(Rpm("tool", "2.0", files={"/srv/large": os.urandom(200_000)}, scripts={"pre": fill}))
    failed = based.fail("UPDATE", "v2")
    assert "tool" in failed.complaint
    assert_undone(based, failed)
    assert based.packages() == before
    (small / "taken").unlink()
    based.offer(Rpm("tool", "3.0", files={"/srv/large": os.urandom(200_000)}))
    assert based.succeed("UPDATE", "v3").changes["tool"] == ("1.0-1", "3.0-1")


def test_two_requests_of_one_run_share_one_dnf(based: Node) -> None:
    """It costs as much as half a transaction to start one. Seen by the files that each has open: the run's log goes to
    it.
    """
    based.offer(Rpm("tool", "2.0", scripts={"post": WAITS}))
    running = based.start("UPDATE", "v2")
    wait_until(lambda: (based.root / "run/waits").exists(), "the scriptlet")
    started = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if _is_worker(path, based.root)]
    assert len(started) == 1
    (based.root / "run/go").touch()
    assert running.wait().status == 0
    end = time.monotonic() + 30
    while started[0].exists():
        assert time.monotonic() < end, "dnf's child is still there after the run"
        time.sleep(0.05)


def _is_worker(path: Path, root: Path) -> bool:
    """Of either dnf."""
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"/dnf/worker/main.py") for word in words) and str(root).encode() in words


def test_an_undo_that_is_not_complete_says_why(based: Node) -> None:
    node = based
    node.offer(Rpm("tool", "1.5", scripts={"pre": 'if posix.stat("/run/stubborn") then error("never back") end'}))
    node.succeed("UPDATE", "v1.5")
    node.step("health.d/10", f"touch {node.root}/run/stubborn; exit 1")
    node.offer(Rpm("tool", "2.0"), Rpm("epochy", "9.1"))
    failed = node.fail("UPDATE", "v2")
    (note,) = [line for line in failed.complaint.splitlines() if line.startswith("the undo is not complete: ")]
    assert "rpm package tool" in note and "never back" in note
    assert "tool is 2.0-1 installed in place of 1.5-1 installed" in note


def test_a_file_that_a_leaving_version_removes_is_brought_back(based: Node) -> None:
    """It belongs to a package that the way back does not touch, so no row shows it."""
    removes = 'os.remove("/usr/share/libapp1")'
    based.offer(Rpm("tool", "2.0", files=file("2.0"), scripts={"postun": removes}))
    one, tree = based.packages(), based.tree()
    based.succeed("UPDATE", "v2")
    back = based.succeed("UPDATE", "v1")
    assert "libapp1 (missing: /usr/share/libapp1)" in back.complaint
    assert based.packages() == one
    assert based.tree() == tree
    assert based.hand.faults() == ""
