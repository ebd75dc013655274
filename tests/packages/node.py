"""A whole node in a directory: a private root, its repository, Heat's side of the signals, and the real hook program
between them.
"""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from os_update_agent.config.settings import load
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.model.package_files import ArchiveEntry
from os_update_agent.model.packages import PackageState
from os_update_agent.model.runs import History, Run
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.testing.receiver import Receiver, Request
from os_update_agent.text.outputs import OUTPUTS
from packages.hand import Hand
from packages.hand_apt import AptHand
from packages.hand_rpm import Dnf5Hand, DnfHand
from packages.scene import INSTALLED, ONE, TWO, VERSIONS_ONE, VERSIONS_TWO, Pkg

CHECKOUT = Path(__file__).parents[2]
HOOK = CHECKOUT / "hooks/package-update"
# Nothing here takes so long: who waits longer waits for something that never comes.
PATIENCE = 240.0

STACK, SERVER, RESOURCE = "web/68c97fbe", "fcdbf267", "update"
SIGNATURE = "c2VjcmV0LW9mLXRoZS1zaWduYWw"
DECLARED = [{"name": name, "type": "String"} for name in OUTPUTS]

HANDS: Dict[str, Type[Hand]] = {hand.kind: hand for hand in (AptHand, DnfHand, Dnf5Hand)}

__all__ = ["ONE", "TWO", "VERSIONS_ONE", "VERSIONS_TWO", "Node", "Pkg", "Result", "Running", "Template", "wait_until"]


@dataclass(frozen=True)
class Result:
    """What one run of the hook came to. ``received`` are the signals that arrived until it ended; ``id`` is the config
    id.
    """

    id: str
    returncode: int
    stdout: str
    stderr: str
    received: Tuple[Request, ...]

    @property
    def body(self) -> Dict[str, Any]:
        body = json.loads(self.stdout)
        assert isinstance(body, dict), body
        return body

    @property
    def status(self) -> int:
        return int(self.body["deploy_status_code"])

    @property
    def told(self) -> str:
        """What the operator reads in case of success."""
        return str(self.body["deploy_stdout"])

    @property
    def complaint(self) -> str:
        """What the operator reads in case of failure."""
        return str(self.body["deploy_stderr"])

    @property
    def changes(self) -> Dict[str, Tuple[Optional[str], Optional[str]]]:
        return {change["name"]: (change["before"], change["after"]) for change in self.body["changes"]["changes"]}

    @property
    def held_back(self) -> Dict[str, str]:
        return {item["name"]: item["reason"] for item in self.body["held_back"]}


class Running:
    """A hook that has been started with a deployment and not waited for."""

    def __init__(self, node: "Node", deployment: Mapping[str, Any], wrapper: Sequence[str]) -> None:
        self.node = node
        self.id = str(deployment.get("id", ""))
        self._first = len(node.receiver.received)
        # Files, not pipes: a child that holds a pipe open would let us wait for it and not for the hook.
        self._files = [node.directory / f"hook-{node.count}.{name}" for name in ("out", "err")]
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            argv = [*wrapper, *node.hand.wrapper, *node.hook]
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err, env=node.environment())
        assert self.process.stdin is not None
        # Nobody reads it where a wrapper has closed the standard input.
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(deployment).encode())
            self.process.stdin.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, patience: float = PATIENCE) -> Result:
        try:
            self.process.wait(patience)
        finally:
            self.process.kill()
        out, err = self.output()
        return Result(self.id, self.process.returncode, out, err, tuple(self.node.receiver.received[self._first :]))

    def output(self) -> Tuple[str, str]:
        """Standard output and standard error so far."""
        out, err = (path.read_text(encoding="utf-8") for path in self._files)
        return out, err


