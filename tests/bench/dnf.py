"""What an update and a restore take with dnf 4 or dnf 5, through the hook's process and with the bare dnf commands.

Each from the same state, on copies of one and the same private root:
  update   the hook is delivered a new value, on a node that it has updated before; the first update fetches what is
  installed, too
           bare: dnf -y --setopt=*.skip_if_unavailable=0 --setopt=installonly_limit=0 --refresh upgrade
  restore  the hook is delivered the first value again, whose packages no repository needs to have
           bare: dnf -y history undo last, from a repository that still has everything; and
           bare: dnf -y --disablerepo=* downgrade FILE..., with the files at hand
100 packages stay, and a second repository, all of it newer than what the node has seen, lists 20000 that are not
installed. dnf 5 and what speaks to it, bare or not, run in a root of Debian sid, which is entered anew for each
command.
"""

from pathlib import Path
from typing import Iterator, List, Sequence, Union

from bench.measuring import Figures, measured
from bench.rows import Missing, Row
from bench.rpms import build_many, write_catalogue
from bench.world import FIRST, MANY, OLD, Goals, Size, Turn, World, in_turns
from os_update_agent.testing.rpm_repository import Repository, Rpm
from packages import sid
from packages.hand_rpm import Dnf5Hand, DnfHand

STRICT = ("--setopt=*.skip_if_unavailable=0", "--setopt=installonly_limit=0")
HANDS = {"dnf": DnfHand, "dnf5": Dnf5Hand}
NAMES = {"dnf": "dnf 4", "dnf5": "dnf 5"}
# A node of Rocky 9.8 lists about 10000 packages (2767 of them in BaseOS), one of CentOS Stream 8 listed 43000 (18931
# and 24171), by what `dnf repolist -v` said of them; CentOS Stream 9 lies between.
OTHERS = 20_000
GOALS = {30: Goals(update=1.20, restore=1.30), 300: Goals(1.15, restore=1.15)}


class DnfWorld(World):
    """40 files and 1 MB for each package; many packages are smaller, 10 files and 200 kB."""

    def __init__(self, base: Path, backend: str, changing: int, *, is_small: bool) -> None:
        ordinary = Size(100, 40, 25_000) if changing < MANY else Size(100, 10, 20_000)
        super().__init__(base, backend, changing, Size(30, 1, 1000) if is_small else ordinary)
        self.hand = HANDS[backend](base)
        self.wrapper, self.python, self.hand.root = self.hand.wrapper, self.hand.python, self.root
        self.repository: Repository = self.hand.repository
        self.others = 0 if is_small else OTHERS
        build_many(self.staying, FIRST, 1, 100, self.repository.directory)
        self.add(FIRST)
        self.hand.make(*self.names, *self.staying)
        if self.others:
            self.hand.use_sections(self.repository.section(), write_catalogue(base / "others", self.others, FIRST))
        self.install()

    def add(self, version: str) -> None:
        build_many(self.names, version, self.size.files, self.size.bytes, self.repository.directory)
        self.repository.publish()
        if self.others:
            write_catalogue(self.base / "others", self.others, version)

    def has(self, version: str) -> bool:
        versions = self.hand.versions()
        return {versions[name] for name in self.names} == {f"{version}-1"}

    def bare(self, *arguments: str) -> Figures:
        return measured(self.hand.dnf_argv(*arguments), self.base, env=self.hand.environment())[0]

    def files(self) -> List[str]:
        return [str(self.repository.directory / Rpm(name, OLD).file) for name in self.names]


def changes(
    base: Path, backend: str, counts: Sequence[int], repeats: int, *, is_small: bool
) -> Iterator[Union[Row, Missing]]:
    """An update and a restore of so many packages, by the agent and by bare dnf."""
    obstacle = _obstacle(backend)
    if obstacle:
        yield Missing(NAMES[backend], "update, restore", obstacle)
        return
    if backend == "dnf5":
        yield _entering(base, repeats)
    for count in counts:
        directory = base / str(count)
        directory.mkdir()
        yield from _changes(DnfWorld(directory, backend, count, is_small=is_small), NAMES[backend], repeats)


def _obstacle(backend: str) -> str:
    """Why nothing can be measured here; "" where it can."""
    if backend == "dnf":
        missing = DnfHand.missing_tools()
        return f"not installed: {', '.join(missing)}" if missing else ""
    try:
        sid.root()
    except sid.Impossible as why:
        return str(why)
    return ""


def _changes(world: DnfWorld, manager: str, repeats: int) -> Iterator[Row]:
    update: Turn = ("bare dnf --refresh upgrade", lambda: world.bare(*STRICT, *world.hand.REFRESHED, "upgrade"))
    restore: List[Turn] = [
        ("bare dnf history undo last", lambda: world.bare(*STRICT, "history", "undo", "last")),
        ("bare dnf downgrade FILE...", lambda: world.bare("--disablerepo=*", *STRICT, "downgrade", *world.files())),
    ]
    yield from world.changes(f"{manager}, ", update, restore, repeats, GOALS.get(len(world.names), Goals()))


def _entering(base: Path, repeats: int) -> Row:
    """What each command of dnf 5, bare or not, pays for the root that it works in."""
    what = "to enter the root of sid, part of all figures below"
    found = in_turns([(what, lambda: measured([*sid.enter(), "true"], base)[0])], repeats)
    return Row("dnf 5", what, found[what])
