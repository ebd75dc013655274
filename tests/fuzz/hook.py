"""Fuzzing of the whole hook: the real program, started as heat-config starts it, on a real node with an update to do.

Everything happens in namespaces of its own: the file systems of this machine are read-only there, the node lies in
memory at /mnt, there is no network but the loopback, and no systemd. So no case can reach the packages of this machine,
nor a server, whatever it holds. Before each call the configuration is read once more: its root is the node's.

    python -m fuzz.hook N SEED           makes the namespaces and runs itself in them
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.cases import WORK, Case, cases, readable
from os_update_agent.config import settings as configuration
from os_update_agent.model.errors import AgentError
from os_update_agent.testing.repository import Deb
from packages.node import Node, Template

TESTS = Path(__file__).resolve().parents[1]
LAUNCHER = TESTS.parent / "agent/os_update_agent/launch.py"
INSIDE = "OS_UPDATE_AGENT_FUZZ_INSIDE"
# Seconds that one call may take, its worker included; most take a tenth of one.
BOUND = 60.0
# After so many calls the node is made anew: results that no server takes are tried again by each worker.
FRESH = 25

# The root that is not read-only for the hook, and the hook itself.
_NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_PREPARE = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o size=512m,mode=0755 tmpfs /mnt
[ ! -d /run/systemd ] || mount -t tmpfs tmpfs /run/systemd
for place in $(findmnt --list --noheadings --output TARGET | grep -v -E '^/(mnt|proc|dev)(/|$)'); do
    mount -o remount,bind,ro "$place"
done
ip link set lo up
exec "$@"
"""

OLD = (Deb("app", "1.0-1", fields={"Depends": "lib"}, files={"usr/app": "1"}), Deb("lib", "1.0-1"), Deb("heldpkg", "1"))
NEW = (Deb("app", "2.0-1", fields={"Depends": "lib"}, files={"usr/app": "2"}), Deb("lib", "2.0-1"))


class Wrong(Exception):
    """A case that was not survived; the text says why."""


class Runner:
    """Runs the cases one after the other, and counts."""

    def __init__(self) -> None:
        assert os.environ.get(INSIDE) == "1" and os.statvfs("/").f_flag & os.ST_RDONLY, "not in the namespaces"
        self.ran = self.survived = 0
        (WORK / "template").mkdir()
        template = Template.made_in(WORK / "template", "apt", OLD, NEW, ("app", "heldpkg"))
        with Node(WORK / "based", template) as node:
            node.succeed("CREATE", "v1")
            node.offer_two()
        self._template = template.advanced(WORK / "based")
        self._node: Optional[Node] = None
        self._calls = 0

    def one(self, case: Case) -> None:
        """Run one case. Print it if it is not survived."""
        self.ran += 1
        try:
            self._survive(case)
            self.survived += 1
        except Wrong as error:
            self._fresh()
            print(f"NOT survived: {error}\n  {readable(case)}", flush=True)

    def _fresh(self) -> Node:
        if self._node is not None:
            self._node.__exit__()
            shutil.rmtree(self._node.directory)
        self._node = Node(WORK / "node", self._template)
        self._node.__enter__()
        self._calls = 0
        return self._node

    def _survive(self, case: Case) -> None:
        node = self._fresh() if self._node is None or self._calls >= FRESH else self._node
        self._calls += 1
        configure(node, case.defaults)
        before = fingerprint(node)
        done, took = self._call(node, case)
        said = done.stdout + done.stderr
        if done.returncode != 0:
            raise Wrong(f"exit status {done.returncode}: {done.stderr[-600:]!r}")
        if took > BOUND:
            raise Wrong(f"it took {took:.0f} s")
        if b"Traceback" in said or b"Exception ignored" in said:
            raise Wrong(f"a traceback: {said[-1500:]!r}")
        answer = _answer(done.stdout)
        if fingerprint(node) == before:
            return
        told = str(answer.get("deploy_stdout"))
        if answer["deploy_status_code"] != 0 or not ("updated to" in told or "restored" in told):
            raise Wrong(f"something has changed, and the answer does not say so: {answer!r}")
        if node.hand.faults():
            raise Wrong(f"what is installed is not whole: {node.hand.faults()}")

    def _call(self, node: Node, case: Case) -> "tuple[subprocess.CompletedProcess[bytes], float]":
        environment = {
            **os.environ,
            **case.environment,
            # Never the configuration of this machine.
            "OS_UPDATE_AGENT_CONFIG": str(node.conf),
            "HEAT_CONFIG_DEPLOYED": str(node.directory / "deployed"),
        }
        directory = case.directory if os.path.isdir(case.directory) else "/"
        text = case.stdin.replace("URL/", node.receiver.url("/"))
        argv = [sys.executable, "-I", str(LAUNCHER), "os_update_agent.hook"]
        begun = time.monotonic()
        try:
            done = subprocess.run(
                argv,
                input=text.encode("utf-8", "surrogatepass"),
                capture_output=True,
                cwd=directory,
                env=environment,
                umask=case.umask,
                timeout=BOUND,
            )
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"it takes more than {BOUND:g} s: {error.stderr!r}") from error
        finally:
            # The worker may still be sending.
            _wait_for_the_end(begun + BOUND)
        return done, time.monotonic() - begun


