"""How the cost grows with the number of packages, of states and of files: near linear is the goal, and the table says what it is."""

import random
import shutil
from functools import partial
from math import log
from pathlib import Path
from statistics import mean
from typing import Iterator, List, Sequence, Tuple

from bench.bench_ledger import make_state, next_state
from bench.measuring import Figures, in_process
from bench.rows import Row
from os_update_agent.demo.repository import Repository, make_root, native_architecture
from os_update_agent.ledger import Ledger
from os_update_agent.model import ArchiveEntry
from os_update_agent.packages.apt import Apt
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.transition import Transition
from os_update_agent.planning import aim_of_update
from os_update_agent.policy import Policy

PACKAGES, STATES, FILES = (200, 800, 2000, 8000), (10, 100, 1000, 5000), (500, 5000)
UPGRADABLE = 30
MEASURED_WRITES = 21
# The exponent of n that is still called near linear: a little over 1, for a sort and for noise.
NEAR_LINEAR = 1.25


def rows(base: Path, packages: Sequence[int] = PACKAGES, states: Sequence[int] = STATES, files: Sequence[int] = FILES) -> Iterator[Row]:
    yield from _packages(base, packages)
    yield from _states(base, states)
    yield from _files(base, files)


def _grown(section: str, taken: List[Tuple[int, Figures, str]]) -> Iterator[Row]:
    """A row for each size; the last one says the exponent between the two largest."""
    for index, (size, figures, note) in enumerate(taken):
        row = Row(section, f"{size}", figures, note=note)
        if index and index == len(taken) - 1:
            before = taken[index - 1]
            exponent = log(figures.seconds / before[1].seconds) / log(size / before[0])
            growth = f"grows with the power {exponent:.2f}"
            row = Row(
                section,
                row.what,
                row.figures,
                note="; ".join(filter(None, (note, growth))),
                goals=(("near linear", exponent <= NEAR_LINEAR),),
            )
        yield row


def _packages(base: Path, sizes: Sequence[int]) -> Iterator[Row]:
    taken: dict[str, List[Tuple[int, Figures, str]]] = {}
    for size in sizes:
        for what, figures in _reading(base / f"packages-{size}", size):
            taken.setdefault(what, []).append((size, figures, ""))
    for what, found in taken.items():
        yield from _grown(what, found)


def _reading(base: Path, size: int) -> Iterator[Tuple[str, Figures]]:
    apt, archive = _node(base, size)
    state = apt.capture()
    assert len(state.packages) == size
    policy = Policy(key="k", value="v")
    aim = aim_of_update(apt, policy, state)
    assert len(aim.changes) == min(UPGRADABLE, size)
    with open("/dev/null", "wb") as output:
        transition = Transition(apt, archive, apt.root, output)
        # A backend that has read the database does not read it again before it changes: each time another one.
        yield "capture, by packages", in_process(lambda: Apt(apt.root, apt.archive, apt.work).capture(), 5)
        yield "plan, by packages", in_process(lambda: aim_of_update(apt, policy, state), 5)
        yield "undo check, by packages", in_process(lambda: transition.lost_by(state, aim.target), 5)


def _node(base: Path, size: int) -> Tuple[Apt, Archive]:
    """A root whose database says that so many packages are installed; for thirty of them the repository has a newer version."""
    repository = Repository(base / "repository")
    arch = native_architecture()

    def stanza(number: int, version: str) -> str:
        return (
            f"Package: bench{number:05}\nArchitecture: {arch}\nVersion: {version}\nMaintainer: Bench <bench@example.org>\n"
            f"Installed-Size: 100\nDescription: one of many\n"
        )

    offered = [(number, version) for number in range(size) for version in (("1.0", "2.0") if number < UPGRADABLE else ("1.0",))]
    index = "".join(f"{stanza(*one)}Filename: ./bench{one[0]:05}_{one[1]}.deb\nSize: 1000\nSHA256: {'0' * 64}\n\n" for one in offered)
    repository.publish()
    _index(repository, index)
    root = make_root(base / "root", sources=[repository.source_line()])
    status = "".join(stanza(number, "1.0").replace("\nArch", "\nStatus: install ok installed\nArch", 1) + "\n" for number in range(size))
    (root / "var/lib/dpkg/status").write_text(status, encoding="utf-8")
    for number in range(size):
        (root / f"var/lib/dpkg/info/bench{number:05}.list").write_text("/.\n", encoding="utf-8")
    for name in ("work", "archive"):
        (base / name).mkdir()
    apt = Apt(root, base / "archive", base / "work")
    apt.refresh()
    return apt, Archive(base / "archive", Ledger(base / "ledger.sqlite"), apt)


