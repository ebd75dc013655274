"""Rehearsing a way back before the way there is taken, by rpm alone. Runs in the worker, Python 3.6.

A copy of rpm's database takes the way there, without files and scriptlets. rpm's own test transaction then takes the
way back in that copy: dependencies, file conflicts, architectures, signatures. It compares some types of files with the
disk, which the way there has not changed yet; file_types.py does that from the lists of both packages.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import CheckUndo, Identity, Side, UndoChecked
from os_update_agent.packages.dnf.worker.file_types import (
    DIRECTORY,
    LINK_TO_DIRECTORY,
    OTHER,
    Listed,
    astray,
    conflicts,
    misfits,
)
from os_update_agent.packages.dnf.worker.rehearsal import database_of, listed, target_of, text_of, type_below
from os_update_agent.packages.dnf.worker.rpm_files import identity_of, read_header
from os_update_agent.packages.dnf.worker.rpm_recovery import Settings, take_unsigned, words_of

_LINK = 0o120000
# The name of the directory for the copy of the database, before a random part.
_COPY = ".undo-check-"
# A copy without a lock may be that of a worker that is about to take it (seconds).
_FRESH = 600
# Each of these is absent from some version of rpm. Plugins would report the packages to the journal or to fapolicyd.
_QUIET = ("NOSCRIPTS", "NOTRIGGERS", "NOSYSUSERS", "NOPLUGINS", "NOCONTEXTS", "NOCAPS")


class Package(NamedTuple):
    """A package file with its header."""

    path: str
    header: Any


def checked(settings: Settings, request: CheckUndo) -> UndoChecked:
    """Return what would stop the way back, and what could not be checked."""
    forward, back = _packages(request.forward), _packages(request.back)
    there, again = ([listed(package.header) for package in side.values()] for side in (forward, back))
    type_of = _After(settings.root, forward, there).type_of
    found = [*misfits(again, type_of), *conflicts(again, there, type_of)]
    unchecked = astray(again, there, lambda path: type_below(settings.root, path), type_of)
    refused = [misfit.text for misfit in found if not misfit.is_open]
    unchecked += [f"{misfit.text}; only its scripts can make room for it" for misfit in found if misfit.is_open]
    absent = [
        "{0}-{2}.{1}".format(*identity)
        for side, packages in ((request.forward, forward), (request.back, back))
        for identity in side.comes
        if identity not in packages
    ]
    if absent:
        unchecked.append(
            "dependencies and file conflicts of the way back, because package files are not at hand yet: "
            + ", ".join(absent)
        )
        return UndoChecked(refused, unchecked)
    try:
        with _copied_database(settings.root, request.work):
            _take(settings, forward, request.forward)
            refused += [problem for problem in _tested(settings, back, request.back) if problem not in refused]
    except (OSError, rpm.error) as error:
        unchecked.append(f"dependencies and file conflicts of the way back: {error}")
    return UndoChecked(refused, unchecked)


def _linked(header: Any) -> Iterator[Any]:
    return zip(header[rpm.RPMTAG_FILENAMES] or (), header[rpm.RPMTAG_FILELINKTOS] or ())


def _packages(side: Side) -> Dict[Identity, Package]:
    packages = [Package(path, read_header(path)) for path in side.files]
    return {identity_of(package.header): package for package in packages}


class _After:
    """The types of paths after the way there, which installs ``packages``."""

    def __init__(self, root: str, packages: Dict[Identity, Package], there: Sequence[Listed]) -> None:
        self._root = root
        self._modes = {path: mode for one in there for path, mode in one.modes.items()}
        self._needed = {path: one for one in there for path in (*one.parents(), *one.directories())}
        self._links = {
            text_of(path): text_of(goal)
            for package in packages.values()
            for path, goal in _linked(package.header)
            if goal
        }

    def type_of(self, path: str) -> Optional[str]:
        """Return the type of a path that one of the packages has or needs; None for another one."""
        if path in self._needed:
            by = self._needed[path]
            if type_below(self._root, path) != LINK_TO_DIRECTORY or by.has_pretrans or path in by.scripts:
                return DIRECTORY
            # rpm puts the files where the link leads.
            return LINK_TO_DIRECTORY
        if path not in self._modes:
            return None
        if self._modes[path] & 0o170000 != _LINK:
            return OTHER
        target = target_of(path, self._links.get(path, ""))
        is_there = target in self._needed or type_below(self._root, target) in (DIRECTORY, LINK_TO_DIRECTORY)
        return LINK_TO_DIRECTORY if is_there else OTHER


@contextlib.contextmanager
def _copied_database(root: str, work: str) -> Iterator[None]:
    """Let rpm use a copy of its database until the end of the block. Raises OSError.

    rpm looks for its database below the root, so the copy is made there if the agent's own directory is elsewhere.
    """
    database = database_of(root)
    base = root.rstrip("/")
    directory = work if f"{work}/".startswith(f"{base}/") else os.path.dirname(database)
    _remove_leftovers(directory)
    import tempfile  # late: it is slow to import

    place = tempfile.mkdtemp(prefix=_COPY, dir=directory)
    lock = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _copy(database, place)
        rpm.addMacro("_dbpath", place[len(base) :])
        try:
            yield
        finally:
            rpm.delMacro("_dbpath")
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(directory: str) -> None:
    """Remove the copies of workers that were killed. Another worker may be at work for `os-update-agent plan`, perhaps
    in another PID namespace: its lock says so.
    """
    for name in os.listdir(directory):
        if not name.startswith(_COPY):
            continue
        place = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            lock = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if abs(time.time() - os.fstat(lock).st_mtime) > _FRESH:
                    shutil.rmtree(place, ignore_errors=True)
            finally:
                os.close(lock)


def _copy(source: str, target: str) -> None:
    """Copy the files of a database, without its locks and shared memory."""
    for entry in os.scandir(source):
        if entry.is_dir():
            shutil.copytree(entry.path, os.path.join(target, entry.name))
        elif not entry.name.startswith(("__db.", ".rpm.lock", ".dbenv.lock")) and not entry.name.endswith("-shm"):
            with open(entry.path, "rb") as old, open(os.path.join(target, entry.name), "wb") as new:
                _copy_content(old.fileno(), new.fileno())


def _copy_content(old: int, new: int) -> None:
    """Copy an open file; where the file system shares blocks, without taking any room. Python 3.6 and 3.7 cannot."""
    copy = getattr(os, "copy_file_range", None)
    while copy is not None:
        try:
            if not copy(old, new, 1 << 30):
                break
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            break
    # From where the other way has stopped; both have one position.
    for block in iter(lambda: os.read(old, 1 << 20), b""):
        while block:
            block = block[os.write(new, block) :]


def _take(settings: Settings, packages: Dict[Identity, Package], side: Side) -> None:
    """Change the copy of the database as a transaction would. Raises rpm.error."""
    flags = rpm.RPMTRANS_FLAG_JUSTDB
    for name in _QUIET:
        flags |= getattr(rpm, f"RPMTRANS_FLAG_{name}", 0)
    transaction = _filled(settings, packages, side)
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES | rpm._RPMVSF_NODIGESTS)
    if hasattr(transaction, "setVfyLevel"):
        # The way there has its own rehearsal.
        transaction.setVfyLevel(0)
    transaction.setFlags(flags)
    # Everything that can be ignored.
    transaction.setProbFilter(0xFFFF)
    problems = _run(transaction)
    if problems:
        raise rpm.error("the way there cannot be rehearsed: " + "; ".join(problems))


def _tested(settings: Settings, packages: Dict[Identity, Package], side: Side) -> List[str]:
    """Return the problems that rpm finds in a transaction from the copy of the database. Room on the disk is left out:
    the way there changes it.
    """
    transaction = _filled(settings, packages, side)
    transaction.setFlags(settings.flags | rpm.RPMTRANS_FLAG_TEST)
    if settings.takes_unsigned:
        take_unsigned(transaction)
    ignored = rpm.RPMPROB_FILTER_OLDPACKAGE | rpm.RPMPROB_FILTER_REPLACEPKG
    room = rpm.RPMPROB_FILTER_DISKSPACE | rpm.RPMPROB_FILTER_DISKNODES
    transaction.setProbFilter(ignored | room | settings.ignored)
    transaction.check()
    problems = [str(problem) for problem in transaction.problems() or ()]
    return problems or _run(transaction)


def _filled(settings: Settings, packages: Dict[Identity, Package], side: Side) -> Any:
    transaction = rpm.TransactionSet(settings.root)
    present = {identity_of(header) for name in {one[0] for one in side.comes} for header in _rows(transaction, name)}
    for identity in side.comes:
        package = packages[identity]
        if identity in present:
            transaction.addReinstall(package.header, package.path)
        else:
            # Not rpm's upgrade, which would erase more than what goes.
            transaction.addInstall(package.header, package.path, "i")
    for identity in side.goes:
        for header in _rows(transaction, identity[0]):
            if identity_of(header) == identity:
                transaction.addErase(header)
    return transaction


def _rows(transaction: Any, name: str) -> Any:
    return transaction.dbMatch("name", name)


def _run(transaction: Any) -> List[str]:
    """Run the transaction. Returns its problems."""
    opened: Dict[Any, Any] = {}

    def callback(reason: int, amount: int, total: int, key: Any, data: Any) -> Optional[int]:
        if reason == rpm.RPMCALLBACK_INST_OPEN_FILE:
            opened[key] = open(key, "rb")  # noqa: SIM115
            return int(opened[key].fileno())
        if reason == rpm.RPMCALLBACK_INST_CLOSE_FILE:
            opened.pop(key).close()
        return None

    transaction.order()
    problems = transaction.run(callback, "")
    transaction.closeDB()
    if problems is None:
        return []
    return [words_of(problem) for problem in problems] or ["rpm ended with an error that it does not name"]
