"""Completing an interrupted transaction of dnf by rpm itself, in one transaction. Runs in the worker, Python 3.6.

Measured: after a kill "dnf upgrade" and "dnf distro-sync" end with 0 and leave both versions, and "history undo" makes
the database right and leaves the new files on the disk. Only forward is clean. So the packages that the record says
should have come are installed (again), and those that should have gone are removed. No package is removed for a
successor that is not there and has no file.
"""

import glob
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import Identity, Refused
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.output import complain, show
from os_update_agent.packages.dnf.worker.rpm_files import identity_of, read_header

_NO_ERASING_SCRIPTLETS = (
    rpm.RPMTRANS_FLAG_NOPREUN
    | rpm.RPMTRANS_FLAG_NOPOSTUN
    | rpm.RPMTRANS_FLAG_NOTRIGGERUN
    | rpm.RPMTRANS_FLAG_NOTRIGGERPOSTUN
)


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

    def erasable(self, files: Mapping[Identity, str]) -> List[Identity]:
        """Return what may be removed if only ``files`` can be installed: everything, or if some files are missing, what
        has a successor.
        """
        there = {found.identity for found in self.installed}
        present = {identity for identity in self.comes if identity in there or identity in files}
        if len(present) == len(set(self.comes)):
            return self.goes
        places = {slot(name, arch, self.native) for name, arch, _ in present}
        obsoleted = {found.identity for found in self.installed if found.is_obsoleted}
        return [
            identity
            for identity in self.goes
            if slot(identity[0], identity[1], self.native) in places or identity in obsoleted
        ]


def due(comes: Sequence[Identity], goes: Sequence[Identity], installed: Sequence[Installed], native: str) -> Due:
    """Return what has to be installed and removed to complete an unfinished transaction that was to install ``comes``
    and remove ``goes``.

    A package of ``comes`` whose place is taken by a third version by now is left alone: the record is out of date. Two
    things are not in the record: places with two versions, where the last one installed stays, and obsoleted packages.
    """
    there: Dict[str, List[Installed]] = {}
    for found in installed:
        if not found.has_several:
            there.setdefault(found.place, []).append(found)
    wanted = [
        identity
        for identity in comes
        if all(
            found.identity == identity or found.identity in goes
            for found in there.get(slot(identity[0], identity[1], native), [])
        )
    ]
    old: List[Identity] = []
    doubled = [
        sorted(several, key=lambda found: (found.time, found.identity))
        for several in there.values()
        if len(several) > 1
    ]
    for several in doubled:
        if not any(found.identity in wanted for found in several):
            wanted.append(several[-1].identity)
        old += [found.identity for found in several if found.identity not in wanted]
    if doubled:
        old += [found.identity for found in installed if found.is_obsoleted and found.identity not in wanted]
    return Due(wanted, list(dict.fromkeys([*goes, *old])), installed, native)


def run(root: str, several: Set[str], todo: Due, files: Mapping[Identity, str], *, forced: bool) -> List[str]:
    """Run one rpm transaction. If its dependencies are not met only what should have gone is erased. Returns what went
    wrong.

    ``several`` are the names of which more than one version may be installed. ``forced``: a way back starts from here,
    and a package that its own scriptlets do not let go is erased without them. Otherwise the files of the version
    beside it would stay on the disk.

    Raises Refused if rpm does not begin.
    """
    complete = _transaction(root, several, files, todo.erasable(files))
    problems = [str(problem) for problem in complete.check()]
    if problems:
        del complete
        complete = _transaction(root, several, {}, todo.erasable({}))
    problems += _done(complete)
    return problems + _erased_without_scriptlets(root, _stuck(root, several, todo, forced))


def _done(transaction: Any) -> List[str]:
    """Run the transaction. Returns which scriptlets failed. Raises Refused with rpm's problems if it does not begin."""
    transaction.order()
    callback = _Callback()
    refused = transaction.run(callback, "")
    transaction.closeDB()
    if refused:
        raise Refused("; ".join(map(str, refused)))
    return callback.problems