def _index(repository: Repository, text: str) -> None:
    import hashlib

    (repository.directory / "Packages").write_text(text, encoding="utf-8")
    release = (repository.directory / "Release").read_text(encoding="utf-8").partition("SHA256:")[0]
    content = text.encode()
    (repository.directory / "Release").write_text(
        f"{release}SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages\n", encoding="utf-8"
    )


def _states(base: Path, counts: Sequence[int]) -> Iterator[Row]:
    """States of 2000 packages, each 25 changes away from the one before. The time is that of one write, and of one read."""
    chance = random.Random(20261123)
    ledger = Ledger(base / "states" / "ledger.sqlite")
    state = make_state(chance)
    writes: List[Tuple[int, Figures, str]] = []
    reads: List[Tuple[int, Figures, str]] = []
    numbers: List[int] = []
    for count in range(1, max(counts) + 1):
        state = next_state(state, chance)
        numbers.append(ledger.put_state(state))
        if count in counts:
            recent = []
            for _ in range(MEASURED_WRITES):
                state = next_state(state, chance)
                recent.append(in_process(partial(ledger.put_state, state), 1))
            recent.sort(key=lambda one: one.seconds)
            size = sum(file.stat().st_size for file in (base / "states").iterdir()) / 1e6
            written = len(numbers) + MEASURED_WRITES * (len(writes) + 1)
            writes.append((count, recent[MEASURED_WRITES // 2], f"{size:.2f} MB, {size / written * 1000:.1f} kB a state"))
            sample = chance.sample(numbers, min(20, len(numbers)))
            each = [in_process(partial(ledger.state, number), 1) for number in sample]
            reads.append((count, Figures(mean(one.seconds for one in each), mean(one.cpu for one in each), 0.0), ""))
    ledger.close()
    for section, taken in (("write a state, by states in the ledger", writes), ("read a state, by states in the ledger", reads)):
        for count, figures, note in taken:
            flat = taken[-1][1].seconds <= 2 * taken[0][1].seconds + 0.002
            goals = (("as fast as with ten", flat),) if count == max(counts) else ()
            yield Row(section, f"{count}", figures, note=note, goals=goals)


def _files(base: Path, counts: Sequence[int]) -> Iterator[Row]:
    taken = []
    for count in counts:
        directory = base / f"files-{count}"
        ledger = Ledger(directory / "ledger.sqlite")
        (directory / "archive").mkdir()
        archive = Archive(directory / "archive", ledger, None)  # type: ignore[arg-type]
        entries = [ArchiveEntry(f"p{number}.deb", f"p{number}", "all", "1", "0" * 64, 1, 1, "repository") for number in range(count)]
        for entry in entries:
            (archive.directory / entry.file).touch()
        ledger.add_archive_entries(entries)
        needed = frozenset(entry.identity for entry in entries[: count // 2])
        figures = in_process(partial(archive.prune, needed), 1)
        gone = count - sum(1 for _ in archive.directory.iterdir())
        taken.append((count, figures, f"{gone} dropped"))
        assert gone == count - count // 2
        ledger.close()
        shutil.rmtree(directory)
    yield from _grown("prune the archive, by files", taken)
