"""Somebody else is at work: their locks are waited for, named and never broken."""

import subprocess

import pytest

from os_update_agent.testing.repository import Deb
from packages.line.others import block_in, held, let_go
from packages.node import VERSIONS_ONE, Node, wait_until

TWO = Deb("tool", "2.0-1")
LOCKS = ["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/lib/apt/lists/lock"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_is_let_go_only_delays_the_update(based: Node, lock: str) -> None:
    based.offer(TWO)
    with held(based, lock):
        running = based.start("UPDATE", "v2")
        wait_until(lambda: based.phase() != "", "the run to begin")
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1)
        assert based.versions() == VERSIONS_ONE
    done = running.wait()
    assert done.status == 0, done.complaint
    assert based.versions()["tool"] == "2.0-1"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_is_held_too_long_fails_the_update_and_names_the_holder(based: Node, lock: str) -> None:
    before = based.packages()
    based.offer(TWO)
    based.step("post-update.d/10-back")
    with held(based, lock) as holder:
        failed = based.fail("UPDATE", "v2", lock_timeout=1)
        assert holder.poll() is None
        assert f"process {holder.pid}" in failed.complaint
    assert failed.status == 75
    assert lock in failed.complaint
    assert "waited 1 s" in failed.complaint
    assert "could not be undone" not in failed.complaint and "the undo failed" not in failed.complaint
    assert based.packages() == before
    assert based.history().current == "v1"
    assert based.ran() in (
        [],
        ["post-update.d/10-back v2 update [undone]"],
        ["post-update.d/10-back v2 update [failed]"],
    )
    based.succeed("CREATE", "v2")
    assert based.versions()["tool"] == "2.0-1"


def test_a_lock_that_is_held_too_long_fails_a_restore_just_so(based: Node) -> None:
    based.offer(TWO)
    based.succeed("UPDATE", "v2")
    with held(based, "var/lib/dpkg/lock-frontend") as holder:
        failed = based.fail("UPDATE", "v1", lock_timeout=1)
        assert f"process {holder.pid}" in failed.complaint
    assert failed.status == 75
    assert based.versions()["tool"] == "2.0-1"
    assert based.history().current == "v2"
    based.succeed("UPDATE", "v1")
    assert based.versions() == VERSIONS_ONE


def test_the_lock_of_apt_s_own_download_directory_is_none_of_ours(based: Node) -> None:
    based.offer(TWO)
    with held(based, "var/cache/apt/archives/lock"):
        based.succeed("UPDATE", "v2", lock_timeout=1)
    assert based.versions()["tool"] == "2.0-1"


def test_two_deliveries_run_one_after_the_other(based: Node) -> None:
    based.offer(TWO)
    block_in(based, "pre-update.d/10-wait")
    first = based.start("UPDATE", "v2")
    wait_until(lambda: based.directory.joinpath("ran").exists(), "the first update to begin")
    second = based.start("UPDATE", "v1", resource="other")
    with pytest.raises(subprocess.TimeoutExpired):
        second.process.wait(1)
    let_go(based)
    assert first.wait().status == 0
    assert second.wait().status == 0
    with based.ledger() as ledger:
        runs = sorted(ledger.runs(), key=lambda run: run.id)
    assert [run.result for run in runs] == ["success", "success"]
    assert runs[0].finished is not None and runs[0].finished <= runs[1].started


def test_the_same_delivery_twice_at_a_time_is_one_run_and_one_answer(based: Node) -> None:
    based.offer(TWO)
    block_in(based, "pre-update.d/10-wait")
    first = based.start("UPDATE", "v2", config_id="the-one")
    wait_until(lambda: based.directory.joinpath("ran").exists(), "the update to begin")
    second = based.start("UPDATE", "v2", config_id="the-one")
    let_go(based)
    one, two = first.wait(), second.wait()
    assert one.stdout == two.stdout
    assert one.status == 0
    assert {request.body.decode() for request in based.receiver.received} == {one.stdout}
    with based.ledger() as ledger:
        assert len(ledger.runs()) == 1


def test_a_delivery_that_waits_too_long_for_another_fails_and_names_it(based: Node) -> None:
    based.offer(TWO)
    block_in(based, "pre-update.d/10-wait")
    first = based.start("UPDATE", "v2", config_id="the-first")
    wait_until(lambda: based.directory.joinpath("ran").exists(), "the first update to begin")
    failed = based.fail("UPDATE", "x", resource="other", lock_timeout=1)
    assert failed.status == 75
    assert "another os-update-agent is at work: deployment the-first (UPDATE)" in failed.complaint
    assert "(process " in failed.complaint
    assert "nothing was changed" in failed.complaint
    let_go(based)
    assert first.wait().status == 0
