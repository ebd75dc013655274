"""Small nodes for the kill tests: a private root of apt or a dnf, the agent's own directories beside it, and one
delivery to be done.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Type, Union

from kills.death import Death
from kills.disk import Disk, SmallDisk
from kills.nursery import AGENT, Nursery
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings, load
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Output, Request, SignalTarget
from os_update_agent.model.packages import PackageState
from os_update_agent.node.locks import is_held
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.dnf.backend import RpmBackend
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.dnf5 import Dnf5
from os_update_agent.testing import repository as debs
from os_update_agent.testing import rpm_repository as rpms
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.repository import Deb
from os_update_agent.testing.rpm_repository import Rpm
from packages import sid
from packages.hand_rpm import Dnf5Hand, DnfHand

HOOK = AGENT.parent / "hooks/package-update"
STACK, SERVER = "stack/1", "server"
KEY = f"{STACK}/update@{SERVER}"
UPDATE, FAILING, RESTORE = "update", "failing", "restore"
SCENARIOS = (UPDATE, FAILING, RESTORE)
VALUES = {UPDATE: "v2", FAILING: "v3", RESTORE: "v1"}
SIGNATURE = "c2VjcmV0LW9mLXRoZS1zaWduYWw"
LOCK_SECONDS = 60.0

_SLOW = "i=0; while [ $i -lt 3 ]; do sleep 0.05; i=$((i+1)); done"
_SLOW_LUA = "local t = os.clock(); while os.clock() - t < 0.1 do end"

OLD_DEBS = (
    Deb("app", "1.0-1", fields={"Depends": "libapp (>= 1.0)"}, files={"usr/share/app": "1\n"}),
    Deb("libapp", "1.0-1"),
    Deb("oldname", "1.0-1"),
    Deb("wants-new", "1.0-1", fields={"Depends": "oldname"}),
    *(Deb(name, "1.0-1") for name in ("slow", "fragile", "held")),
)
NEW_DEBS = (
    Deb(
        "app",
        "2.0-1",
        fields={"Depends": "libapp (>= 2.0), app-extra"},
        files={"usr/share/app": "2\n"},
        scripts={"postinst": _SLOW},
    ),
    Deb("libapp", "2.0-1", fields={"Breaks": "app (<< 2.0)"}),
    Deb("app-extra", "2.0-1"),
    Deb("newname", "2.0-1", fields={"Conflicts": "oldname", "Replaces": "oldname", "Provides": "oldname"}),
    Deb("wants-new", "2.0-1", fields={"Depends": "newname"}),
    Deb("slow", "2.0-1", scripts={"preinst": _SLOW, "postinst": _SLOW}),
    Deb("held", "2.0-1"),
)
BROKEN_DEB = Deb("fragile", "2.0-1", scripts={"postinst": f"{_SLOW}\necho 'fragile: no' >&2; exit 1"})

OLD_RPMS = (
    Rpm("app", "1.0", requires=["libapp >= 1.0"], files={"/usr/share/app": "1\n"}),
    Rpm("libapp", "1.0"),
    Rpm("oldname", "1.0"),
    Rpm("wants-new", "1.0", requires=["oldname"]),
    *(Rpm(name, "1.0", files={f"/usr/share/{name}": "1\n"}) for name in ("slow", "fragile")),
)
NEW_RPMS = (
    Rpm(
        "app",
        "2.0",
        requires=["libapp >= 2.0", "app-extra"],
        files={"/usr/share/app": "2\n"},
        scripts={"post": _SLOW_LUA},
    ),
    Rpm("libapp", "2.0", conflicts=["app < 2.0"]),
    Rpm("app-extra", "2.0"),
    Rpm("newname", "2.0", obsoletes=["oldname < 2.0"], provides=["oldname = 2.0"]),
    Rpm("wants-new", "2.0", requires=["newname"]),
    Rpm("slow", "2.0", files={"/usr/share/slow": "2\n"}, scripts={"pre": _SLOW_LUA, "post": _SLOW_LUA}),
)
BROKEN_RPM = Rpm(
    "fragile", "2.0", files={"/usr/share/fragile": "2\n"}, scripts={"post": f'{_SLOW_LUA}\nerror("fragile: no")'}
)
INSTALLED = ("app", "wants-new", "slow", "fragile")


class Kind:
    """What the package managers do not have in common: how a root and the repositories are made, and how one looks at
    it.
    """

    name: str
    # The Python that the agent runs under where the package manager is.
    python: str = sys.executable

    @property
    def wrapper(self) -> Tuple[str, ...]:
        """The words before a command that has to run where the package manager is."""
        return ()

    def prepare(self, directory: Path, root: Path) -> None:
        """Make a root that has the old packages, and in ``directory`` the repositories of all scenarios."""
        raise NotImplementedError

    def turn(self, root: Path, scenario: str, directory: Path) -> None:
        """Let the root know the repository of the scenario: the way back finds nothing in it, the failing update a
        broken package.
        """
        raise NotImplementedError

    def backend(self, root: Path, work: Path) -> Backend:
        raise NotImplementedError

    def unsound(self, root: Path) -> str:
        """What the package manager's own check of the installed files complains about."""
        raise NotImplementedError


