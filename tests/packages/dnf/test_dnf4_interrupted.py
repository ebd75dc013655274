"""dnf 4 ended in the middle: recognised, completed, and from there forward or back exactly, with sound files on the
disk.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Iterator, List, Tuple

import pytest

from os_update_agent.model.errors import Busy, PackageError
from os_update_agent.model.packages import Selection
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.protocol import Complete, Reply
from os_update_agent.packages.state import unmet
from os_update_agent.testing.rpm_repository import DATABASE, Rpm, native_architecture
from packages.dnf.world import World, kernel, killed, version_file
from packages.hand_rpm import WAITS
from packages.node import PATIENCE, wait_until


@pytest.fixture(params=["post", "pre", "preun"])
def stuck(request: pytest.FixtureRequest, two: World) -> Iterator[World]:
    """A world whose update to release two stops in a scriptlet of the tool, in the middle of the others."""
    script = request.param
    if script == "preun":
        two.offer(Rpm("tool", "1.5", files=version_file("tool", "1.5"), scripts={script: WAITS}))
        assert two.update(Selection(packages=("tool",))) == ()
        two.offer(Rpm("tool", "2.0", files=version_file("tool", "2")))
    else:
        two.offer(Rpm("tool", "2.0", files=version_file("tool", "2"), scripts={script: WAITS}))
    yield two


def test_a_killed_update_is_completed_and_goes_back_exactly(stuck: World) -> None:
    before, _ = killed(stuck, signal.SIGKILL)
    assert stuck.backend().interrupted()
    assert stuck.go(before) == ()
    assert stuck.state().digest == before.digest
    assert stuck.is_sound()
    assert not stuck.backend().interrupted()


def test_a_killed_update_is_completed_and_goes_forward(stuck: World) -> None:
    before, target = killed(stuck, signal.SIGKILL)
    with stuck.log.open("ab", buffering=0) as output:
        stuck.backend().mend((), output)
    assert not stuck.backend().interrupted()
    assert stuck.is_sound()
    # The record is completed as well: also what had not been begun is there, each with its mark.
    assert unmet(stuck.state(), target) == ()
    assert stuck.go(target) == ()
    assert unmet(stuck.state(), target) == ()
    assert stuck.is_sound()
    assert "  " in stuck.dnf("history")
    assert stuck.dnf("check") == ""
    assert stuck.go(before) == ()
    assert stuck.state().digest == before.digest


@pytest.mark.parametrize("stuck", ["post"], indirect=True)
def test_a_name_that_is_provided_is_obsoleted_by_nobody(stuck: World) -> None:
    """rpm's Obsoletes mean names of packages, and never what another one provides: that one is nobody's old half."""
    stuck.offer(
        Rpm("stands-in", "1.0", provides=["gone = 1.0"]), Rpm("heir", "1.0", obsoletes=["gone < 2.0", "heir < 2.0"])
    )
    stuck.dnf("install", "stands-in", "heir")
    _, target = killed(stuck, signal.SIGKILL)
    with stuck.log.open("ab", buffering=0) as output:
        stuck.backend().mend((), output)
    assert unmet(stuck.state(), target) == ()
    assert {"stands-in", "heir"} <= set(stuck.versions())
    assert stuck.is_sound()


@pytest.mark.parametrize("stuck", ["post"], indirect=True)
def test_a_death_while_the_record_is_closed_loses_no_mark(stuck: World) -> None:
    """What has come with the update is there for others; only the record of the killed transaction tells."""
    _, target = killed(stuck, signal.SIGKILL)
    for _ in range(2):
        with stuck.log.open("ab", buffering=0) as output:
            stuck.backend().mend((), output)
        assert not stuck.backend().interrupted()
        assert unmet(stuck.state(), target) == ()
        # As a death between dnf's own two writes leaves it.
        with closing(sqlite3.connect(stuck.root / "var/lib/dnf/history.sqlite")) as record, record:
            record.execute("UPDATE trans SET state = 0, dt_end = NULL WHERE id = (SELECT max(id) FROM trans)")
        assert stuck.backend().interrupted()


@pytest.mark.parametrize("stuck", ["post"], indirect=True)
def test_a_polite_request_to_end_does_not_end_a_transaction(stuck: World) -> None:
    before, target = killed(stuck, signal.SIGTERM)
    assert unmet(stuck.state(), target) == ()
    assert not stuck.backend().interrupted()
    assert stuck.go(before) == ()
    assert stuck.state().digest == before.digest


@pytest.mark.parametrize("archived", [("*",), ("app", "dropper"), ()])
@pytest.mark.parametrize("stuck", ["post"], indirect=True)
def test_somebody_elses_killed_update_is_completed(stuck: World, archived: Tuple[str, ...]) -> None:
    """Without any package file at hand the old halves are erased: that, too, leaves sound files. Whose new half is not
    there stays.
    """
    before = stuck.state()
    new = [change.after for change in stuck.plan()[0] if change.after]
    stuck.obtain([package for package in new if package.name in archived or "*" in archived])
    stuck.obtain(before.packages)
    process = subprocess.Popen(
        stuck.dnf_argv("upgrade", "--setopt=installonly_limit=0"),
        env=stuck.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (stuck.root / "run/waits").exists(), "the scriptlet")
    process.kill()
    process.wait()
    (stuck.root / "run/go").touch()
    assert stuck.backend().interrupted()
    with stuck.log.open("ab", buffering=0) as output:
        stuck.backend().settle(output, forced=False)
    assert not stuck.backend().interrupted()
    assert stuck.is_sound()
    names = {package.name for package in stuck.state().packages}
    successors = {"oldname": "newname", "dropped": "dropper"}
    assert {package.name for package in before.packages if successors.get(package.name) not in names} <= names
    assert stuck.go(before) == ()
    assert stuck.state().digest == before.digest
    assert stuck.is_sound()


@pytest.mark.parametrize("stuck", ["post"], indirect=True)
def test_an_interruption_is_not_completed_for_somebody_who_is_gone(stuck: World) -> None:
    """The next agent may be at work by then."""
    killed(stuck, signal.SIGKILL)
    there = stuck.rpm("-qa").stdout
    request = Complete(str(stuck.root), native_architecture(), str(stuck.directory / "archive"), forced=False)
    stuck.ask_and_leave(request)
    assert stuck.rpm("-qa").stdout == there and stuck.backend().interrupted()
    # It is the very request that works where somebody waits for it.
    with stuck.log.open("ab", buffering=0) as output:
        assert stuck.backend()._worker().ask(request, output) == Reply(answer=())
    assert not stuck.backend().interrupted() and stuck.is_sound()


def test_a_lock_of_dnf_is_waited_for_and_its_holder_named(two: World) -> None:
    two.offer(Rpm("tool", "2.0", scripts={"post": WAITS}))
    process = subprocess.Popen(
        two.dnf_argv("upgrade", "tool"), env=two.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: (two.root / "run/waits").exists(), "the scriptlet")
        impatient = Dnf4(two.root, two.directory / "archive", two.directory / "work", 0.5)
        with pytest.raises(Busy, match=rf"is held by dnf \(process {process.pid}\); waited 0.5 s"):
            impatient.refresh()
        # rpm itself can be asked meanwhile, and what another one is at work on is no interruption.
        assert impatient.capture().packages and impatient.unfinished() is None
        done: List[int] = []

        def refresh() -> None:
            two.backend().refresh()
            done.append(1)

        thread = threading.Thread(target=refresh)
        thread.start()
        time.sleep(0.5)
        assert not done
    finally:
        (two.root / "run/go").touch()
        process.wait(PATIENCE)
    thread.join(PATIENCE)
    assert done


def test_a_lock_of_rpm_is_waited_for_and_its_holder_named(two: World) -> None:
    two.offer(Rpm("tool", "2.0", scripts={"post": WAITS}))
    path = two.repository.directory / "tool-2.0-1.x86_64.rpm"
    process = subprocess.Popen(["rpm", "--root", str(two.root), "--dbpath", DATABASE, "-U", str(path)])
    try:
        wait_until(lambda: (two.root / "run/waits").exists(), "the scriptlet")
        impatient = Dnf4(two.root, two.directory / "archive", two.directory / "work", 0.2)
        with pytest.raises(Busy, match=rf"is held by rpm \(process {process.pid}\)"):
            impatient.wait()
    finally:
        (two.root / "run/go").touch()
        process.wait(PATIENCE)
    two.backend().wait()


def test_a_lock_file_of_a_dead_process_holds_nobody_up(world: World) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    (world.root / "var/lib/dnf/rpmdb_lock.pid").write_text(str(process.pid), encoding="ascii")
    world.backend().wait()


def test_a_full_disk_is_told_before_anything_changes(two: World) -> None:
    """rpm's own test of the space: the file system of the root is too small for what comes."""
    small = two.root / "srv"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        before = two.state()
        two.offer(Rpm("tool", "2.0", files={"/srv/large": os.urandom(1_000_000)}))
        with pytest.raises(PackageError, match=r"tool-2\.0-1\.x86_64 needs .* more space on the /srv filesystem"):
            two.update()
        assert two.state() == before
        assert two.is_sound()
    finally:
        subprocess.run(["umount", str(small)], check=True)
    shutil.rmtree(small)


def test_a_kernel_that_was_cut_off_comes_once_and_beside_the_others(world: World) -> None:
    world.offer(replace(kernel("6.1.2"), scripts={"post": WAITS}))
    _, target = killed(world)
    assert world.backend().interrupted()
    assert world.complete() == ()
    assert world.rpm("-q", "kernel").stdout.count("\n") == 2
    assert unmet(world.state(), target) == () and world.is_sound()


def test_a_dnf_that_is_set_to_change_nothing_completes_nothing_and_says_so(world: World) -> None:
    world.offer(Rpm("tool", "2.0", files=version_file("tool", "2"), scripts={"post": WAITS}))
    killed(world)
    conf = world.root / "etc/dnf/dnf.conf"
    text = conf.read_text(encoding="utf-8")
    conf.write_text(f"{text}tsflags=test\n", encoding="utf-8")
    assert world.complete() == ("dnf is set to change nothing (tsflags=test)",)
    assert world.backend().interrupted()
    conf.write_text(text, encoding="utf-8")
    assert world.complete() == () and world.is_sound()