class Node:
    """Use as a context manager: the receiver listens in between.

    ``hook`` is the hook's command. ``wrapper`` is put before it, to run it under another program. ``hand`` is the
    operator's, and knows which package manager this is; nothing else here does.
    """

    def __init__(self, directory: Path, template: "Template") -> None:
        self.directory = directory
        self.template = template
        self.count = 0
        shutil.copytree(template.directory, directory, dirs_exist_ok=True, symlinks=True)
        self.hand = HANDS[template.kind](directory)
        self.root = self.hand.root
        self.state, self.log, self.run, self.steps = (directory / name for name in ("state", "log", "run", "steps"))
        self.archive = self.state / "archive"
        self.conf = directory / "agent.conf"
        self.receiver = Receiver()
        self.wrapper: Tuple[str, ...] = ()
        self.hook: Tuple[str, ...] = (self.hand.python, str(HOOK))
        self.hand.use()
        self.configure()

    def __enter__(self) -> "Node":
        self.receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_workers()
        self.receiver.__exit__(None, None, None)

    def _end_workers(self) -> None:
        """A worker outlives its hook, and may still try to send what this node's receiver does not want."""
        self.kill(self.processes())

    def processes(self) -> Dict[int, str]:
        """What is at work on this node just now, by process id, each with its command line."""
        mine = f"OS_UPDATE_AGENT_CONFIG={self.conf}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(process.name) != os.getpid() and mine in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (
                        (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    )
        return found

    def wait_until_at_rest(self) -> None:
        """A worker tries to send what its caller could not: until that has been."""
        wait_until(lambda: not self.processes(), "the worker's end")

    def package_managers(self) -> List[int]:
        """Of those, all that are not the agent's own."""
        agent = ("bin/package-update", "hooks/package-update", "os_update_agent.worker", "-m os_update_agent")
        return [pid for pid, line in self.processes().items() if line and not any(own in line for own in agent)]

    def kill(self, pids: Iterable[int], number: int = signal.SIGKILL) -> None:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, number)

    # --- what is there before a delivery

    @property
    def apt(self) -> Any:
        """For tests of what only a node with apt has."""
        assert isinstance(self.hand, AptHand)
        return self.hand.apt

    @property
    def dnf(self) -> DnfHand:
        """For tests of what only a node with dnf has."""
        assert isinstance(self.hand, DnfHand)
        return self.hand

    @property
    def repository(self) -> Any:
        return self.hand.repository

    def use_sources(self, *lines: str) -> None:
        assert isinstance(self.hand, AptHand)
        self.hand.use_sources(*lines)

    def configure(self, more: str = "", systemctl: Optional[Path] = None, **defaults: object) -> None:
        """Write agent.conf. The signals of a test go to a receiver that answers at once or is meant not to."""
        options = {"signal_timeout": 0.1, "script_timeout": PATIENCE, **defaults}
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        self.conf.write_text(
            f"[node]\nroot = {self.root}\nbackend = {self.hand.backend}\nsystemctl = {systemctl or ''}\n"
            f"[paths]\nstate = {self.state}\nlog = {self.log}\nrun = {self.run}\nsteps = {self.steps}\n"
            f"[defaults]\n{lines}{more}",
            encoding="utf-8",
        )

    def offer(self, *pkgs: Any, security: Sequence[Pkg] = ()) -> None:
        """The repository has these packages too, from now on."""
        self.hand.add(*pkgs)
        self.hand.publish(security)

    def offer_two(self) -> None:
        """The second release: new, renamed, removed packages, an epoch, and a newer version of the held one."""
        self.hand.add_files(self.template.two)
        self.hand.publish()

    def withdraw(self, version: str, *names: str) -> None:
        """The repository has this version of the packages no longer."""
        for name in names:
            self.hand.remove_from_repository(name, version)
        self.hand.publish()

    def tree(self) -> Dict[str, Tuple[str, int, int, str]]:
        """Every path of the root with its mode, owner, group and content, except for what MAY_DIFFER names."""
        found = {}
        for directory, names, files in os.walk(self.root):
            places = [os.path.relpath(os.path.join(directory, name), self.root) for name in (*names, *files)]
            names[:] = [name for name in names if not may_differ(os.path.relpath(f"{directory}/{name}", self.root))]
            for place in places:
                if not may_differ(place):
                    found[place] = _looks(self.root / place)
        return found

    def install_by_hand(self, *names: str) -> None:
        self.hand.install(*names)

    def step(self, place: str, body: str = "", mode: int = 0o755) -> Path:
        """A step of the operator, "pre-update.d/10-drain"; it writes a line into the file ``ran`` first."""
        path = self.steps / place
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        line = f"{place} $OS_UPDATE_VALUE $OS_UPDATE_OPERATION [$OS_UPDATE_OUTCOME]"
        path.write_text(f'#!/bin/sh\necho "{line}" >> {self.directory}/ran\n{body}\n', encoding="utf-8")
        path.chmod(mode)
        return path

    def ran(self) -> List[str]:
        """What the steps have written, and forgotten by this."""
        path = self.directory / "ran"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    # --- deliveries

    def cut_off(self, action: str, value: str) -> Dict[str, Any]:
        """Start a delivery, and end all of its processes while a script of its transaction waits. Returns the
        delivery.
        """
        deployment = self.deployment(action, value)
        running = self.start_with(deployment)
        wait_until(lambda: self.hand.is_waiting() or running.process.poll() is not None, "the script")
        assert self.hand.is_waiting(), running.output()
        self.kill(self.processes())
        running.process.wait()
        self.hand.let_go()
        wait_until(lambda: not self.processes(), "the end of all processes")
        return deployment

    def deployment(
        self, action: str, value: Any, *, config_id: str = "", resource: str = RESOURCE, config: Any = "", **inputs: Any
    ) -> Dict[str, Any]:
        """A delivery as Heat makes it, signed for the receiver. ``inputs`` are options, or Heat's own (deploy_*)."""
        self.count += 1
        own = {
            "deploy_server_id": SERVER,
            "deploy_action": action,
            "deploy_stack_id": STACK,
            "deploy_resource_name": resource,
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": self.receiver.url(f"/v1/signal/{resource}?Signature={SIGNATURE}"),
            "deploy_signal_verb": "POST",
            "update_after_time": value,
        }
        return {
            "id": config_id or str(uuid.uuid4()),
            "name": "update",
            "group": "package-update",
            "config": config,
            "options": {},
            "inputs": [{"name": name, "type": "String", "value": given} for name, given in {**own, **inputs}.items()],
            "outputs": DECLARED,
        }

    def start(self, action: str, value: Any, **options: Any) -> Running:
        return self.start_with(self.deployment(action, value, **options))

    def start_with(self, deployment: Mapping[str, Any]) -> Running:
        return Running(self, deployment, self.wrapper)

    def deliver(self, action: str, value: Any, **options: Any) -> Result:
        result = self.start(action, value, **options).wait()
        assert result.returncode == 0, result.stderr
        return result

    def succeed(self, action: str, value: Any, **options: Any) -> Result:
        result = self.deliver(action, value, **options)
        assert result.status == 0, result.complaint
        return result

    def fail(self, action: str, value: Any, **options: Any) -> Result:
        """The delivery fails, and says so to the operator and to Heat."""
        result = self.deliver(action, value, **options)
        assert result.status != 0, result.told
        assert result.complaint.strip()
        assert "Traceback" not in result.stdout + result.stderr
        return result

    def command(self, *argv: str) -> str:
        """What the operator's command prints; it has to succeed."""
        call = [*self.hand.wrapper, self.hand.python, "-m", "os_update_agent", *argv]
        done = subprocess.run(
            call, env=self.environment(), capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def plan(self, *argv: str) -> Dict[str, Any]:
        """The document of ``plan`` for the key of the deliveries."""
        document = json.loads(self.command("plan", "--key", f"{STACK}/{RESOURCE}@{SERVER}", "--json", *argv))
        assert isinstance(document, dict), document
        return document

    def environment(self) -> Dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**inherited, "PYTHONPATH": str(CHECKOUT / "agent"), "OS_UPDATE_AGENT_CONFIG": str(self.conf)}

    # --- what is there afterwards

    def packages(self) -> Any:
        return self.hand.state()

    def versions(self) -> Dict[str, str]:
        return self.hand.versions()

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = Ledger(self.state / "ledger.sqlite")
        try:
            yield ledger
        finally:
            ledger.close()

    def history(self, resource: str = RESOURCE) -> History:
        with self.ledger() as ledger:
            return ledger.history(f"{STACK}/{resource}@{SERVER}")

    def recorded(self, value: str) -> PackageState:
        record = self.history().record(value)
        assert record is not None and record.state is not None, f"no state is recorded under {value!r}"
        with self.ledger() as ledger:
            return ledger.state(record.state)

    def last_run(self) -> Run:
        with self.ledger() as ledger:
            return ledger.runs(limit=1)[0]

    def phase(self) -> str:
        """Of the newest run, also while it is at work."""
        with self.ledger() as ledger:
            return next((run.phase for run in ledger.runs(limit=1)), "")

    def signals(self) -> Dict[str, OwedSignal]:
        with self.ledger() as ledger:
            return {signal.config_id: signal for signal in ledger.signals()}

    def kept(self) -> Dict[str, ArchiveEntry]:
        """The archive's entries by "name version"."""
        with self.ledger() as ledger:
            return {f"{entry.name} {entry.version}": entry for entry in ledger.archive_entries()}

    def site(self) -> Site:
        return open_site(load(str(self.conf)))

    def run_log(self) -> str:
        return Path(self.last_run().log).read_text(encoding="utf-8", errors="replace")


