"""What completes an interrupted transaction of dnf, decided without touching anything. Runs in the worker, Python 3.6.

rpm's own upgrade ("u") erases each installed package of the name whose files have no color, the other architecture of a
multilib pair included. So everything here goes by identity and by place, and the architectures of a pair are completed
or reverted together.
"""

from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Set, Tuple

from os_update_agent.packages.dnf.protocol import Identity
from os_update_agent.packages.dnf.worker.identity import slot


class Installed(NamedTuple):
    """An installed package: the place that it takes, whether several versions may be there, when it was installed
    (seconds since the epoch, then its number in the database: two transactions may fall into one second), and whether
    another installed package obsoletes it."""

    identity: Identity
    place: str
    has_several: bool
    time: Tuple[int, int]
    is_obsoleted: bool


class Due(NamedTuple):
    """What an unfinished transaction has still to install and to remove, among the installed packages."""

    comes: List[Identity]
    goes: List[Identity]
    installed: Sequence[Installed]
    native: str

    @property
    def several(self) -> Set[str]:
        """The names of which more than one version may be installed."""
        return {found.identity[0] for found in self.installed if found.has_several}

    def place(self, identity: Identity) -> str:
        return slot(identity[0], identity[1], self.native)


class Steps(NamedTuple):
    """One rpm transaction. ``upgrade`` is for rpm's upgrade, which erases everything else of the name; ``beside`` is
    installed and erases nothing; ``again`` is installed over itself. ``notes`` says what is left unfinished and why.
    """

    upgrade: Sequence[Identity]
    beside: Sequence[Identity]
    again: Sequence[Identity]
    erase: Sequence[Identity]
    notes: Sequence[str]


def due(comes: Sequence[Identity], goes: Sequence[Identity], installed: Sequence[Installed], native: str) -> Due:
    """Return what has to be installed and removed to complete an unfinished transaction that was to install ``comes``
    and remove ``goes``.

    A package of ``comes`` whose place is taken by a third version by now is left alone, with the other architectures of
    its name: the record is out of date. Two things are not in the record: places with two versions, where the last one
    installed stays, and obsoleted packages.
    """
    there: Dict[str, List[Installed]] = {}
    for found in installed:
        if not found.has_several:
            there.setdefault(found.place, []).append(found)
    outdated = {
        identity[0]
        for identity in comes
        for found in there.get(slot(identity[0], identity[1], native), [])
        if found.identity != identity and found.identity not in goes
    }
    wanted = [identity for identity in comes if identity[0] not in outdated]
    old = [identity for identity in goes if identity[0] not in outdated]
    doubled = [
        sorted(several, key=lambda found: (found.time, found.identity))
        for several in there.values()
        if len(several) > 1
    ]
    for several in doubled:
        if not any(found.identity in wanted for found in several):
            wanted.append(several[-1].identity)
            for other in _halves(several, there.values()):
                wanted.append((other[0], other[1], several[-1].identity[2]))
                old.append(other)
        old += [found.identity for found in several if found.identity not in wanted]
    if doubled:
        old += [found.identity for found in installed if found.is_obsoleted and found.identity not in wanted]
    return Due(list(dict.fromkeys(wanted)), list(dict.fromkeys(old)), installed, native)


def _halves(doubled: Sequence[Installed], places: Iterable[Sequence[Installed]]) -> List[Identity]:
    """Return the other architectures of a package with two versions that are still at its old version."""
    name, versions = doubled[-1].identity[0], {found.identity[2] for found in doubled[:-1]}
    alone = [rows[0] for rows in places if len(rows) == 1]
    return [found.identity for found in alone if found.identity[0] == name and found.identity[2] in versions]


def steps(todo: Due, files: Mapping[Identity, str]) -> Steps:
    """Return what to do if only ``files`` can be installed. No package is removed for a successor that is not there and
    has no file.
    """
    there = {found.identity for found in todo.installed}
    missing = {identity for identity in todo.comes if identity not in there and identity not in files}
    install = [identity for identity in todo.comes if identity in files]
    erase = _erasable(todo, [identity for identity in todo.comes if identity not in missing])
    notes = []
    reverted: Set[Identity] = set()
    for name in sorted({identity[0] for identity in missing} & _pairs(todo)):
        pair = _Pair(name, todo, there)
        install = [identity for identity in install if identity[0] != name]
        erase = [identity for identity in erase if identity[0] != name]
        if pair.is_revertible(files):
            install += pair.back
            erase += pair.begun
            reverted.update(pair.begun)
        else:
            erase += [identity for identity in pair.old if todo.place(identity) in map(todo.place, pair.begun)]
            lost = ", ".join("{}.{} {}".format(*identity) for identity in pair.members if identity in missing)
            notes.append(f"{lost} has no package file, so its other architecture is at another version now")
    if reverted:
        # One of them may be what obsoletes the package.
        obsoleted = {found.identity for found in todo.installed if found.is_obsoleted}
        erase = [identity for identity in erase if identity in reverted or identity not in obsoleted]
    return _by_kind(todo, there, install, erase, notes)


class _Pair:
    """The architectures of one name: those that come, those that go, those that are there already, and the old ones in
    their place.
    """

    def __init__(self, name: str, todo: Due, there: Set[Identity]) -> None:
        self.members = [identity for identity in todo.comes if identity[0] == name]
        self.old = [identity for identity in todo.goes if identity[0] == name]
        self.begun = [identity for identity in self.members if identity in there]
        places = {todo.place(identity) for identity in self.begun}
        self.back = [identity for identity in self.old if todo.place(identity) in places]

    def is_revertible(self, files: Mapping[Identity, str]) -> bool:
        """Can what was begun be taken back? Where nothing was begun there is nothing to do."""
        return all(identity in files for identity in self.back)


def _pairs(todo: Due) -> Set[str]:
    """Return the names that several places have, or would have."""
    places: Dict[str, Set[str]] = {}
    for identity in (*todo.comes, *(found.identity for found in todo.installed)):
        places.setdefault(identity[0], set()).add(todo.place(identity))
    return {name for name, some in places.items() if len(some) > 1} - todo.several


def _erasable(todo: Due, present: Sequence[Identity]) -> List[Identity]:
    """Return what may be removed if ``present`` are or get installed: everything, or if some are missing, what has a
    successor.
    """
    if len(present) == len(todo.comes):
        return list(todo.goes)
    places = set(map(todo.place, present))
    obsoleted = {found.identity for found in todo.installed if found.is_obsoleted}
    return [identity for identity in todo.goes if todo.place(identity) in places or identity in obsoleted]


def _by_kind(
    todo: Due, there: Set[Identity], install: Sequence[Identity], erase: Sequence[Identity], notes: Sequence[str]
) -> Steps:
    """Return the steps with the kind of each installation."""
    several, changing = todo.several, {*install, *erase}
    # rpm's upgrade would erase these, too.
    staying = {identity[0] for identity in there if identity not in changing} | several
    new = [identity for identity in install if identity not in there]
    return Steps(
        [identity for identity in new if identity[0] not in staying],
        [identity for identity in new if identity[0] in staying],
        [identity for identity in install if identity in there],
        [identity for identity in dict.fromkeys(erase) if identity in there and identity not in install],
        notes,
    )
