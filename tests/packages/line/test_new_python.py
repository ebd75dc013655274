"""An update that replaces the system's Python while the agent works, with a real one: in a mount namespace, /usr
becomes that of Debian sid in the middle of the transaction. The agent is installed as install-hook installs it.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from os_update_agent.install import target
from os_update_agent.install.layout import PROGRAMS
from os_update_agent.ledger import Ledger
from os_update_agent.model.phases import TRANSACT
from os_update_agent.testing.receiver import Request
from os_update_agent.testing.repository import Deb
from packages import sid
from packages.node import Node, wait_until

PYTHON = "python3-minimal"
OLD, NEW = Deb(PYTHON, "3.11.2-1"), "3.14.0-1"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an agent that install-hook has put into a root."""
    root = tmp_path_factory.mktemp("installed")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3").touch()
    target.install(target.target(root), lambda _: None)
    return root / PROGRAMS.lstrip("/")


class Machine:
    """A node in a mount namespace of its own, whose /usr can be replaced."""

    def __init__(self, node: Node, code: Path) -> None:
        self.node, self.code = node, code
        self._holder = subprocess.Popen(["unshare", "--mount", "sleep", "infinity"])
        own = Path("/proc/self/ns/mnt").readlink()
        namespace = Path(f"/proc/{self._holder.pid}/ns/mnt")
        wait_until(lambda: namespace.readlink() != own, "the namespace")
        self.inside = ("nsenter", f"--mount={namespace}")
        node.wrapper, node.hook = self.inside, (str(code / "package-update"),)

    def end(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def python(self) -> str:
        return self._run("/usr/bin/python3", "-I", "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()

    def command(self, *arguments: str) -> str:
        return self._run(str(self.code / "os-update-agent"), *arguments)

    def _run(self, *argv: str) -> str:
        environment = self.node.environment()
        done = subprocess.run([*self.inside, *argv], env=environment, cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def offer_new_python(self, then: str = "") -> None:
        """The update replaces all of /usr while another package of it is still to be configured."""
        switch = f"mount --rbind {sid.root()}/usr /usr; ! ls /usr/lib/python3.11/json > /dev/null 2>&1"
        self.node.offer(Deb(PYTHON, NEW, scripts={"postinst": f"{switch}\n{then}"}), Deb("tool", "2.0-1"))


@pytest.fixture
def machine(based: Node, code: Path) -> Iterator[Machine]:
    sid.needed()
    based.offer(OLD)
    based.install_by_hand(PYTHON)
    machine = Machine(based, code)
    yield machine
    based.wait_until_at_rest()
    machine.end()


class Answers:
    """These statuses, one for each request, and then 200."""

    def __init__(self, *statuses: int) -> None:
        self._left = list(statuses)

    def __call__(self, _: Request) -> int:
        return self._left.pop(0) if self._left else 200


def versions(node: Node) -> Tuple[str, str]:
    return node.versions()[PYTHON], node.versions()["tool"]


def test_a_run_that_replaces_python_comes_to_its_end_and_the_next_python_goes_back(machine: Machine) -> None:
    node = machine.node
    old = machine.python()
    machine.offer_new_python()
    done = node.succeed("UPDATE", "v2")
    assert "Traceback" not in done.stderr and versions(node) == (NEW, "2.0-1")
    assert [request.body.decode() for request in done.received] == [done.stdout]
    assert machine.python() != old

    status = json.loads(machine.command("status", "--json"))
    assert status["last_run"]["result"] == "success" and status["signals"]["owed"] == []
    assert "nothing is owed" in machine.command("resume")
    back = node.succeed("UPDATE", "v1")
    assert "Traceback" not in back.stderr
    # The state of v1 as the node left it: with the package that was installed by hand.
    assert versions(node) == (OLD.version, "1.0-1")
    assert [request.body.decode() for request in back.received] == [back.stdout]


def test_a_worker_whose_python_is_gone_undoes_what_failed_and_sends_the_result_alone(machine: Machine) -> None:
    """os-collect-config may be restarted together with the hook, and the libraries for sending are loaded late."""
    node = machine.node
    node.configure(signal_timeout=60.0)
    node.step("health.d/10-look", "exit 1")
    node.receiver.answer(Answers(503, 503))
    changed, go = node.directory / "changed", node.directory / "go"
    machine.offer_new_python(then=f"touch {changed}; while [ ! -e {go} ]; do sleep 0.1; done")
    running = node.start("UPDATE", "v2")
    wait_until(changed.exists, "the change of Python")
    node.kill([running.pid])
    go.touch()
    node.wait_until_at_rest()
    assert node.last_run().result == "undone" and versions(node) == (OLD.version, "1.0-1")
    first, second, third = node.receiver.received
    assert first.body == second.body == third.body and b"was undone" in third.body
    assert "No module named" not in (node.log / "worker.log").read_text()


def test_the_next_python_takes_up_a_run_whose_worker_was_killed_after_the_change(machine: Machine) -> None:
    node = machine.node
    changed = node.directory / "changed"
    machine.offer_new_python(then=f"[ -e {changed} ] || {{ touch {changed}; sleep 60; }}")
    deployment = node.deployment("UPDATE", "v2")
    running = node.start_with(deployment)
    wait_until(changed.exists, "the change of Python")
    assert node.phase() == TRANSACT
    node.kill(node.processes())
    running.process.wait()
    wait_until(lambda: not node.processes(), "the end of all processes")
    with node.ledger() as ledger:
        begun_by_another_version(ledger)

    machine.command("resume", "--patience", "60")
    node.wait_until_at_rest()
    run = node.last_run()
    assert run.result == "success" and versions(node) == (NEW, "2.0-1"), run.failure
    (signal,) = node.receiver.received
    assert json.loads(signal.body)["deploy_status_code"] == 0
    assert "the run was begun by os-update-agent 0.0.9 and taken up by os-update-agent" in "\n".join(run.notes)
    # The same delivery again has its answer, and is not sent a second time.
    again = node.start_with(deployment).wait()
    assert again.stdout == signal.body.decode() and again.received == ()


def begun_by_another_version(ledger: Ledger) -> None:
    (run,) = ledger.open_runs()
    assert run.agent
    ledger.save_run(replace(run, agent="0.0.9"))
