"""Nobody waits for ever: for a process that was stopped, for a silent server, or for name resolution (law 8).

Each fault happens to real hooks and workers. What is shortened is only how long they are patient.
"""

import os
import signal
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest

from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.node.locks import node_lock
from os_update_agent.testing.receiver import Request as Received
from os_update_agent.testing.repository import Deb
from packages.line.others import block_in, let_go
from packages.node import CHECKOUT, STACK, Node, Result, Running, wait_until

# Python runs this before the program. It sets constants in the hook's process; a worker is isolated from it.
_SITE = """
import sys
if b"package-update" in open("/proc/self/cmdline", "rb").read():
    import importlib
    for place, value in {values!r}.items():
        module, _, name = place.partition(":")
        setattr(importlib.import_module("os_update_agent." + module), name, value)
    importlib.import_module("os_update_agent.heat.signal").send.__kwdefaults__.update({send!r})
"""
# Far less than what a silent server costs: 50 s for a try, 120 s for a claim.
AT_ONCE = 20.0


def hasten(node: Node, *, sending: float = 120.0, **send: float) -> None:
    """Have the node's hooks give up a claim, or a try, earlier than they do."""
    values = {"delivery.locks:SENDING_SECONDS": sending, "delivery.outbox:SENDING_SECONDS": sending}
    place = node.directory / "site"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SITE.format(values=values, send=send), encoding="utf-8")
    node.wrapper = ("env", f"PYTHONPATH={place}:{CHECKOUT / 'agent'}")


@contextmanager
def silent(node: Node) -> Iterator[threading.Event]:
    """Heat takes every signal and does not answer until the event is set, or the block ends."""
    speaks = threading.Event()

    def answer(_: Received) -> int:
        speaks.wait(300)
        return 200

    node.receiver.answer(answer)
    try:
        yield speaks
    finally:
        speaks.set()


def posts(node: Node) -> List[str]:
    return [request.body.decode() for request in node.receiver.received if request.method == "POST"]


def seconds_of(running: Running) -> float:
    begun = time.monotonic()
    running.wait()
    return time.monotonic() - begun


def status_of(pid: int) -> Dict[str, str]:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}
    return {}


class Workers:
    """Counts the workers that are alive at the same time, until the block ends."""

    def __init__(self, node: Node) -> None:
        self.most = 0
        self.seen: Set[int] = set()
        self._node, self._is_over = node, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._is_over.wait(0.005):
            found = {pid for pid, line in self._node.processes().items() if "os_update_agent.worker" in line}
            # A program that a worker starts, or setsid that starts one, has the same command line for a moment.
            status = {pid: status_of(pid) for pid in found}
            mine = {
                pid
                for pid in found
                if status[pid].get("Name", "setsid") != "setsid" and int(status[pid]["PPid"]) not in found
            }
            self.most, self.seen = max(self.most, len(mine)), self.seen | mine

    def __enter__(self) -> "Workers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def owe(node: Node, number: int) -> str:
    """A result that is owed, as if its hook had died."""
    config_id = f"owed-{number}"
    url = node.receiver.url(f"/v1/signal/{config_id}?Signature=x")
    request = Request(SignalTarget("CFN_SIGNAL", STACK, f"node-{number}", secret={"url": url}))
    body = f'{{"deploy_status_code": 0, "deploy_stdout": "{config_id}", "deploy_stderr": ""}}'
    with node.ledger() as ledger:
        ledger.receive_answered(
            Delivery(config_id, config_id, "v", "UPDATE", 1.0, request=request), body, request.signal
        )
    return body


def test_a_stopped_sender_holds_up_nobody(based: Node) -> None:
    with silent(based) as speaks:
        first = based.start("UPDATE", "v1", config_id="the-one")
        wait_until(lambda: len(posts(based)) == 1, "the first try")
        os.kill(first.pid, signal.SIGSTOP)
        # Nothing of the node or of the ledger is held meanwhile.
        with node_lock(based.run / "lock", doing="test", timeout=0.0):
            pass
        with sqlite3.connect(based.state / "ledger.sqlite", timeout=0.0) as db:
            db.execute("BEGIN IMMEDIATE")
        db.close()
        based.receiver.answer(200)
        unsignaled = based.start("UPDATE", "v1", resource="third", deploy_signal_transport="NO_SIGNAL")
        assert seconds_of(unsignaled) < AT_ONCE
        assert seconds_of(based.start("UPDATE", "v1", resource="other")) < AT_ONCE
        hasten(based, sending=3.0)
        begun = time.monotonic()
        second = based.start("UPDATE", "v1", config_id="the-one").wait()
        assert time.monotonic() - begun < AT_ONCE
        assert f'(process {first.pid})" why="it holds it for' in second.stderr
        assert posts(based)[-1] == second.stdout
        assert based.signals()["the-one"].standing == "delivered"
        speaks.set()
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait().stdout == second.stdout