# What a way there and back may leave different: the package managers' databases, logs, caches, locks and indexes.
MAY_DIFFER = (
    *("var/lib/dpkg", "var/lib/apt", "var/lib/rpm", "var/lib/dnf", "usr/lib/sysimage", "usr/lib/locale"),
    *("var/cache", "var/log", "run", "var/run", "tmp", "dev", "proc", "etc/dnf", "etc/apt", "etc/yum.repos.d"),
)


@dataclass(frozen=True)
class Template:
    """A node's directory to be copied for each new node, and release two lying ready."""

    kind: str
    directory: Path
    two: Path

    @classmethod
    def made_in(
        cls,
        directory: Path,
        kind: str = "apt",
        one: Sequence[Any] = ONE,
        two: Sequence[Any] = TWO,
        installed: Sequence[str] = INSTALLED,
    ) -> "Template":
        """A repository with release one, and a root that has it installed, with one package held."""
        self = cls(kind, directory / "node", directory / "two")
        self.directory.mkdir()
        hand = HANDS[kind](self.directory)
        hand.add(*one)
        hand.publish()
        hand.build(two, self.two)
        hand.make(*installed)
        hand.hold("heldpkg")
        return self

    def recorded(self, directory: Path) -> "Template":
        """The same with a node, in the new directory, that has recorded release one as its baseline "v1"."""
        with Node(directory, self) as node:
            node.succeed("CREATE", "v1")
        return self.advanced(directory)

    def advanced(self, directory: Path) -> "Template":
        """The same with a node that has come further."""
        return replace(self, directory=directory)


def may_differ(place: str) -> bool:
    return place in MAY_DIFFER or any(place.startswith(f"{one}/") for one in MAY_DIFFER)


def _looks(path: Path) -> Tuple[str, int, int, str]:
    status = path.lstat()
    if path.is_symlink():
        content = os.readlink(path)
    else:
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, content


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a condition that another process brings about."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.02)
