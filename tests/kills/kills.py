"""Kills the worker, again and again, and looks whether the promise holds: python -m kills.kills NUMBER SEED

Each trial takes a copy of a prepared node with one delivery written down, starts the worker, and ends it with SIGKILL:
at one of its durable writes (just before or just after the commit), or at a random moment; either the worker alone, whose
apt-get then goes on without it, or everything at once, as when the power fails. Then the worker is started again, sometimes killed
again, and at last left alone. What must be true then is in Trial.faults.

What it models: processes that end at any point, the page cache kept. It does not model a disk that loses what was not synced; for that
the ledger is copied at the moment of the kill, with its journal, and the copy must open and be whole.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from os_update_agent.demo.receiver import Receiver
from os_update_agent.demo.repository import Deb, Repository, make_root
from os_update_agent.ledger import Ledger
from os_update_agent.model import Delivery, Output, PackageState, Request, SignalTarget
from os_update_agent.packages.apt import Apt
from os_update_agent.policy import Policy
from os_update_agent.settings import load

HERE = Path(__file__).resolve().parent
AGENT = HERE.parents[1] / "agent"
KEY = "stack/1/update@server"
LIMIT = 120.0

_SLOW = "i=0; while [ $i -lt 3 ]; do sleep 0.05; i=$((i+1)); done"
OLD = (
    Deb("app", "1.0-1", fields={"Depends": "libapp (>= 1.0)"}),
    Deb("libapp", "1.0-1"),
    Deb("oldname", "1.0-1"),
    Deb("slow", "1.0-1"),
    Deb("fragile", "1.0-1"),
    Deb("held", "1.0-1"),
)
NEW = (
    Deb("app", "2.0-1", fields={"Depends": "libapp (>= 2.0), app-extra"}, scripts={"postinst": _SLOW}),
    Deb("libapp", "2.0-1", fields={"Breaks": "app (<< 2.0)"}),
    Deb("app-extra", "2.0-1"),
    Deb("newname", "2.0-1", fields={"Conflicts": "oldname", "Replaces": "oldname", "Provides": "oldname"}),
    Deb("wants-new", "2.0-1", fields={"Depends": "newname"}),
    Deb("slow", "2.0-1", scripts={"preinst": _SLOW, "postinst": _SLOW}),
    Deb("held", "2.0-1"),
)
BROKEN = (Deb("fragile", "2.0-1", scripts={"postinst": f"{_SLOW}\necho 'fragile: no' >&2; exit 1"}),)
SCENARIOS = ("update", "failing", "restore")


@dataclass
class World:
    """Prepared nodes, one for each scenario, made once and copied for each trial."""

    directory: Path
    before: Dict[str, PackageState] = field(default_factory=dict)

    def prepare(self) -> None:
        from packages.aptroot import AptRoot

        repository = Repository(self.directory / "repository")
        repository.add(*OLD, Deb("wants-new", "1.0-1", fields={"Depends": "oldname"}))
        repository.publish()
        base = self.directory / "base"
        root = make_root(base / "root", sources=[repository.source_line()])
        apt = AptRoot(root)
        apt.apt("update")
        apt.apt("install", "app", "wants-new", "slow", "fragile", "held")
        apt.hold("held")
        repository.add(*NEW)
        repository.publish()
        with Receiver() as receiver:
            node = Node(base, receiver)
            node.configure()
            node.put("CREATE", "v1")
            node.run_worker()
            self._keep("update", base)
            node.put("UPDATE", "v2")
            node.run_worker()
            self._keep("restore", base)
            self._keep("failing", base)
        # Each scenario has a repository of its own: the way back finds nothing in it, the failing update finds the broken package.
        for scenario, debs in (("restore", ()), ("failing", BROKEN)):
            own = Repository(self.directory / f"repository-{scenario}")
            own.add(*debs)
            own.publish()
            (self.directory / scenario / "root/etc/apt/sources.list").write_text(f"{own.source_line()}\n", encoding="utf-8")

    def _keep(self, scenario: str, base: Path) -> None:
        shutil.copytree(base, self.directory / scenario, symlinks=True)

    def node(self, scenario: str, directory: Path, receiver: Receiver) -> "Node":
        shutil.copytree(self.directory / scenario, directory, symlinks=True)
        node = Node(directory, receiver)
        node.configure()
        return node


@dataclass
class Node:
    """One node in a directory, and the worker on it."""

    directory: Path
    receiver: Receiver
    deliveries: int = 0

    def configure(self) -> None:
        paths = "".join(f"{name} = {self.directory / name}\n" for name in ("state", "log", "run", "steps"))
        text = f"[node]\nroot = {self.directory / 'root'}\nbackend = apt\n[paths]\n{paths}"
        (self.directory / "agent.conf").write_text(text, encoding="utf-8")
        for name in ("pre-update.d", "post-update.d"):
            step = self.directory / "steps" / name / "10-note"
            step.parent.mkdir(parents=True, exist_ok=True)
            step.write_text(f"#!/bin/sh\necho {name} >> {self.directory / 'steps.log'}\n", encoding="utf-8")
            step.chmod(0o755)

    @property
    def settings(self) -> Any:
        return load(str(self.directory / "agent.conf"))

    @property
    def environment(self) -> Dict[str, str]:
        conf = str(self.directory / "agent.conf")
        return {**os.environ, "PYTHONPATH": str(AGENT), "OS_UPDATE_AGENT_CONFIG": conf}

    def put(self, action: str, value: str) -> str:
        """Write a delivery down as the hook does, and leave it to the worker."""
        self.deliveries += 1
        config_id = f"{value}-{self.deliveries}-{time.time_ns()}"
        target = SignalTarget("CFN_SIGNAL", "stack/1", "update", "POST", {"url": self.receiver.url(f"/{config_id}?Signature=s")})
        outputs = tuple(map(Output, ("changes", "state_digest")))
        policy = Policy(value=value, key=KEY)
        ledger = Ledger(self.settings.ledger)
        ledger.receive(Delivery(config_id, KEY, value, action, time.time(), policy.as_json(), request=Request(target, outputs)))
        ledger.close()
        return config_id

    def start_worker(self, *kill: str) -> "subprocess.Popen[bytes]":
        argv = [sys.executable, str(HERE / "killed_worker.py"), *kill] if kill else [sys.executable, "-m", "os_update_agent.worker"]
        with (self.directory / "worker.out").open("ab") as output:
            return subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def run_worker(self, *kill: str) -> int:
        return self.start_worker(*kill).wait(LIMIT)

    def state(self) -> PackageState:
        work = self.directory / "look"
        work.mkdir(exist_ok=True)
        return Apt(self.directory / "root", work, work).capture()

    def others(self) -> List[int]:
        """The processes that work on this node besides the worker: apt-get, dpkg, maintainer scripts."""
        found = []
        marker = f"{self.directory}/"
        for path in Path("/proc").glob("[0-9]*"):
            try:
                text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in text and int(path.name) != os.getpid():
                found.append(int(path.name))
        return found

    def kill_everything(self) -> None:
        while True:
            pids = self.others()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


@dataclass
class Trial:
    """One delivery that is killed once or twice on its way."""

    number: int
    scenario: str
    node: Node
    random: random.Random
    kills: int = 0
    story: List[str] = field(default_factory=list)

    def run(self) -> List[str]:
        """Returns what is wrong at the end; nothing, when the promise held."""
        before = self.node.state()
        value = {"update": "v2", "failing": "v3", "restore": "v1"}[self.scenario]
        config_id = self.node.put("UPDATE", value)
        self._kill_once()
        while self.random.random() < 0.3:
            self._kill_once()
        code = self.node.run_worker()
        found = [f"the last worker ended with {code}"] if code else []
        return found + self.faults(config_id, before)

    def _kill_once(self) -> None:
        everything = self.random.random() < 0.5
        if self.random.random() < 0.6:
            spec = (str(self.random.randint(1, 30)), self.random.choice(["before", "after"]))
            self.story.append(f"write {' '.join(spec)}")
            worker = self.node.start_worker(*spec)
            worker.wait(LIMIT)
        else:
            delay = self.random.uniform(0.1, 1.6)
            self.story.append(f"after {delay:.2f} s")
            worker = self.node.start_worker()
            try:
                worker.wait(delay)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait(LIMIT)
        if worker.returncode == -signal.SIGKILL:
            self.kills += 1
        if everything:
            self.story[-1] += ", everything"
            self.node.kill_everything()
        self._ledger_opens()

    def _ledger_opens(self) -> None:
        copy = self.node.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self.node.settings.state.glob("ledger.sqlite*"):
            shutil.copy2(path, copy)
        ledger = Ledger(copy / "ledger.sqlite")
        for run in ledger.runs():
            for number in (run.before, run.target, run.after):
                if number is not None:
                    ledger.state(number)
        ledger.close()

    def faults(self, config_id: str, before: PackageState) -> List[str]:
        wrong = []
        ledger = Ledger(self.node.settings.ledger)
        delivery = ledger.delivery(config_id)
        run = ledger.run(delivery.run) if delivery and delivery.run else None
        if delivery is None or delivery.body is None or run is None or run.finished is None:
            return ["the delivery has no answer, or its run no end"]
        now = self.node.state()
        answer = json.loads(delivery.body)
        if answer["deploy_status_code"] == 0:
            target = ledger.state(run.target or 0)
            if {p for p in now.packages if p.is_present} != {p for p in target.packages if p.is_present}:
                wrong.append("success was told, and the state is not the planned one")
            if self.scenario == "restore" and now.digest != ledger.digest(run.restored_from or 0):
                wrong.append("success was told, and the state is not the restored one")
        elif now.digest != before.digest:
            wrong.append(f"a failure was told ({answer['deploy_stderr'][:300]!r}), and the state is not the one before")
        # A transaction that was cut off again and again is undone, and says so; that the state is the one before was asked above.
        given_up = "it was cut off" in answer["deploy_stderr"]
        if self.scenario != "failing" and answer["deploy_status_code"] and not given_up:
            wrong.append(f"it failed: {answer['deploy_stderr'][:600]}")
        if self.scenario == "failing" and not answer["deploy_status_code"]:
            wrong.append("the broken package was told as a success")
        wrong += self._step_faults() + self._signal_faults(config_id, delivery.body) + self._second_resume_faults(ledger, now)
        ledger.close()
        return wrong

    def _step_faults(self) -> List[str]:
        log = self.node.directory / "steps.log"
        steps = log.read_text(encoding="utf-8").split() if log.exists() else []
        return [] if not steps or steps[-1] == "post-update.d" else ["the node was left outside"]

    def _signal_faults(self, config_id: str, body: str) -> List[str]:
        mine = [request for request in self.node.receiver.received if f"/{config_id}?" in request.path]
        if not mine:
            return ["no result was sent"]
        # A kill between Heat's answer and our note of it sends the same result again, which Heat ignores: first wins.
        return [] if {request.body.decode() for request in mine} == {body} else ["different results were sent"]

    def _second_resume_faults(self, ledger: Ledger, now: PackageState) -> List[str]:
        runs = ledger.runs()
        sent = len(self.node.receiver.received)
        self.node.run_worker()
        same = self.node.state().digest == now.digest and ledger.runs() == runs and len(self.node.receiver.received) == sent
        return [] if same else ["a second resume changed something"]


def survive(number: int, seed: int, *, out: Optional[Any] = sys.stdout) -> int:
    """Kill ``number`` times or a few more. Prints and returns the failed trials."""
    chance = random.Random(seed)
    kills = failed = trials = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch, Receiver() as receiver:
        world = World(Path(scratch).resolve())
        world.prepare()
        while kills < number:
            trials += 1
            scenario = SCENARIOS[trials % len(SCENARIOS)]
            directory = Path(scratch).resolve() / f"trial-{trials}"
            trial = Trial(trials, scenario, world.node(scenario, directory, receiver), random.Random(chance.random()))
            wrong = trial.run()
            kills += trial.kills
            if wrong:
                failed += trial.kills or 1
                print(f"trial {trials} ({scenario}; killed: {'; '.join(trial.story)}): {'; '.join(wrong)}", file=out, flush=True)
                print((directory / "worker.out").read_text(encoding="utf-8")[-3000:], file=out)
            shutil.rmtree(directory)
    print(f"{kills} kills, {kills - failed} survived (seed {seed}, {trials} trials)", file=out, flush=True)
    return failed


def main(argv: Sequence[str] = sys.argv) -> int:
    number = int(argv[1]) if len(argv) > 1 else 200
    seed = int(argv[2]) if len(argv) > 2 else random.randrange(1 << 30)
    return 1 if survive(number, seed) else 0


if __name__ == "__main__":
    sys.exit(main())
