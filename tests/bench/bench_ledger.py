"""How large and how fast the ledger is: 1000 states of 2000 packages, 25 changes each. Run it by hand; nothing is
asserted.

python tests/bench/bench_ledger.py [RESULT.json]
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "agent"))

from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import Package, PackageState

STATES, PACKAGES, CHANGES, READS, COLD_WRITES = 1000, 2000, 25, 200, 50
SEED = 20261123

# (what, unit, goal) of each row
ROWS = (
    ("size of the file", "MB", 2.5),
    ("write, median", "ms", 5.0),
    ("write, 99 of 100", "ms", None),
    ("write, worst", "ms", None),
    ("write by a fresh ledger, median", "ms", None),
    ("write by a fresh ledger, worst", "ms", None),
    ("read, median", "ms", 10.0),
    ("read, worst", "ms", 10.0),
    ("cold read by a fresh ledger, median", "ms", 10.0),
    ("cold read by a fresh ledger, worst", "ms", 10.0),
    ("put a state that is known, median", "ms", None),
    ("bare write and fsync of 4 kB here, median", "ms", None),
)

_STEMS = (
    "lib",
    "python3",
    "perl",
    "ruby",
    "linux",
    "gir1.2",
    "golang",
    "node",
    "fonts",
    "texlive",
    "systemd",
    "qt6",
    "php8.2",
    "r-cran",
)
_TAILS = (
    "dev",
    "common",
    "data",
    "bin",
    "utils",
    "doc",
    "tools",
    "core",
    "runtime",
    "server",
    "client",
    "plugins",
    "base",
    "dbg",
)


def make_state(chance: random.Random) -> PackageState:
    """A node as Debian's are: mostly native packages, a third neutral ones, half of them automatic, some held, some
    left over.
    """
    names: Set[str] = set()
    while len(names) < PACKAGES:
        word = "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(3, 9)))
        parts = [chance.choice(_STEMS), word, *([chance.choice(_TAILS)] if chance.random() < 0.5 else [])]
        names.add("-".join(parts))
    packages = []
    for name in names:
        row = Package(
            name, chance.choices(("amd64", "all"), (2, 1))[0], version(chance), mark=chance.choice(("auto", "manual"))
        )
        if chance.random() < 0.01:
            row = row._replace(want="hold")
        if chance.random() < 0.02:
            row = row._replace(status="config-files", want="deinstall", mark="manual")
        packages.append(row)
    return PackageState("apt", "amd64", tuple(sorted(packages)))


def version(chance: random.Random) -> str:
    epoch = f"{chance.randint(1, 3)}:" if chance.random() < 0.1 else ""
    update = f"+deb12u{chance.randint(1, 14)}" if chance.random() < 0.5 else ""
    numbers = ".".join(str(chance.randint(0, 60)) for _ in range(chance.randint(2, 3)))
    return f"{epoch}{numbers}-{chance.randint(1, 9)}{update}"


def next_state(state: PackageState, chance: random.Random) -> PackageState:
    """An update: most changes are new versions, a few packages come, a few go."""
    rows = list(state.packages)
    for index in chance.sample(range(len(rows)), CHANGES):
        row = rows[index]
        if chance.random() < 0.1:
            row = row._replace(name=f"{row.name.partition('.so')[0]}.so{chance.randint(1, 99)}")
        rows[index] = row._replace(version=version(chance))
    return replace(state, packages=tuple(sorted(rows)))


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


def measure(directory: Path) -> Dict[str, float]:
    chance = random.Random(SEED)
    path = directory / "state" / "ledger.sqlite"
    ledger = Ledger(path)
    writes: List[float] = []
    digests: List[Tuple[int, str]] = []
    state = make_state(chance)
    for count in range(STATES):
        state = next_state(state, chance) if count else state
        begun = time.perf_counter()
        number = ledger.put_state(state)
        writes.append((time.perf_counter() - begun) * 1000)
        digests.append((number, state.digest))
    again = [timed(lambda: ledger.put_state(PackageState("apt", "amd64", state.packages))) for _ in range(20)]
    ledger.close()
    size = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6

    cold_writes = []
    for _ in range(COLD_WRITES):
        state = next_state(state, chance)
        cold_writes.append(timed(partial(put_cold, path, state)))
    order = chance.sample(digests, READS)
    ledger = Ledger(path)
    reads = [timed(partial(check, ledger, number, digest)) for number, digest in order]
    ledger.close()
    cold = [timed(partial(check_cold, path, number, digest)) for number, digest in order]
    figures = (
        size,
        statistics.median(writes),
        sorted(writes)[int(len(writes) * 0.99)],
        max(writes),
        statistics.median(cold_writes),
        max(cold_writes),
        statistics.median(reads),
        max(reads),
        statistics.median(cold),
        max(cold),
        statistics.median(again),
        statistics.median(timed(lambda: bare_write(directory / "bare")) for _ in range(50)),
    )
    return {what: figure for (what, _, _), figure in zip(ROWS, figures)}


def check(ledger: Ledger, number: int, digest: str) -> None:
    assert ledger.state(number).digest == digest


def put_cold(path: Path, state: PackageState) -> None:
    ledger = Ledger(path)
    ledger.put_state(state)
    ledger.close()


def check_cold(path: Path, number: int, digest: str) -> None:
    ledger = Ledger(path)
    check(ledger, number, digest)
    ledger.close()


def bare_write(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", nargs="?", type=Path, help="also write the figures as JSON into this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as directory:
        figures = measure(Path(directory))
    print(
        f"{STATES} states of {PACKAGES} packages, {CHANGES} changes each, seed {SEED}, Python {sys.version.split()[0]}"
    )
    for what, unit, goal in ROWS:
        verdict = "" if goal is None else f"goal <= {goal:g}: {'met' if figures[what] <= goal else 'MISSED'}"
        print(f"  {what:45} {figures[what]:8.2f} {unit}  {verdict}".rstrip())
    if options.result:
        document = {"states": STATES, "packages": PACKAGES, "changes": CHANGES, "seed": SEED, "figures": figures}
        options.result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
