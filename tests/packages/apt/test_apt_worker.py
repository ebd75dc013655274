"""The process that reads apt's index: how it ends, and that the next request gets another one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Selection
from os_update_agent.packages.apt.protocol import Available
from os_update_agent.packages.worker.child import WorkerProcess
from packages.apt.index import Index
from packages.node import wait_until

# It answers once with something else than JSON, and would wait for the next request.
ANSWERS_NONSENSE = """
import socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
link.recv(1 << 16)
link.sendall(b"nonsense\\n")
link.settimeout(20)
while link.recv(1 << 16):
    pass
"""

LEFT_BEHIND = """
import sys, time
from pathlib import Path
from os_update_agent.model.packages import Selection
from os_update_agent.packages.apt.backend import Apt
apt = Apt(*map(Path, sys.argv[1:4]))
with apt.session():
    apt.candidates(apt.capture(), Selection())
    print(apt._child._process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = Index(tmp_path)
    index.install("app")
    index.offer("app")
    assert index.plan() == ({"app": "2"}, {})
    return index


def test_a_worker_that_was_killed_is_an_error_and_another_one_answers(index: Index) -> None:
    apt, state = index.apt, index.apt.capture()
    with apt.session():
        first = apt.candidates(state, Selection())
        child = apt._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGSTOP)
        os.kill(child._process.pid, signal.SIGKILL)
        try:
            again = apt.candidates(state, Selection())
        except PackageError as error:
            # The kill came after the request.
            assert "without an answer" in str(error)
            again = apt.candidates(state, Selection())
        assert again == first and apt._child is not child


def test_a_worker_ends_after_an_agent_that_was_killed(index: Index) -> None:
    places = (str(index.root), str(index.work), str(index.work))
    agent = subprocess.Popen(
        [sys.executable, "-c", LEFT_BEHIND, *places], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert agent.stdout is not None
    with agent.stdout as output:
        line = Path("/proc", output.readline().strip(), "cmdline")
        assert b"worker/main.py" in line.read_bytes()
        agent.kill()
        agent.wait()
    wait_until(lambda: not line.exists() or not line.read_bytes(), "the worker's end")


def test_an_answer_that_cannot_be_read_is_no_reason_to_wait_for_the_worker(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(ANSWERS_NONSENSE, encoding="utf-8")
    begun = time.monotonic()
    worker = WorkerProcess("apt", sys.executable, program, (), work=tmp_path, env=os.environ)
    assert "apt ended with exit status 0 and without an answer" in worker.ask(Available(())).error
    assert time.monotonic() - begun < 15 and not worker.is_alive
    worker.close()
