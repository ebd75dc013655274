"""The worker of dnf that the agent's worker starts before anything is asked for: taken over once, ended in any case,
and never in anybody's way.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Optional

import pytest

from os_update_agent.delivery.workers import LAUNCHER
from os_update_agent.node.locks import try_lock
from os_update_agent.packages.dnf import client
from os_update_agent.packages.dnf.client import Child, child_for, end_early, start_early
from packages.node import PATIENCE, Node
from packages.scene import Pkg


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run/work"
    child = early()
    client._early = None
    if child is not None:
        child.close()


def early() -> Optional[Child]:
    return client._early


def children() -> "set[int]":
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_the_first_request_takes_it_over_and_the_next_one_starts_another(tmp_path: Path, work: Path) -> None:
    before = children()
    start_early("dnf", tmp_path, work)
    started = children() - before
    assert len(started) == 1
    child = child_for("dnf", tmp_path, work)
    assert child.is_alive and children() - before == started and early() is None
    other = child_for("dnf", tmp_path, work)
    assert other is not child and len(children() - before) == 2
    for each in (child, other):
        each.close()
    assert children() == before


def test_one_that_has_ended_is_not_taken_over(tmp_path: Path, work: Path) -> None:
    start_early("dnf", tmp_path, work)
    first = early()
    end_early()
    child = child_for("dnf", tmp_path, work)
    assert first is not None and child is not first and child.is_alive
    child.close()


def test_it_serves_no_other_root(tmp_path: Path, work: Path) -> None:
    start_early("dnf", tmp_path, work)
    child = child_for("dnf", tmp_path / "other", work)
    assert child is not early()
    child.close()


def test_there_is_none_for_apt(tmp_path: Path, work: Path) -> None:
    before = children()
    start_early("apt", tmp_path, work)
    end_early()
    assert early() is None and children() == before


def test_what_stands_in_its_way_is_no_error(tmp_path: Path, work: Path) -> None:
    """/run is full, say. The request that needs a worker reports it."""
    (tmp_path / "blocked").write_text("")
    start_early("dnf", tmp_path, tmp_path / "blocked/work")
    end_early()
    assert early() is None


def test_a_missing_library_is_no_error(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distro", None)
    start_early("auto", tmp_path, work)
    assert early() is None


ENDS = {
    "end": "sys.exit(0)",
    "end of sending": "client.end_early(); client._early._process.wait(60); sys.exit(0)",
    "exception": "raise RuntimeError",
    "kill": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_with_the_process_that_has_started_it(tmp_path: Path, how: str) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom os_update_agent.packages.dnf import client\n"
        "client.start_early('dnf', Path(sys.argv[1]), Path(sys.argv[1], 'run/work'))\n"
        f"print(client._early._process.pid, flush=True)\n{ENDS[how]}"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    child = Path(f"/proc/{int(done.stdout)}")
    if how == "kill":
        end = time.monotonic() + PATIENCE
        while child.exists() and time.monotonic() < end:
            time.sleep(0.01)
    assert not child.exists()


@pytest.mark.parametrize("is_at_work", [False, True])
def test_a_worker_that_finds_another_one_at_work_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_at_work: bool
) -> None:
    """The other one may be replacing dnf just now. A worker that only sends lets it end before that."""
    from os_update_agent import worker
    from os_update_agent.config.settings import load
    from os_update_agent.delivery import execute
    from os_update_agent.delivery.locks import WORKER

    conf = tmp_path / "agent.conf"
    paths = "".join(f"{name} = {tmp_path / name}\n" for name in ("state", "log", "run", "steps"))
    conf.write_text(f"[node]\nroot = {tmp_path / 'root'}\nbackend = dnf\n[paths]\n{paths}", encoding="utf-8")
    monkeypatch.setenv("OS_UPDATE_AGENT_CONFIG", str(conf))
    (tmp_path / "run").mkdir(mode=0o700)
    while_sending = []
    monkeypatch.setattr(execute, "send_owed", lambda *_: while_sending.append(early()))
    monkeypatch.setattr(os, "umask", lambda mode: mode)
    with try_lock(load().worker_lock, WORKER) as mine:
        assert mine
        if is_at_work:
            assert worker.main(()) == 0
    if not is_at_work:
        assert worker.main(()) == 0
    (child,) = while_sending
    client._early = None
    assert (child is None) == is_at_work
    if child is not None:
        assert not child.is_alive
        child.close()


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
    argv = [sys.executable, "-I", str(LAUNCHER), "os_update_agent.worker", "by-test"]
    assert subprocess.run(argv, env=based.environment(), check=False).returncode == 0 and not environment.exists()


def test_an_environment_that_cannot_be_removed_stops_no_worker(based: Node) -> None:
    """A directory in its place: no user, not even root, may unlink that."""
    (based.directory / "run/os-update-agent-worker-by-test.env").mkdir()
    argv = [sys.executable, "-I", str(LAUNCHER), "os_update_agent.worker", "by-test"]
    assert subprocess.run(argv, env=based.environment(), check=False).returncode == 0
    assert (based.directory / "run/worker.lock").read_text() == "by-test"
