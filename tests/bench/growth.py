"""How the cost grows with the number of packages, of states and of files: near linear is the goal, and the table says
what it is.

What is measured is made here, and used in a process of its own, whose memory is then that of the work.
"""

import hashlib
import random
import shutil
from dataclasses import replace
from functools import partial
from math import log
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from bench.apart import apart
from bench.bench_ledger import make_state, next_state
from bench.measuring import Figures, in_process, median
from bench.rows import Row
from os_update_agent.config.policy import Policy
from os_update_agent.ledger import Ledger
from os_update_agent.model.package_files import ArchiveEntry
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.packages.apt.backend import Apt
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.transition import Transition
from os_update_agent.runs.plan import aim_of_update
from os_update_agent.testing.repository import Repository, make_root, native_architecture

PACKAGES, STATES, FILES = (200, 800, 2000, 8000), (10, 100, 1000, 5000), (500, 5000)
UPGRADABLE = 30
MEASURED_WRITES, PRUNED = 21, 5
# The exponent of n that is still called near linear: a little over 1, for a sort and for noise.
NEAR_LINEAR = 1.25
_POLICY = Policy(key="k", value="v")


def rows(
    base: Path, packages: Sequence[int] = PACKAGES, states: Sequence[int] = STATES, files: Sequence[int] = FILES
) -> Iterator[Row]:
    yield from _packages(base, packages)
    yield from _states(base, states)
    yield from _files(base, files)


def _apart(action: Callable[..., Figures], *arguments: Any) -> Figures:
    figures, peak = apart(action, *arguments)
    return replace(figures, peak=peak)


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
    taken: Dict[str, List[Tuple[int, Figures, str]]] = {}
    for size in sizes:
        node = base / f"packages-{size}"
        _node(node, size)
        for what, action in (("capture", _capture), ("plan", _plan), ("undo check", _undo_check)):
            note = "" if action is _capture else f"{UPGRADABLE} of them change"
            taken.setdefault(f"{what}, by packages", []).append((size, _apart(action, node), note))
    for what, found in taken.items():
        yield from _grown(what, found)


def _capture(base: Path) -> Figures:
    # A backend that has read the database does not read it again before it changes: each time another one.
    return in_process(lambda: _apt(base).capture(), 5)


def _plan(base: Path) -> Figures:
    apt = _apt(base)
    state = apt.capture()
    assert len(aim_of_update(apt, _POLICY, state).plan.changes) == UPGRADABLE
    return in_process(lambda: aim_of_update(apt, _POLICY, state), 5)


def _undo_check(base: Path) -> Figures:
    apt = _apt(base)
    state = apt.capture()
    aim = aim_of_update(apt, _POLICY, state)
    with open("/dev/null", "wb") as output:
        transition = Transition(apt, Archive(apt.archive, Ledger(base / "ledger.sqlite"), apt), apt.root, output)
        return in_process(lambda: transition.lost_by(state, aim.target), 5)


def _apt(base: Path) -> Apt:
    return Apt(base / "root", base / "archive", base / "work")


def _node(base: Path, size: int) -> None:
    """A root whose database says that so many packages are installed; for thirty of them the repository has a newer
    version.
    """
    repository = Repository(base / "repository")
    arch = native_architecture()

    def stanza(number: int, version: str) -> str:
        return (
            f"Package: bench{number:05}\nArchitecture: {arch}\nVersion: {version}\nMaintainer: Bench"
            " <bench@example.org>\nInstalled-Size: 100\nDescription: one of many\n"
        )

    offered = [
        (number, version) for number in range(size) for version in (("1.0", "2.0") if number < UPGRADABLE else ("1.0",))
    ]
    index = "".join(
        f"{stanza(*one)}Filename: ./bench{one[0]:05}_{one[1]}.deb\nSize: 1000\nSHA256: {'0' * 64}\n\n"
        for one in offered
    )
    repository.publish()
    _index(repository, index)
    root = make_root(base / "root", sources=[repository.source_line()])
    status = "".join(
        stanza(number, "1.0").replace("\nArch", "\nStatus: install ok installed\nArch", 1) + "\n"
        for number in range(size)
    )
    (root / "var/lib/dpkg/status").write_text(status, encoding="utf-8")
    for number in range(size):
        (root / f"var/lib/dpkg/info/bench{number:05}.list").write_text("/.\n", encoding="utf-8")
    for name in ("work", "archive"):
        (base / name).mkdir()
    apt = _apt(base)
    apt.refresh()
    assert len(apt.capture().packages) == size