def test_a_claim_of_a_stopped_process_is_old_for_everybody(based: Node) -> None:
    """Also for a caller whose own patience is short."""
    with silent(based):
        first = based.start("UPDATE", "v1", config_id="the-one")
        wait_until(lambda: len(posts(based)) == 1, "the first try")
        os.kill(first.pid, signal.SIGSTOP)
        based.receiver.answer(200)
        hasten(based, sending=1.0)
        time.sleep(1.5)
        second = based.start("UPDATE", "v1", config_id="the-one").wait()
        assert posts(based) == [second.stdout] * 2
        os.kill(first.pid, signal.SIGKILL)


def test_deliveries_to_a_silent_server_leave_one_worker_that_sends_beside_the_one_that_works(based: Node) -> None:
    count = 6
    with silent(based) as speaks, Workers(based) as workers:
        running = []
        for number in range(count):
            running.append(based.start("UPDATE", f"w{number}", resource=f"node-{number}"))
            wait_until(lambda one=running[-1]: is_answered(based, one.id), "the result")  # type: ignore[misc]
            # From now on the worker helps its caller.
            time.sleep(0.3)
        speaks.set()
        results = [one.wait() for one in running]
    assert [result.status for result in results] == [0] * count
    based.wait_until_at_rest()
    assert {signal.standing for signal in based.signals().values()} == {"delivered"}
    assert sorted(posts(based)) == sorted(result.stdout for result in results)
    assert workers.most <= 2 <= len(workers.seen)


def is_answered(node: Node, config_id: str) -> bool:
    with node.ledger() as ledger:
        return bool(getattr(ledger.delivery(config_id), "finished", None))


def test_ten_calls_of_resume_leave_one_worker(based: Node) -> None:
    bodies = [owe(based, number) for number in range(10)]
    with silent(based) as speaks, Workers(based) as workers:
        for _ in bodies:
            begun = time.monotonic()
            based.command("resume", "--background")
            assert time.monotonic() - begun < AT_ONCE
        wait_until(lambda: bool(posts(based)), "the first try")
        # A delivery is worked on beside the one that sends.
        done = based.start("CREATE", "v1", resource="another", deploy_signal_transport="NO_SIGNAL").wait()
        assert done.status == 0
        speaks.set()
        based.wait_until_at_rest()
    assert workers.most <= 2
    assert sorted(posts(based)) == sorted(bodies)
    assert {based.signals()[f"owed-{number}"].standing for number in range(10)} == {"delivered"}


# --- signals to the hook and to the worker


def second_call(node: Node, deployment: Any, status: int = 0) -> Result:
    """A second hook gets the true result, and Heat got no other one."""
    again = node.start_with(deployment).wait()
    assert again.status == status, again.complaint
    node.wait_until_at_rest()
    assert set(posts(node)) == {again.stdout}
    assert node.signals()[again.id].standing == "delivered"
    with node.ledger() as ledger:
        assert len([run for run in ledger.runs() if run.config_id == again.id]) <= 1
        assert ledger.unfinished() == () and ledger.open_runs() == ()
    return again


ENDING = ("HUP", "INT", "TERM")


@pytest.mark.parametrize("name", [*ENDING, "PIPE", "STOP"])
def test_a_signal_to_a_hook_that_waits_for_its_worker_makes_no_false_result(based: Node, name: str) -> None:
    based.offer(Deb("tool", "2.0-1"))
    block_in(based, "pre-update.d/10-wait")
    based.wrapper = ("env", "--default-signal=INT")
    deployment = based.deployment("UPDATE", "v2")
    hook = based.start_with(deployment)
    wait_until(based.directory.joinpath("ran").exists, "the update to begin")
    os.kill(hook.pid, getattr(signal, f"SIG{name}"))
    if name in ENDING:
        assert hook.wait(AT_ONCE).stdout == ""
        let_go(based)
    else:
        let_go(based)
        if name == "STOP":
            wait_until(lambda: is_answered(based, hook.id), "the result")
            os.kill(hook.pid, signal.SIGCONT)
        hook.wait()
    printed = hook.output()[0]
    again = second_call(based, deployment)
    assert printed == ("" if name in ENDING else again.stdout)
    assert based.versions()["tool"] == "2.0-1"


