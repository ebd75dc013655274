"""The cost of updates and plans on a node with the apt lists and the dpkg database of this machine.

70 of its packages get new versions, which our own repository has, with the relations of the real ones.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Union

from bench.measuring import Figures, measured
from bench.rows import Missing, Row
from bench.world import AptWorld, Goals, in_turns

CHANGES = 70
GOALS = Goals(update=1.05, first=1.10)
# A plan may take as much as the simulation of the bare tool.
PLAN = 1.0
# Of each package's list: copying them all would take longer than what is measured.
PATHS = 20
_DATABASE = Path("/var/lib/dpkg")
_LISTS = Path("/var/lib/apt/lists")
_FIELD = re.compile(r"^([A-Za-z-]+): (.*)$", re.M)
_RELATIONS = ("Depends", "Pre-Depends", "Recommends", "Suggests", "Breaks", "Conflicts", "Replaces", "Provides")
_KEPT = (*_RELATIONS, "Multi-Arch", "Architecture", "Source")
Fields = Mapping[str, str]


class IndexWorld(AptWorld):
    """A node with the packages that this machine has, whose repositories have what this machine's lists have."""

    def __init__(self, base: Path, changing: int, stanzas: List[str]) -> None:
        self._installed = _installed()
        self._count = changing
        self._large = base / "large"
        self._large.mkdir()
        (self._large / "Packages").write_text("\n\n".join(_offered(stanzas, self._installed)) + "\n", encoding="utf-8")
        super().__init__(base, changing)

    def chosen(self) -> List[str]:
        """Return the packages of whole sources, from all over the alphabet, as updates come."""
        sources = _sources(self._installed)
        found: List[str] = []
        for source in sorted(sources, key=lambda source: source[::-1]):
            if len(found) < self._count:
                found += sources[source]
        return found

    def sources(self) -> List[str]:
        return [*super().sources(), f"deb [trusted=yes allow-insecure=yes] copy:{self._large} ./"]

    def prepare(self) -> None:
        """The root has the machine's packages as rows, with their lists of files and checksums, without scripts."""
        database = self.root / "var/lib/dpkg"
        rows = "\n\n".join(self._installed.values())
        (database / "status").write_text(f"{rows}\n\n", encoding="utf-8")
        for path in (_DATABASE / "info").glob("*.list"):
            listed = path.read_text(encoding="utf-8").splitlines()[:PATHS]
            (database / "info" / path.name).write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")
            sums = path.with_suffix(".md5sums")
            if sums.exists():
                text = [line for line in sums.read_text(encoding="utf-8").splitlines() if f"/{line[34:]}" in listed]
                (database / "info" / sums.name).write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
            for line in listed:
                self._put(line)

    def _put(self, path: str) -> None:
        """Put an empty file or a directory at a path of a package. The file check has a section of its own."""
        here = self.root / path.lstrip("/")
        if os.path.isdir(path):
            here.mkdir(parents=True, exist_ok=True)
        else:
            here.parent.mkdir(parents=True, exist_ok=True)
            here.touch()

    def version(self, name: str, version: str) -> str:
        return f"{_fields(self._installed[name])['Version']}+bench{version}"

    def fields(self, name: str, version: str) -> Dict[str, str]:
        """The real ones. Packages of one source still need each other in the same version."""
        own = _fields(self._installed[name])
        own["Source"] = _source(own)
        was = re.compile(rf"\b({'|'.join(map(re.escape, self.names))})((?::\w+)? \(= [^)]+)\)")
        return {
            field: was.sub(rf"\1\2+bench{version})", own[field]) if field in _RELATIONS else own[field]
            for field in _KEPT
            if field in own
        }

    def plan(self) -> Figures:
        """Return what a plan by hand takes."""
        argv = [sys.executable, "-m", "os_update_agent", "plan", "--quiet", "--no-refresh"]
        return measured(argv, self.base, env=self.environment)[0]


def rows(base: Path, changing: int, limit: int, repeats: int) -> Iterator[Union[Row, Missing]]:
    """Updates on the machine's own index, and plans. At most ``limit`` packages of the index are taken."""
    section = "a real index"
    stanzas = _stanzas()[:limit]
    if not stanzas:
        yield Missing(section, "update, plan", "this machine has no apt lists: run apt-get update")
        return
    world = IndexWorld(base, changing, stanzas)
    size = f"{len(stanzas)} in the index, {len(_installed())} installed, "
    there, back = world.bare()
    found = list(world.changes(size, there, [back], repeats, GOALS))
    apt = next(row.figures for row in found if row.what == there[0])
    for row in found:
        yield row if row.ratio is None else row.small(apt.peak, f"as {there[0]}")
    world.put_back("old")
    world.run("apt-get", "-q", "update")
    simulation = "apt-get -s dist-upgrade"
    turns = in_turns([(simulation, lambda: world.run(*simulation.split())), ("plan", world.plan)], repeats)
    section = f"{size}{changing} to change"
    yield Row(section, simulation, turns[simulation])
    yield Row(section, "plan", turns["plan"]).against(turns[simulation], simulation, PLAN)


def _stanzas() -> List[str]:
    """Return the entries of the machine's lists."""
    helper = "/usr/lib/apt/apt-helper"
    found: List[str] = []
    for path in sorted(_LISTS.glob("*_Packages*")):
        done = subprocess.run([helper, "cat-file", str(path)], capture_output=True, check=True)
        found += filter(None, done.stdout.decode("utf-8").split("\n\n"))
    return [stanza.strip("\n") for stanza in found]


def _installed() -> Dict[str, str]:
    """Return the row of each package that is installed on this machine, by its name."""
    rows = (_DATABASE / "status").read_text(encoding="utf-8").split("\n\n")
    return {_fields(row)["Package"]: row.strip("\n") for row in rows if "Status: install ok installed" in row}


def _offered(stanzas: List[str], installed: Mapping[str, str]) -> Iterator[str]:
    """Yield the entries without other versions of what is installed: they would be updates without a package file."""
    versions = {name: _fields(row)["Version"] for name, row in installed.items()}
    for stanza in stanzas:
        fields = _fields(stanza)
        if versions.get(fields["Package"], fields["Version"]) == fields["Version"]:
            yield stanza


def _sources(installed: Mapping[str, str]) -> Dict[str, List[str]]:
    """Return the packages of each source that can get a new version without another source."""
    found: Dict[str, List[str]] = {}
    for name, row in installed.items():
        found.setdefault(_source(_fields(row)), []).append(name)
    return {source: names for source, names in found.items() if _can_change(names, installed)}


def _can_change(names: List[str], installed: Mapping[str, str]) -> bool:
    exact = re.compile(rf"\b({'|'.join(map(re.escape, names))})(:\w+)? \(= ")
    others = (row for name, row in installed.items() if name not in names)
    return not any("Essential" in _fields(installed[name]) for name in names) and not any(map(exact.search, others))


def _source(fields: Fields) -> str:
    return fields.get("Source", fields["Package"]).partition(" ")[0]


def _fields(row: str) -> Dict[str, str]:
    return dict(_FIELD.findall(row))