def _index(repository: Repository, text: str) -> None:
    (repository.directory / "Packages").write_text(text, encoding="utf-8")
    release = (repository.directory / "Release").read_text(encoding="utf-8").partition("SHA256:")[0]
    content = text.encode()
    (repository.directory / "Release").write_text(
        f"{release}SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages\n", encoding="utf-8"
    )


def _states(base: Path, counts: Sequence[int]) -> Iterator[Row]:
    """States of 2000 packages, each 25 changes away from the one before. The time is that of one write, and of one
    read.
    """
    chance = random.Random(20261123)
    path = base / "states" / "ledger.sqlite"
    state = make_state(chance)
    writes: List[Tuple[int, Figures, str]] = []
    reads: List[Tuple[int, Figures, str]] = []
    numbers: List[int] = []
    for count in counts:
        ledger = Ledger(path)
        while len(numbers) < count:
            state = next_state(state, chance)
            numbers.append(ledger.put_state(state))
        ledger.close()
        written = _apart(_write, path, state, count)
        size = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6
        each = size / (count + MEASURED_WRITES * (len(writes) + 1)) * 1000
        writes.append((count, written, f"{size:.2f} MB, {each:.1f} kB a state"))
        reads.append((count, _apart(_read, path, chance.sample(numbers, min(20, count))), ""))
    for section, taken in (
        ("write a state, by states in the ledger", writes),
        ("read a state, by states in the ledger", reads),
    ):
        for count, figures, note in taken:
            flat = taken[-1][1].seconds <= 2 * taken[0][1].seconds + 0.002
            goals = (("as fast as with ten", flat),) if count == max(counts) else ()
            yield Row(section, f"{count}", figures, note=note, goals=goals)


def _write(path: Path, state: PackageState, seed: int) -> Figures:
    """One write, the median of some: each is the next state."""
    chance = random.Random(seed)
    ledger = Ledger(path)
    taken: List[Figures] = []
    for _ in range(MEASURED_WRITES):
        state = next_state(state, chance)
        taken.append(in_process(partial(ledger.put_state, state), 1))
    return median(taken)


def _read(path: Path, numbers: Sequence[int]) -> Figures:
    """One read, the median of some."""
    ledger = Ledger(path)
    return median([in_process(partial(ledger.state, number), 1) for number in numbers])


def _files(base: Path, counts: Sequence[int]) -> Iterator[Row]:
    taken = []
    for count in counts:
        figures = _apart(_prunes, base / f"files-{count}", count)
        taken.append((count, figures, f"{count - count // 2} dropped"))
    yield from _grown("prune the archive, by files", taken)


def _prunes(base: Path, count: int) -> Figures:
    return median([_prune(base / str(number), count) for number in range(PRUNED)])


def _prune(directory: Path, count: int) -> Figures:
    """An archive of so many files, of which half are needed."""
    (directory / "archive").mkdir(parents=True)
    entries = [
        ArchiveEntry(f"p{number}.deb", f"p{number}", "all", "1", "0" * 64, 1, 1, "repository")
        for number in range(count)
    ]
    for entry in entries:
        (directory / "archive" / entry.file).touch()
    ledger = Ledger(directory / "ledger.sqlite")
    ledger.add_archive_entries(entries)
    archive = Archive(directory / "archive", ledger, None)  # type: ignore[arg-type]
    figures = in_process(partial(archive.prune, [Package(*entry.identity) for entry in entries[: count // 2]]), 1)
    assert sum(1 for _ in (directory / "archive").iterdir()) == count // 2
    shutil.rmtree(directory)
    return figures
