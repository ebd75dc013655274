"""Kills the agent, again and again, and looks whether the promise holds: python -m kills.kills NUMBER SEED

Each trial takes a copy of a prepared node of apt, dnf 4 or dnf 5 with one delivery (an update, one that fails, a
restore), and ends what is at work on it with SIGKILL: the worker at each of its durable writes, just before or just
after the commit, or at a random moment of its transaction; alone, or with all other processes of the node, or with the
power; or the hook that waits for it. What takes the delivery up again is killed as well, now and then. At last it is
left alone; what must be true then is in Trial.end.
"""

import random
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Counter, Dict, Iterator, List, Sequence, Tuple

from kills.disk import shared, unmount_all
from kills.nodes import KINDS, SCENARIOS, World
from kills.nursery import Nursery
from kills.trials import EVERYTHING, POWER, WORKER, Trial
from os_update_agent.testing.receiver import Receiver
from packages import sid

CALLER = "caller"
# Files in memory: an fsync costs nothing there, and no process is told from another by what it costs.
MEMORY = Path("/dev/shm")
# In these phases two deaths are taken up again, and at the third one the phase is given up.
BEGUN = ("leave", "transact", "verify", "health", "undo", "return", "record")
DEATHS_IN_A_PHASE = 2


@contextmanager
def world_of(kind: str) -> Iterator[World]:
    """Prepared nodes of "apt", "dnf" or "dnf5", in a directory of their own. Raises sid.Impossible where there cannot
    be one.
    """
    where = MEMORY if MEMORY.is_dir() else None
    own = KINDS[kind]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-", dir=where))).resolve()
        # The nursery may be in a mount namespace of its own.
        stack.enter_context(shared(directory))
        stack.callback(unmount_all, directory)
        receiver = stack.enter_context(Receiver())
        nursery = stack.enter_context(Nursery(own.wrapper, own.python))
        world = World(directory, own, receiver, nursery)
        world.prepare()
        yield world


def rounds(way: Sequence[str], when: str) -> Tuple[Tuple[Tuple[str, str], ...], ...]:
    """The writes of a way, divided among trials so that none has more than two of one phase after the transaction was
    begun.
    """
    phases: Counter[str] = Counter()
    found: Dict[int, List[Tuple[str, str]]] = {}
    for name in way:
        phase = name.partition(".")[0]
        found.setdefault(phases[phase] // DEATHS_IN_A_PHASE, []).append((name, when))
        phases[phase] += phase in BEGUN
    return tuple(map(tuple, found.values()))


@dataclass
class Tally:
    """What came of the trials: ``left`` says how many kills there may still be."""

    left: int
    kills: int = 0
    survived: int = 0
    trials: int = 0

    def count(self, trial: Trial, wrong: Sequence[str]) -> List[str]:
        """Count one trial; what it has to complain about."""
        self.trials += 1
        self.left -= trial.kills
        self.kills += trial.kills
        if not wrong:
            self.survived += trial.kills
            return []
        if not trial.kills:
            self.kills += 1
        said = trial.node.output.read_text(encoding="utf-8")[-3000:] if trial.node.output.exists() else ""
        return [
            f"{trial.node.kind.name} {trial.scenario}, killed at {'; '.join(trial.story)}: {'; '.join(wrong)}\n{said}"
        ]


def one_trial(world: World, scenario: str, how: str, chance: random.Random, limit: int) -> Tuple[Trial, List[str]]:
    """A trial in the way of ``how``: worker, everything or power (at random), or caller. Its node is gone
    afterwards.
    """
    trial = Trial(world, scenario, chance, limit, victim=how if how != CALLER else WORKER)
    try:
        return trial, trial.caller() if how == CALLER else trial.at_random()
    finally:
        world.clear(trial.node)


def survive(number: int, seed: int) -> Tally:
    """Kill ``number`` times, over all kinds, scenarios and ways to die; prints what did not survive."""
    chance = random.Random(seed)
    tally = Tally(number)
    with ExitStack() as stack:
        worlds = [stack.enter_context(world_of(kind)) for kind in ("apt", "dnf")]
        # The transaction of dnf takes several times as long.
        worlds.insert(0, worlds[0])
        try:
            worlds.append(stack.enter_context(world_of("dnf5")))
        except sid.Impossible as why:
            print(f"NOTHING IS KILLED WITH DNF 5: {why}", flush=True)
        while tally.left > 0:
            world = chance.choice(worlds)
            how = chance.choice([WORKER, EVERYTHING, EVERYTHING, POWER, CALLER])
            own = random.Random(chance.random())
            for complaint in tally.count(*one_trial(world, chance.choice(SCENARIOS), how, own, tally.left)):
                print(complaint, flush=True)
    return tally


def main(argv: Sequence[str] = sys.argv) -> int:
    number = int(argv[1]) if len(argv) > 1 else 200
    seed = int(argv[2]) if len(argv) > 2 else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    tally = survive(number, seed)
    print(f"{tally.trials} trials", flush=True)
    print(f"{tally.kills} kills, {tally.survived} survived", flush=True)
    return 0 if tally.kills == tally.survived == number else 1


if __name__ == "__main__":
    sys.exit(main())