def configure(node: Node, defaults: str) -> None:
    """Write agent.conf with these defaults. Raises AssertionError if another root came out of it."""
    node.configure()
    # A carriage return or a form feed could end the line that the reader sees.
    text = node.conf.read_text(encoding="utf-8")
    node.conf.write_bytes((text + defaults).encode("utf-8", "surrogateescape"))
    try:
        found = configuration.load(str(node.conf))
    except AgentError:
        # The hook reads nothing else from it.
        return
    places = (found.root, found.state, found.log, found.run, found.steps)
    assert all(WORK in place.parents for place in places), places
    assert found.root == node.root and found.systemctl is None and found.metrics is None


def fingerprint(node: Node) -> str:
    """Return a digest of everything in the root that an answer has to speak of."""
    digest = hashlib.sha256()
    for path in sorted(node.root.rglob("*")):
        place = path.relative_to(node.root)
        # The indexes of the repositories, logs, locks, and the time at which dpkg wrote.
        if place.parts[:1] == ("var",) and place.parts[:4] != ("var", "lib", "dpkg", "status"):
            continue
        status = path.lstat()
        digest.update(f"{place} {status.st_mode} {status.st_uid}".encode("utf-8", "surrogateescape"))
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _answer(stdout: bytes) -> Dict[str, object]:
    try:
        answer = json.loads(stdout)
    except ValueError as error:
        raise Wrong(f"no single JSON object: {stdout[-600:]!r}") from error
    if not isinstance(answer, dict) or type(answer.get("deploy_status_code")) is not int:
        raise Wrong(f"no object with an integer status: {stdout[-600:]!r}")
    if answer["deploy_status_code"] == 70:
        raise Wrong(f"an expected fault is called a bug: {answer.get('deploy_stderr')!r}")
    return answer


def _wait_for_the_end(end: float) -> None:
    """Wait until no process of the hook is left. In this PID namespace there are only the runner and its children."""
    while True:
        left = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
        with_command = [pid for pid in left if _command(pid)]
        if not with_command:
            _reap()
            return
        if time.monotonic() > end:
            raise Wrong(f"processes are left: {[_command(pid) for pid in with_command]}")
        time.sleep(0.005)


def _reap() -> None:
    """Forget the ended processes: this one is the first of its namespace, and gets the orphans."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


def inside(inputs: int, number: int) -> int:
    """Run the cases. Return the exit status: 1 unless all survived."""
    runner = Runner()

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def run(case: Case) -> None:
        if runner.ran < inputs:
            runner.one(case)

    while runner.ran < inputs:
        run()
    print(f"{runner.ran} inputs, {runner.survived} survived", flush=True)
    return int(runner.survived != runner.ran)


def command(inputs: int, number: int) -> List[str]:
    """Return the words that fuzz the hook in namespaces of its own."""
    return [*_NAMESPACES, "sh", "-c", _PREPARE, "sh", sys.executable, "-m", "fuzz.hook", str(inputs), str(number)]


def environment() -> Dict[str, str]:
    """Return the environment of the runner."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {
        **inherited,
        INSIDE: "1",
        "PYTHONPATH": f"{TESTS.parent / 'agent'}:{TESTS}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(WORK),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(WORK / "hypothesis"),
    }


def main() -> int:
    if len(sys.argv) != 3:
        sys.exit("usage: tests/run fuzz-hook N SEED, such as: tests/run fuzz-hook 5000 1")
    inputs, number = int(sys.argv[1]), int(sys.argv[2])
    if os.environ.get(INSIDE) == "1":
        return inside(inputs, number)
    return subprocess.run(command(inputs, number), env=environment()).returncode


if __name__ == "__main__":
    sys.exit(main())
