"""The child of dnf's that a worker starts before it knows what for: taken once, ended in any case, and never in
anybody's way.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from os_update_agent.packages.dnf.client import Spare
from packages.node import Node
from packages.scene import Pkg


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "run/work"


def children() -> "set[int]":
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.parametrize("leaves", [False, True])
def test_one_that_nobody_needs_ends(tmp_path: Path, work: Path, leaves: bool) -> None:
    before = children()
    spare = Spare("dnf", tmp_path, work)
    assert len(children() - before) == 1
    if leaves:
        spare.leave()
    spare.close()
    spare.close()
    assert children() == before and spare.take() is None


def test_it_is_taken_once(tmp_path: Path, work: Path) -> None:
    before = children()
    spare = Spare("dnf", tmp_path, work)
    child = spare.take()
    assert child is not None and child.is_alive and spare.take() is None
    spare.close()
    assert child.is_alive
    child.leave()
    assert not child.is_alive
    child.close()
    assert children() == before


def test_there_is_none_for_apt(tmp_path: Path, work: Path) -> None:
    before = children()
    assert Spare("apt", tmp_path, work).take() is None and children() == before


def test_there_is_none_where_another_worker_is_at_work(tmp_path: Path, work: Path) -> None:
    before = children()
    assert Spare(None, tmp_path, work).take() is None and children() == before


def test_what_stands_in_its_way_is_no_error(tmp_path: Path) -> None:
    """/run is full, say. Whoever needs a child tells that."""
    blocked = tmp_path / "run"
    blocked.write_text("")
    spare = Spare("dnf", tmp_path, blocked / "work")
    assert spare.take() is None
    spare.close()


def test_a_missing_library_is_no_error(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distro", None)
    assert Spare("auto", tmp_path, work).take() is None


def test_a_worker_without_room_for_its_work_still_answers(based: Node) -> None:
    """Heat waits. The environment, which may hold a password, goes in any case."""
    based.offer(Pkg("tool", "2.0"))
    run = based.directory / "run"
    (run / "work").rename(run / "no-work")
    (run / "work").write_text("")
    failed = based.fail("UPDATE", "v2")
    assert (
        f"the directory {run / 'work'} cannot be made or kept private" in failed.complaint
        and "nothing was changed" in failed.complaint
    )
    environment = run / "os-update-agent-worker-by-test.env"
    environment.write_text("SECRET=1")
    argv = [sys.executable, "-m", "os_update_agent.worker", "by-test"]
    assert subprocess.run(argv, env=based.environment(), check=False).returncode == 0 and not environment.exists()


def test_it_goes_with_a_worker_that_is_killed(tmp_path: Path, work: Path) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        spare: Any = Spare("dnf", tmp_path, work)
        os.write(writing, str(spare._child._process.pid).encode())
        time.sleep(60)
        os._exit(0)
    child = int(os.read(reading, 20))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    end = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()


def test_an_environment_that_cannot_be_removed_stops_no_worker(based: Node) -> None:
    """A directory in its place: no user, not even root, may unlink that."""
    (based.directory / "run/os-update-agent-worker-by-test.env").mkdir()
    argv = [sys.executable, "-m", "os_update_agent.worker", "by-test"]
    assert subprocess.run(argv, env=based.environment(), check=False).returncode == 0
    assert (based.directory / "run/worker.ended").read_text() == "by-test"