def _stuck(root: str, several: Set[str], todo: Due, forced: bool) -> List[int]:
    """Return the numbers in the database of packages that a scriptlet has not let go: those that are there twice in the
    same version because they were installed again, and with ``forced`` those that should have gone and are there beside
    another version.
    """
    found = []
    transaction = _opened(root)
    for name in sorted({identity[0] for identity in (*todo.comes, *todo.goes)} - several):
        rows = [
            (identity_of(header), header[rpm.RPMTAG_INSTALLTIME], number)
            for header, number in _matches(transaction, name)
        ]
        for identity, time, number in rows:
            place = slot(name, identity[1], todo.native)
            beside = [row for row in rows if row[2] != number and slot(name, row[0][1], todo.native) == place]
            is_twin = any(row[0] == identity and row[1:] > (time, number) for row in beside)
            if is_twin or (forced and identity in todo.goes and any(row[0] not in todo.goes for row in beside)):
                found.append(number)
    transaction.closeDB()
    return found


def _matches(transaction: Any, name: str) -> Iterator[Tuple[Any, int]]:
    """Yield the headers of a name, each with its number in the database."""
    found = transaction.dbMatch("name", name)
    for header in found:
        yield header, int(found.instance())


def _erased_without_scriptlets(root: str, numbers: Sequence[int]) -> List[str]:
    """Erase the packages with these numbers in the database. Returns a note for each, and what went wrong."""
    if not numbers:
        return []
    erasure = _opened(root)
    told = []
    for number in numbers:
        for header in erasure.dbMatch(rpm.RPMDBI_PACKAGES, number):
            told.append("{0} {2} had to be erased without its scriptlets".format(*identity_of(header)))
            erasure.addErase(number)
    erasure.setFlags(_NO_ERASING_SCRIPTLETS)
    return told + _done(erasure)


def files_of(wanted: Sequence[Identity], cache: str, archive: str) -> Dict[Identity, str]:
    """Return the wanted package files in the agent's archive and in dnf's cache, which keeps those of a failed
    transaction.
    """
    found: Dict[Identity, str] = {}
    for pattern in (os.path.join(cache, "*", "packages", "*.rpm"), os.path.join(archive, "*.rpm")):
        for path in glob.glob(pattern):
            name = os.path.basename(path)
            if any(name.startswith(identity[0] + "-") for identity in wanted):
                found[identity_of(read_header(path))] = path
    return {identity: found[identity] for identity in wanted if identity in found}


def _transaction(root: str, several: Set[str], install: Mapping[Identity, str], goes: Sequence[Identity]) -> Any:
    transaction = _opened(root)
    transaction.setProbFilter(rpm.RPMPROB_FILTER_OLDPACKAGE | rpm.RPMPROB_FILTER_REPLACEPKG)
    replaced = set()
    for identity, path in install.items():
        transaction.addInstall(read_header(path), path, "i" if identity[0] in several else "u")
        if identity[0] not in several:
            replaced.add(identity[0])
    for name, arch, version in goes:
        for header in transaction.dbMatch("name", name):
            if identity_of(header) == (name, arch, version) and name not in replaced:
                transaction.addErase(header)
    return transaction


def _opened(root: str) -> Any:
    transaction = rpm.TransactionSet(root)
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES)
    return transaction


class _Callback:
    """rpm's callback: opens the files and notes which scriptlets failed."""

    def __init__(self) -> None:
        self.problems: List[str] = []
        self._file: Optional[Any] = None

    def __call__(self, reason: int, amount: int, total: int, key: Any, data: Any) -> Optional[int]:
        if reason == rpm.RPMCALLBACK_INST_OPEN_FILE:
            show(f"completing {os.path.basename(key)}")
            self._file = open(key, "rb")  # noqa: SIM115
            return int(self._file.fileno())
        if reason == rpm.RPMCALLBACK_INST_CLOSE_FILE and self._file is not None:
            self._file.close()
        elif reason in (rpm.RPMCALLBACK_SCRIPT_ERROR, rpm.RPMCALLBACK_UNPACK_ERROR, rpm.RPMCALLBACK_CPIO_ERROR):
            problem = f"rpm: {os.path.basename(key) if isinstance(key, str) else key} failed"
            self.problems.append(problem)
            complain(problem)
        return None
