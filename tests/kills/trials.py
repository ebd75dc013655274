"""One delivery that is killed on its way, and what must be true when it has come to its end."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from kills.death import AFTER, BEFORE, Death
from kills.nodes import FAILING, RESTORE, VALUES, World
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery
from os_update_agent.model.packages import PackageState, diff
from os_update_agent.model.runs import Run
from os_update_agent.packages.state import visible

# What dies: the worker alone, whose package manager goes on without it; all processes of the node; or all of them with
# the power.
WORKER, EVERYTHING, POWER = "worker", "everything", "power"
PATIENCE = 180.0


@dataclass
class Trial:
    """``limit`` is how many kills it may make at most; ``excuses`` are words of a failure that is none of ours."""

    world: World
    scenario: str
    random: random.Random
    limit: int
    victim: str = WORKER
    # A transaction that was cut off again and again is undone, and says so.
    excuses: Tuple[str, ...] = ("it was cut off",)
    kills: int = 0
    caller_died: bool = False
    story: List[str] = field(default_factory=list)
    died_at: List[Tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = self.world.node(self.scenario, disk=self.victim == POWER)
        self.before = self.node.state()

    # --- ways to die

    def at_writes(self, writes: Tuple[Tuple[str, str], ...]) -> List[str]:
        """Die at the first of the writes, resume, die at the next one, and so on. Returns what is wrong at the end;
        nothing at best.
        """
        config_id = self.node.put("UPDATE", VALUES[self.scenario])
        left = list(writes)
        while left and self.kills < self.limit and self.life(Death(writes=tuple(left))):
            left.remove(self.died_at[-1])
        return self.end(config_id)

    def at_random(self) -> List[str]:
        """Die anywhere, once or more often; more than half of the times inside the transaction."""
        config_id = self.node.put("UPDATE", VALUES[self.scenario])
        while self.kills < self.limit and self.life(self.any_death()) and self.random.random() < 0.5:
            pass
        return self.end(config_id)

    def any_death(self) -> Death:
        chance = self.random.random()
        longest = self.world.longest[self.scenario]
        if chance < 0.6:
            return Death(inside=self.random.uniform(0.0, longest))
        if chance < 0.8:
            return Death(
                number=self.random.randint(1, len(self.world.way[self.scenario])),
                when=self.random.choice([BEFORE, AFTER]),
            )
        return Death(delay=self.random.uniform(0.0, 1.5 * longest))

    def life(self, death: Death) -> bool:
        """One life of a worker. Did it end by that death?"""
        status = self.node.run_worker(death)
        if status not in (0, -signal.SIGKILL):
            self.story.append(f"a worker ended with {status}")
        longest = self.world.longest
        if status != -signal.SIGKILL:
            longest[self.scenario] = max(0.05, 0.7 * longest[self.scenario])
            return False
        longest[self.scenario] = min(1.5, 1.1 * longest[self.scenario])
        self.kills += 1
        _, when, name = self.node.writes()[-1].split(" ", 2)
        self.died_at.append((name, when))
        self.story.append(f"{self.victim} {when} {name}")
        if self.victim == EVERYTHING:
            self.node.kill_everything()
        elif self.victim == POWER:
            self.node.power_cut()
        self.ledger_opens()
        return True

    def caller(self) -> List[str]:
        """The hook is killed in place of the worker, somewhere on its way, and nobody calls it again: what was written
        down goes on.
        """
        config_id, hook = self.node.call_hook("UPDATE", VALUES[self.scenario])
        try:
            self.wait_for_phase(config_id, hook)
        finally:
            hook.kill()
        if hook.wait() == -signal.SIGKILL:
            self.kills += 1
            self.caller_died = True
        ledger = Ledger(self.node.settings.ledger)
        phase = _phase(ledger, config_id)
        self.story.append(f"the hook in phase {phase}")
        # The worker that it has left goes on alone to the end; where none was left, whoever comes next takes the
        # delivery up.
        end = time.monotonic() + PATIENCE
        while self.node.others() and time.monotonic() < end:
            time.sleep(0.05)
        ledger.close()
        return self.end(config_id)

    def wait_for_phase(self, config_id: str, hook: "subprocess.Popen[bytes]") -> None:
        wanted = self.random.choice(
            ["", *dict.fromkeys(name.partition(".")[0] for name in self.world.way[self.scenario])]
        )
        end = time.monotonic() + PATIENCE
        ledger = Ledger(self.node.settings.ledger)
        while hook.poll() is None and time.monotonic() < end:
            if ledger.delivery(config_id) is not None and (not wanted or _phase(ledger, config_id) == wanted):
                break
            time.sleep(0.005)
        ledger.close()

    # --- what must be true

    def ledger_opens(self) -> None:
        """A copy of the ledger, taken at the kill with its journal, opens and is whole."""
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

    def end(self, config_id: str) -> List[str]:
        """Let a worker finish, and look."""
        status = self.node.run_worker()
        wrong = [f"the last worker ended with {status}"] if status else []
        ledger = Ledger(self.node.settings.ledger)
        try:
            delivery = ledger.delivery(config_id)
            run = ledger.run(delivery.run) if delivery and delivery.run else None
            if delivery is None or delivery.body is None or run is None or run.finished is None:
                return [*wrong, "the delivery has no answer, or its run no end"]
            now = self.node.state()
            wrong += self.package_faults(delivery.body, run, now, ledger)
            wrong += self.step_faults(run) + self.signal_faults(config_id, delivery) + self.file_faults(ledger)
            wrong += self.second_resume_faults(ledger, now)
        finally:
            ledger.close()
        return wrong

    def package_faults(self, body: str, run: Run, now: PackageState, ledger: Ledger) -> List[str]:
        """Exactly the state before or exactly the one that is reached when nobody is killed, as the result says."""
        answer = json.loads(body)
        failed, complaint = answer["deploy_status_code"] != 0, answer["deploy_stderr"][:600]
        expected = self.before if failed else self.world.reached[self.scenario]
        wrong = []
        if now.digest != expected.digest:
            rows = "; ".join(f"{change.name} {change.before} {change.after}" for change in visible(diff(expected, now)))
            told = "a failure" if failed else "success"
            wrong.append(f"{told} was told, and the packages say otherwise: {rows or 'marks'} ({complaint})")
        if self.scenario != FAILING and failed and not any(excuse in complaint for excuse in self.excuses):
            wrong.append(f"it failed: {complaint}")
        if self.scenario == FAILING and not failed:
            wrong.append("the broken package was told as a success")
        if self.scenario == RESTORE and not failed and now.digest != ledger.digest(run.restored_from or 0):
            wrong.append("success was told, and the state is not the recorded one")
        unsound = self.node.kind.unsound(self.node.root)
        return [*wrong, f"the files are not those of the packages: {unsound}"] if unsound else wrong

    def step_faults(self, run: Run) -> List[str]:
        steps = self.node.steps()
        if not steps:
            return []
        outcome = "success" if run.progress.reached else "undone" if run.progress.impact == "undone" else "failed"
        return (
            []
            if steps[-1] == f"post-update.d:{outcome}"
            else [f"the node was left outside, or told otherwise: {steps}, not {outcome}"]
        )

    def signal_faults(self, config_id: str, delivery: Delivery) -> List[str]:
        """Heat takes the first result of a deployment and ignores the others, which a kill between its answer and our
        note brings.
        """
        sent = [request.body.decode() for request in self.world.receiver.received if f"/{config_id}?" in request.path]
        if not sent:
            return ["no result was sent"]
        wrong = [] if set(sent) == {delivery.body} else [f"{len(set(sent))} different results were sent"]
        while_sending = self.caller_died or any(name.startswith("outside") for name, _ in self.died_at)
        if len(sent) > 1 and not while_sending:
            wrong.append(f"the result was sent {len(sent)} times, and nobody was killed while it was")
        return wrong

    def file_faults(self, ledger: Ledger) -> List[str]:
        """Every file that the ledger knows is whole: what is not there cannot be gone back to."""
        archive = self.node.settings.archive
        wrong = []
        for entry in ledger.archive_entries():
            path = archive / entry.file
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
                wrong.append(f"the kept file {entry.file} is not whole")
        return wrong

    def second_resume_faults(self, ledger: Ledger, now: PackageState) -> List[str]:
        runs, sent = ledger.runs(), len(self.world.receiver.received)
        status = self.node.run_worker()
        same = (
            self.node.state().digest == now.digest
            and ledger.runs() == runs
            and len(self.world.receiver.received) == sent
        )
        return [] if same and status == 0 else ["a second resume changed something"]


def _phase(ledger: Ledger, config_id: str) -> Optional[str]:
    delivery = ledger.delivery(config_id)
    run = ledger.run(delivery.run) if delivery and delivery.run else None
    return run.phase if run else None
