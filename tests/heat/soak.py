"""A group of up to 20 light members on a real Heat, with random steps: python -m heat.soak SEED [MINUTES]

A step changes the members (some join, leave, are exchanged, change their names or their order), the value (a new or an
old one), or both; in some a member fails, some are canceled, with and without a rollback. After each step every
member that the stack lists must stand where the stack says. It prints a line for each step, and at the end "N steps,
N right"; it ends with status 1 if one was not right.
"""

import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from heat.client import wait_until
from heat.lab import Lab
from heat.light import TEMPLATES, Group, Light

GROUP = TEMPLATES / "rolling-deployment-group.yaml"
MINUTES = 30.0
SERVERS = 26
MOST = 20
PATIENCE = 900.0
# Heat 27.0.1 never forgets a thread that has ended: with a thousand of a stack, a few for each event and signal, its
# engine refuses ("Maximum number of threads reached", heat/engine/service.py, ThreadGroup) and the stack stays in
# progress. Operators restart the engine, too.
STEPS_OF_AN_ENGINE = 4
BATCHES = (2, 4, 5, 10, 20)
CHANGES = ("grow", "shrink", "swap", "rename", "order")
CANCEL, FAIL, PLAIN = "cancel", "fail", "plain"


@dataclass
class Wanted:
    """The parameters of the stack: the servers by name, in their order, and the value."""

    servers: Dict[str, str]
    value: str

    @property
    def parameters(self) -> Dict[str, Any]:
        return {"servers": self.servers, "update_after_time": self.value}