class AptKind(Kind):
    name = "apt"

    def prepare(self, directory: Path, root: Path) -> None:
        from packages.aptroot import AptRoot

        repository = debs.Repository(directory / "repository")
        repository.add(*OLD_DEBS)
        repository.publish()
        debs.make_root(root, sources=[repository.source_line()])
        apt = AptRoot(root)
        apt.apt("update")
        apt.apt("install", *INSTALLED, "held")
        apt.hold("held")
        repository.add(*NEW_DEBS)
        repository.publish()
        for scenario, new in ((RESTORE, ()), (FAILING, (BROKEN_DEB,))):
            own = debs.Repository(directory / f"repository-{scenario}")
            own.add(*new)
            own.publish()

    def turn(self, root: Path, scenario: str, directory: Path) -> None:
        line = debs.Repository(directory / f"repository-{scenario}").source_line()
        (root / "etc/apt/sources.list").write_text(f"{line}\n", encoding="utf-8")

    def backend(self, root: Path, work: Path) -> Backend:
        return Apt(root, work, work)

    def unsound(self, root: Path) -> str:
        done = subprocess.run(["dpkg", f"--root={root}", "--verify"], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr


class DnfKind(Kind):
    """dnf 4."""

    name = "dnf"
    backend_type: Type[RpmBackend] = Dnf4
    hand_type: Type[DnfHand] = DnfHand

    def prepare(self, directory: Path, root: Path) -> None:
        hand = self.hand_type(directory)
        hand.root = root
        hand.add(*OLD_RPMS)
        hand.publish()
        hand.make(*INSTALLED)
        hand.add(*NEW_RPMS)
        hand.publish()
        # An rpm cannot be rebuilt from what is installed, so the old one must be offered to be kept.
        for scenario, new in ((RESTORE, ()), (FAILING, (OLD_RPMS[-1], BROKEN_RPM))):
            own_repository = rpms.Repository(directory / f"repository-{scenario}")
            own_repository.add(*new)
            own_repository.publish()

    def turn(self, root: Path, scenario: str, directory: Path) -> None:
        section = rpms.Repository(directory / f"repository-{scenario}").section()
        (root / "etc/yum.repos.d/demo.repo").write_text(section, encoding="utf-8")

    def backend(self, root: Path, work: Path) -> Backend:
        return self.backend_type(root, work, work)

    def unsound(self, root: Path) -> str:
        return self.hand_type(root.parent).faults()


class Dnf5Kind(DnfKind):
    """dnf 5, which lives in a root of Debian sid; so does everything that works on its nodes."""

    name = "dnf5"
    backend_type = Dnf5
    hand_type = Dnf5Hand
    python = Dnf5Hand.python

    @property
    def wrapper(self) -> Tuple[str, ...]:
        return sid.enter()


KINDS = {kind.name: kind for kind in (AptKind(), DnfKind(), Dnf5Kind())}


@dataclass
class Node:
    """One node in a directory. With a ``disk`` its state and its log lie there, else beside the root."""

    directory: Path
    kind: Kind
    receiver: Receiver
    nursery: Nursery
    disk: Optional[Union[Disk, SmallDisk]] = None
    deliveries: int = 0

    @property
    def small_disk(self) -> SmallDisk:
        """The file system of a node that was made with ``small``."""
        assert isinstance(self.disk, SmallDisk)
        return self.disk

    def configure(self) -> None:
        place = self.disk.mount_point if self.disk else self.directory
        paths = {
            "state": place / "state",
            "log": place / "log",
            "run": self.directory / "run",
            "steps": self.directory / "steps",
        }
        lines = "".join(f"{name} = {path}\n" for name, path in paths.items())
        text = (
            f"[node]\nroot = {self.root}\nbackend = {self.kind.name}\n[paths]\n{lines}collect_config ="
            f" {self.directory}/none\n"
        )
        (self.directory / "agent.conf").write_text(text, encoding="utf-8")
        for name in ("pre-update.d", "post-update.d"):
            step = self.directory / "steps" / name / "10-note"
            step.parent.mkdir(parents=True, exist_ok=True)
            step.write_text(
                f"#!/bin/sh\necho {name}:$OS_UPDATE_OUTCOME >> {self.directory / 'steps.log'}\n", encoding="utf-8"
            )
            step.chmod(0o755)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def settings(self) -> Settings:
        return load(str(self.directory / "agent.conf"))

    @property
    def environment(self) -> Dict[str, str]:
        conf = str(self.directory / "agent.conf")
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**inherited, "PYTHONPATH": str(AGENT), "OS_UPDATE_AGENT_CONFIG": conf}

    @property
    def output(self) -> Path:
        return self.directory / "worker.out"

    @property
    def note(self) -> Path:
        return self.directory / "writes"

    # --- deliveries

    def new_id(self, value: str) -> str:
        self.deliveries += 1
        return f"{value}-{self.deliveries}-{time.time_ns()}"

    def signal_url(self, config_id: str) -> str:
        return self.receiver.url(f"/{config_id}?Signature={SIGNATURE}")

    def put(self, action: str, value: str) -> str:
        """Write a delivery down as the hook does, and leave it to the worker."""
        config_id = self.new_id(value)
        target = SignalTarget("CFN_SIGNAL", STACK, "update", "POST", {"url": self.signal_url(config_id)})
        outputs = tuple(map(Output, ("changes", "state_digest")))
        policy = Policy(value=value, key=KEY)
        ledger = Ledger(self.settings.ledger)
        ledger.receive(
            Delivery(config_id, KEY, value, action, time.time(), policy.as_json(), request=Request(target, outputs))
        )
        ledger.close()
        return config_id

    def call_hook(self, action: str, value: str) -> "tuple[str, subprocess.Popen[bytes]]":
        """The hook as heat-config calls it. Returns the config id and the process."""
        config_id = self.new_id(value)
        own = {
            "deploy_server_id": SERVER,
            "deploy_action": action,
            "deploy_stack_id": STACK,
            "deploy_resource_name": "update",
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": self.signal_url(config_id),
            "deploy_signal_verb": "POST",
            "update_after_time": value,
        }
        inputs = [{"name": name, "type": "String", "value": given} for name, given in own.items()]
        outputs = [{"name": name, "type": "String"} for name in ("changes", "state_digest")]
        head = {"id": config_id, "name": "update", "group": "package-update", "config": "", "options": {}}
        delivery = self.directory / f"{config_id}.json"
        delivery.write_text(json.dumps({**head, "inputs": inputs, "outputs": outputs}), encoding="utf-8")
        with delivery.open("rb") as stdin, self.output.open("ab") as output:
            argv = [*self.kind.wrapper, self.kind.python, str(HOOK)]
            process = subprocess.Popen(argv, env=self.environment, stdin=stdin, stdout=output, stderr=output)
        return config_id, process

    def run_worker(self, death: Optional[Death] = None) -> int:
        # Who was killed has no name in /proc any more while he still holds his files; a worker that finds the lock held
        # just leaves.
        end = time.monotonic() + LOCK_SECONDS
        while is_held(self.settings.worker_lock) and time.monotonic() < end:
            time.sleep(0.01)
        return self.nursery.run(self.environment, death, self.output, self.note)

    # --- what is there

    def writes(self) -> List[str]:
        """What the workers have written down, and where they died, a line each."""
        return self.note.read_text(encoding="utf-8").splitlines() if self.note.exists() else []

    def state(self) -> PackageState:
        work = self.directory / "look"
        work.mkdir(exist_ok=True)
        return self.kind.backend(self.root, work).capture()

    def steps(self) -> List[str]:
        """The steps that ran, each with the outcome that it was told."""
        log = self.directory / "steps.log"
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    def others(self) -> List[int]:
        """The processes that work on this node besides ours: workers, package managers, their scripts."""
        found = []
        marker = f"{self.directory}/".encode()
        for path in Path("/proc").glob("[0-9]*"):
            try:
                text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
            except OSError:
                continue
            if marker in text and int(path.name) != os.getpid():
                found.append(int(path.name))
        return found

    def kill_everything(self) -> None:
        # Stopped first: a package manager that sees the end of its scriptlet before its own would say that it has
        # failed.
        stopped: List[int] = []
        while new := [pid for pid in self.others() if pid not in stopped]:
            _signal(new, signal.SIGSTOP)
            stopped += new
        while pids := self.others():
            _signal(pids, signal.SIGKILL)
            time.sleep(0.01)

    def power_cut(self) -> None:
        """Everything ends; of state and log only that stays what is on the disk; /run is empty after a boot."""
        assert isinstance(self.disk, Disk)
        self.kill_everything()
        self.disk.cut()
        shutil.rmtree(self.settings.run, ignore_errors=True)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class World:
    """Prepared nodes of one kind, one for each scenario, made once and copied for each trial."""

    def __init__(self, directory: Path, kind: Kind, receiver: Receiver, nursery: Nursery) -> None:
        self.directory = directory
        self.kind = kind
        self.receiver = receiver
        self.nursery = nursery
        self.count = 0
        # The state that a scenario comes to when nobody is killed, and the durable writes on the way, in their order.
        self.reached: Dict[str, PackageState] = {}
        self.way: Dict[str, List[str]] = {}
        # How many seconds a death by the clock may wait, learnt from those that came too late: machines differ.
        self.longest: Dict[str, float] = dict.fromkeys(SCENARIOS, 1.0)

    def prepare(self) -> None:
        base = self.directory / "base"
        base.mkdir()
        self.kind.prepare(self.directory, base / "root")
        node = Node(base, self.kind, self.receiver, self.nursery)
        node.configure()
        node.put("CREATE", "v1")
        assert node.run_worker() == 0, node.output.read_text(encoding="utf-8")
        self._keep(UPDATE, base)
        node.put("UPDATE", "v2")
        assert node.run_worker() == 0, node.output.read_text(encoding="utf-8")
        for scenario in (RESTORE, FAILING):
            self._keep(scenario, base)
            self.kind.turn(self.directory / scenario / "root", scenario, self.directory)
        for scenario in SCENARIOS:
            node = self.node(scenario)
            node.put("UPDATE", VALUES[scenario])
            assert node.run_worker() == 0, node.output.read_text(encoding="utf-8")
            self.reached[scenario] = node.state()
            self.way[scenario] = [line.partition(" ")[2] for line in node.writes()]
            shutil.rmtree(node.directory)

    def _keep(self, scenario: str, base: Path) -> None:
        shutil.copytree(base, self.directory / scenario, symlinks=True)
        for name in ("steps.log", "writes", "worker.out"):
            (self.directory / scenario / name).unlink(missing_ok=True)

    def node(self, scenario: str, *, disk: bool = False, small: str = "") -> Node:
        """A node of its own. ``disk``: its state and log lie where the power can be cut; ``small``: on a file system of
        that size.
        """
        self.count += 1
        directory = self.directory / f"trial-{self.count}"
        shutil.copytree(self.directory / scenario, directory, symlinks=True)
        node = Node(directory, self.kind, self.receiver, self.nursery)
        if disk:
            node.disk = Disk(directory / "disk", directory)
            node.disk.fill(directory / "state", directory / "log")
        if small:
            node.disk = SmallDisk(directory / "disk", small)
            shutil.move(str(directory / "state"), str(directory / "disk/state"))
        node.configure()
        return node

    def clear(self, node: Node) -> None:
        node.kill_everything()
        if node.disk:
            node.disk.remove()
        shutil.rmtree(node.directory)