@pytest.mark.parametrize("name", [*ENDING, "PIPE", "STOP"])
def test_a_signal_to_a_hook_that_sends_leaves_the_stored_result(based: Node, name: str) -> None:
    based.wrapper = ("env", "--default-signal=INT")
    deployment = based.deployment("UPDATE", "v1")
    with silent(based) as speaks:
        hook = based.start_with(deployment)
        wait_until(lambda: bool(posts(based)), "the first try")
        os.kill(hook.pid, getattr(signal, f"SIG{name}"))
        if name in ENDING:
            hook.wait(AT_ONCE)
        speaks.set()
        if name == "STOP":
            os.kill(hook.pid, signal.SIGCONT)
        hook.wait()
    printed = hook.output()[0]
    again = second_call(based, deployment)
    assert printed == ("" if name in ("HUP", "TERM") else again.stdout)


@pytest.mark.parametrize("name", [*ENDING, "PIPE", "STOP"])
def test_a_signal_to_the_worker_costs_no_result(based: Node, name: str) -> None:
    based.offer(Deb("tool", "2.0-1"))
    block_in(based, "pre-update.d/10-wait")
    deployment = based.deployment("UPDATE", "v2")
    hook = based.start_with(deployment)
    wait_until(based.directory.joinpath("ran").exists, "the update to begin")
    (worker,) = [pid for pid, line in based.processes().items() if "os_update_agent.worker" in line]
    os.kill(worker, getattr(signal, f"SIG{name}"))
    if name == "STOP":
        time.sleep(0.5)
        os.kill(worker, signal.SIGCONT)
    let_go(based)
    done = hook.wait()
    assert done.status == 0, done.complaint
    second_call(based, deployment)
    assert based.versions()["tool"] == "2.0-1"


# --- name resolution that hangs

# A name server that never answers, in a network of its own.
_NO_ANSWER = """set -e
ip link set lo up
printf 'nameserver 127.0.0.1\\noptions timeout:30 attempts:5\\n' > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
python3 -c 'import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
time.sleep(600)' &
trap "kill $!" EXIT
sleep 0.3
"$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network")
def test_a_name_that_is_never_resolved_ends_with_the_try_and_the_process_ends(based: Node) -> None:
    hasten(based, connect=1.0, read=1.0)
    text = based.directory.joinpath("site/sitecustomize.py").read_text(encoding="utf-8")
    text += "    importlib.import_module('os_update_agent.heat.signal').GRACE = 1.0\n"
    based.directory.joinpath("site/sitecustomize.py").write_text(text, encoding="utf-8")
    based.wrapper = ("unshare", "--mount", "--net", "sh", "-c", _NO_ANSWER, "sh", str(based.directory), *based.wrapper)
    begun = time.monotonic()
    result = based.deliver("UPDATE", "v1", deploy_signal_id="https://heat.example.org/v1/signal?Signature=x")
    assert result.status == 0
    assert 3 <= time.monotonic() - begun < AT_ONCE
    assert "no answer within 3 s" in result.stderr
    assert based.signals()[result.id].standing == "owed"


# --- files that are pipes


def test_a_pipe_in_the_place_of_a_file_is_an_error_and_no_wait(based: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = based.directory / "heat-config"
    os.mkfifo(metadata)
    monkeypatch.setenv("HEAT_SHELL_CONFIG", str(metadata))
    copies = based.directory / "deployed"
    copies.mkdir()
    os.mkfifo(copies / "the-one.json")
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(copies))
    based.configure()
    text = based.conf.read_text(encoding="utf-8").replace("[paths]\n", f"[paths]\ncollect_config = {metadata}\n")
    based.conf.write_text(text, encoding="utf-8")
    done = based.start("UPDATE", "v1", config_id="the-one").wait(AT_ONCE)
    assert done.status == 0
    assert posts(based) == [done.stdout]
    based.conf.unlink()
    os.mkfifo(based.conf)
    failed = based.start("UPDATE", "v1").wait(AT_ONCE)
    assert "agent.conf cannot be read: " in failed.complaint and "is a FIFO" in failed.complaint