@dataclass
class Soak:
    group: Group
    random: random.Random
    now: Wanted
    spare: List[str] = field(default_factory=list)
    values: List[str] = field(default_factory=list)
    steps: int = 0
    right: int = 0

    def step(self) -> None:
        """One step and its check, and after a failure the step that repairs it."""
        wanted, words = self._next()
        how = self.random.choices((PLAIN, FAIL, CANCEL), (5, 3, 2))[0]
        rollback = self.random.random() < 0.7
        batch = self.random.choice(BATCHES)
        words += [how if how == PLAIN else f"{how} {'with' if rollback else 'without'} rollback", f"batch {batch}"]
        before = {member.server: member.packages for member in self._members()}
        begin = time.monotonic()
        if how == FAIL:
            self.group.be_ill(wanted.value, self.random.choice(self._names(wanted)))
        status = self._give(wanted, how, rollback=rollback, batch=batch)
        self.group.be_ill("")
        wrong = self._check(status, wanted, before)
        if not wrong and status in ("UPDATE_FAILED", "ROLLBACK_FAILED"):
            words.append(f"then {status}, repaired")
            back = status == "ROLLBACK_FAILED" or self.random.random() < 0.5
            target = self.now if back else wanted
            status = self._give(target, PLAIN, rollback=False, batch=batch)
            wrong = [] if status == "UPDATE_COMPLETE" else [f"the repair ended with {status}"]
            wrong += self._check(status, target, before)
        self.steps += 1
        self.right += not wrong
        seconds = time.monotonic() - begin
        print(
            f"{self.steps:4} {status:<18} {seconds:4.0f} s  {'ok' if not wrong else 'WRONG'}  {', '.join(words)}",
            flush=True,
        )
        for line in wrong:
            print(f"     {line}", flush=True)
        if wrong:
            print(self.group.story(), self.group.stack.story()[-6000:], sep="\n", flush=True)

    # --- what a step is

    def _next(self) -> Tuple[Wanted, List[str]]:
        servers = list(self.now.servers.items())
        self.spare = [member.server for member in self._members() if member.server not in self.now.servers.values()]
        self.random.shuffle(self.spare)
        words: List[str] = []
        for change in self.random.sample(CHANGES, self.random.choice((0, 1, 1, 2))):
            words.append(f"{change} {self._change(change, servers)}")
        value = self.now.value
        if not words or self.random.random() < 0.7:
            old = len(self.values) > 2 and self.random.random() < 0.2
            value = self.random.choice(self.values[:-1]) if old else f"2026-11-22T10:00:00.{len(self.values):06}Z"
            words.append(f"{'old' if old else 'new'} value")
            if not old:
                self.values.append(value)
        return Wanted(dict(servers), value), words

    def _change(self, change: str, servers: List[Tuple[str, str]]) -> int:
        """Change the members. Return how many."""
        few = self.random.randint(1, 4)
        places = range(len(servers))
        if change == "grow":
            few = min(few, MOST - len(servers), len(self.spare))
            for _ in range(few):
                servers.insert(self.random.randint(0, len(servers)), self._new_member())
        elif change == "shrink":
            few = min(few, len(servers) - 2)
            for place in sorted(self.random.sample(places, few), reverse=True):
                del servers[place]
        elif change == "swap":
            few = min(few, len(servers), len(self.spare))
            for place in self.random.sample(places, few):
                servers[place] = self._new_member()
        elif change == "rename":
            few = min(few, len(servers))
            for place in self.random.sample(places, few):
                servers[place] = (f"n{self.random.randrange(10**6)}", servers[place][1])
        else:
            few = len(servers)
            self.random.shuffle(servers)
        return few

    def _new_member(self) -> Tuple[str, str]:
        server = self.spare.pop()
        return next(member.name for member in self._members() if member.server == server), server

    def _give(self, wanted: Wanted, how: str, *, rollback: bool, batch: int) -> str:
        stack, group = self.group.stack, self.group
        group.fleet.forget()
        holder = group.members[self.random.choice(self._names(wanted))]
        if how == CANCEL:
            holder.go.clear()
        try:
            stack.update(rollback=rollback, batch=batch, timeout=60, **wanted.parameters)
            if how == CANCEL:
                wait_until(
                    lambda: holder.at_work or not stack.status.endswith("IN_PROGRESS"),
                    f"{holder.name} to be at work",
                    group.story,
                    PATIENCE,
                )
                if holder.at_work:
                    self._cancel(rollback=rollback)
        finally:
            holder.go.set()
        wait_until(lambda: self._has_settled(rollback), f"{stack.name} to settle", stack.story, PATIENCE)
        wait_until(lambda: not any(member.at_work for member in self._members()), "the members", group.story, PATIENCE)
        return stack.status

    def _cancel(self, *, rollback: bool) -> None:
        stack = self.group.stack
        underway = stack.underway()
        if rollback:
            with stack.comes_to_wait(underway):
                stack.cancel()
        else:
            stack.cancel(rollback=False)
            stack.wait_until_cancelled(underway)

    def _has_settled(self, rollback: bool) -> bool:
        """UPDATE_FAILED may be the moment before a rollback."""
        status = self.group.stack.status
        if status == "UPDATE_FAILED" and rollback:
            time.sleep(5)
            status = self.group.stack.status
        return not status.endswith("IN_PROGRESS")

    # --- where the members must stand

    def _check(self, status: str, wanted: Wanted, before: Dict[str, str]) -> List[str]:
        """Return what is not as the stack says."""
        if status == "UPDATE_COMPLETE":
            self.now = wanted
        if status in ("UPDATE_COMPLETE", "ROLLBACK_COMPLETE"):
            return self._all_stand_at(self.now)
        if status not in ("UPDATE_FAILED", "ROLLBACK_FAILED"):
            return [f"the stack became {status}"]
        # Each has the new packages, or those that it had.
        return [
            f"{member.name} has {member.packages}, had {before[member.server]}"
            for member in self._members()
            if member.packages not in (before[member.server], wanted.value)
            and not member.stands_at(wanted.value)
            and not member.stands_at(self.now.value)
        ]

    def _all_stand_at(self, wanted: Wanted) -> List[str]:
        digests: Dict[str, str] = self.group.stack.output("state_digests")
        by_server = {member.server: member for member in self._members()}
        wrong = [] if set(digests) == set(wanted.servers) else [f"the stack lists {sorted(digests)}"]
        for name, server in wanted.servers.items():
            member = by_server[server]
            if not member.stands_at(wanted.value):
                wrong.append(f"{name} ({member.name}) is not at {wanted.value}: {member.value}, {member.packages}")
            elif digests.get(name) != member.packages:
                wrong.append(f"{name} ({member.name}) has {member.packages}, the stack says {digests.get(name)}")
        return wrong

    def _members(self) -> Sequence[Light]:
        return list(self.group.members.values())

    def _names(self, wanted: Wanted) -> List[str]:
        return [member.name for member in self._members() if member.server in wanted.servers.values()]


def main() -> int:
    seed = int(sys.argv[1])
    end = time.monotonic() + 60 * (float(sys.argv[2]) if len(sys.argv) > 2 else MINUTES)
    with (
        tempfile.TemporaryDirectory(prefix="heat-soak-") as directory,
        Lab(Path(directory), pacing="0.1") as lab,
        Group(lab, "soak") as group,
    ):
        servers = group.servers(SERVERS)
        first = dict(list(servers.items())[:MOST])
        value = "2026-11-22T10:00:00.000000Z"
        group.create(GROUP, wait=False, servers=first, update_after_time=value, batch=MOST)
        group.stack.wait_for("CREATE_COMPLETE", patience=PATIENCE)
        soak = Soak(group, random.Random(seed), Wanted(first, value), values=[value])
        print(f"seed {seed}: {MOST} members", flush=True)
        while time.monotonic() < end and soak.steps == soak.right:
            soak.step()
            if soak.steps % STEPS_OF_AN_ENGINE == 0:
                lab.kill_heat()
                lab.start_heat()
    print(f"{soak.steps} steps, {soak.right} right")
    return int(soak.steps != soak.right)


if __name__ == "__main__":
    sys.exit(main())
