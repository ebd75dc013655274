"""A node whose verbs and whose hook run in the process of the test: hundreds of cases take seconds."""

import io
import json
import os
import signal
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from os_update_agent import hook
from os_update_agent.cli import main
from os_update_agent.cli.parser import build_parser
from os_update_agent.delivery import execute, workers
from os_update_agent.delivery.outbox import Patience
from os_update_agent.model.errors import AgentError
from os_update_agent.runs import engine


class Hangs(BaseException):
    """The agent waits where it must not. No ``except Exception`` of the agent hides it."""


class InsideNode:
    """Runs verbs and deliveries. ``directory`` has state, log, run, steps, and a root without packages."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.ledger = directory / "state/ledger.sqlite"
        self.conf = directory / "agent.conf"
        self._capsys = capsys

    def call(self, *argv: str) -> Tuple[int, str, str]:
        """Return the exit status of a verb, and what it has printed to both streams."""
        self._capsys.readouterr()
        status = main.main(["--config", str(self.conf), *argv])
        return (status, *self._capsys.readouterr())

    def document(self, verb: str, *argv: str) -> Dict[str, Any]:
        status, out, err = self.call(verb, *argv, "--json")
        assert status == 0, err
        found: Dict[str, Any] = json.loads(out)
        return found

    def deliver(self, config_id: str, action: str = "UPDATE", **given: Any) -> Dict[str, Any]:
        """Return the result that the hook prints for a deployment with these inputs."""
        inputs = {"deploy_action": action, "deploy_stack_id": "web/1", "deploy_resource_name": config_id, **given}
        items = [{"name": name, "value": value} for name, value in inputs.items()]
        answer = io.StringIO()
        text = json.dumps({"id": config_id, "inputs": items, "outputs": []})
        assert hook.main(io.TextIOWrapper(io.BytesIO(text.encode())), answer) == 0
        body: Dict[str, Any] = json.loads(answer.getvalue())
        return body


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory in memory, if there is one: the ledger flushes each write to the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


def prepared(directory: Path) -> None:
    """Make the directories of a node and its agent.conf."""
    for name in ("root", "steps"):
        (directory / name).mkdir()
    paths = "".join(f"{name} = {directory}/{name}\n" for name in ("state", "log", "run", "steps"))
    paths += f"collect_config = {directory}/collect.conf\n"
    text = f"[node]\nroot = {directory}/root\nbackend = apt\nsystemctl =\n[paths]\n{paths}"
    (directory / "agent.conf").write_text(text, encoding="utf-8")


def inside(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process be the worker of a prepared directory. Each of its runs fails at once."""

    def perform(*_: object) -> None:
        raise AgentError("this node has no packages")

    def start_worker(site: Any) -> str:
        execute.resume(site, Patience(0.0), name="worker")
        return "worker"

    # This process goes on to other tests.
    monkeypatch.setattr(hook, "correct_inheritance", lambda umask: None)
    monkeypatch.setattr(engine, "perform", perform)
    monkeypatch.setattr(workers, "_started", start_worker)
    monkeypatch.setattr(workers, "START_SECONDS", 0.2)
    monkeypatch.setattr(main, "build_parser", cache(build_parser))
    monkeypatch.setenv("HEAT_SHELL_CONFIG", str(directory / "heat-config"))
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(directory / "deployed"))
    monkeypatch.setenv("OS_UPDATE_AGENT_CONFIG", str(directory / "agent.conf"))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Hangs if the block takes longer."""

    def expired(*_: object) -> None:
        raise Hangs(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def unprintable(text: str) -> List[str]:
    """Return the characters that must not reach a terminal or a log."""
    return sorted({one for one in text if not one.isprintable() and one != "\n"})


def forget(path: Path) -> None:
    """Remove what is at the path, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            forget(inner)
        os.rmdir(path)
    else:
        path.unlink(missing_ok=True)
