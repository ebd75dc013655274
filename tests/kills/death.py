"""How a worker dies: by its own hand, with SIGKILL, at a durable write or at a moment of its transaction. Or its disk
becomes full there.

A durable write is a transaction of the ledger or an fsync of a file. Each has a name, the same in every life of the
worker that does the same step: "plan.put_state.1" is the first state that the phase plan puts into the ledger,
"fetch.fsync app.deb" a file that is kept.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple
from typing import Counter as Counts

from os_update_agent.ledger.database import Database
from os_update_agent.runs import engine

# Ahead of a transaction of the ledger; when all is written and nothing committed; when it is durable.
AHEAD, BEFORE, AFTER = "ahead", "before", "after"
NOWHERE = "outside"
TRANSACTIONS = ("transact", "undo")


@dataclass(frozen=True)
class Death:
    """When to die: at the first of ``writes`` (name and AHEAD, BEFORE or AFTER), at the ``number``th write whatever its
    name, ``delay`` seconds after the start, or ``inside`` seconds after a transaction was begun. Nothing set: never.
    With ``fill`` the disk of that directory is filled to the last byte instead, and the worker goes on as it can.
    """

    writes: Tuple[Tuple[str, str], ...] = ()
    number: int = 0
    when: str = AFTER
    delay: Optional[float] = None
    inside: Optional[float] = None
    fill: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Death":
        document = json.loads(text)
        return cls(**{**document, "writes": tuple((name, when) for name, when in document["writes"])})


class Doom:
    """Watches the writes of this process; ``note`` is a file that gets a line for each, the last one for the one it
    dies at.
    """

    def __init__(self, death: Death, note: Path) -> None:
        self.death = death
        self.note = note.open("a", encoding="utf-8", buffering=1)
        self.phase = NOWHERE
        self.seen: Counts[str] = Counter()
        self.writes = 0
        self.turn = threading.Lock()

    def install(self) -> None:
        transaction, step, fsync = Database._transaction, engine._step, os.fsync

        def watched_transaction(database: Any) -> Any:
            return self.around(sys._getframe(1).f_code.co_name, transaction(database))

        def watched_step(work: Any) -> None:
            self.phase = work.run.phase
            if self.phase in TRANSACTIONS and self.death.inside is not None:
                self.die_in(self.death.inside)
            self.seen.clear()
            step(work)
            self.phase = NOWHERE

        def watched_fsync(descriptor: int) -> None:
            with self.around(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}", None):
                fsync(descriptor)

        database: Any = Database
        database._transaction = watched_transaction
        engine._step = watched_step
        system: Any = os
        system.fsync = watched_fsync
        if self.death.delay is not None:
            self.die_in(self.death.delay)

    @contextmanager
    def around(self, method: str, transaction: Any) -> Iterator[Any]:
        self.writes += 1
        self.seen[method] += 1
        # What has been fetched is not fetched in the next life, so there the numbers would not stay the same.
        name = f"{self.phase}.{method}" if self.phase == "fetch" else f"{self.phase}.{method}.{self.seen[method]}"
        self.die_at(name, AHEAD)
        if transaction is None:
            self.die_at(name, BEFORE)
            yield None
        else:
            with transaction as database:
                yield database
                # All is written and nothing is committed.
                self.die_at(name, BEFORE)
        self.die_at(name, AFTER)

    def die_at(self, name: str, when: str) -> None:
        death = self.death
        if (name, when) in death.writes or (self.writes == death.number and when == death.when):
            if death.fill:
                self.say(f"filled {when} {name}")
                self.death = Death()
                fill(Path(death.fill))
            else:
                self.die(f"died {when} {name}")
        if when == AFTER:
            self.say(f"did {name}")

    def die_in(self, seconds: float) -> None:
        def wait() -> None:
            time.sleep(seconds)
            self.die(f"died inside {self.phase} after {seconds:.2f} s")

        threading.Thread(target=wait, daemon=True).start()

    def say(self, line: str) -> None:
        with self.turn:
            self.note.write(f"{line}\n")

    def die(self, line: str) -> None:
        """Say it and die, with nobody's line behind it: kept files are written by several threads at once."""
        with self.turn:
            self.note.write(f"{line}\n")
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


def fill(directory: Path) -> None:
    """Leave no byte free on the disk of the directory."""
    with (directory / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
