"""Completing an interrupted transaction of dnf by rpm itself, in one transaction. Runs in the worker, Python 3.6.

Measured: after a kill "dnf upgrade" and "dnf distro-sync" end with 0 and leave both versions, and "history undo" makes
the database right and leaves the new files on the disk. Only forward is clean. So the packages that the record says
should have come are installed (again), and those that should have gone are removed. completion.py decides which, and
when a pair of architectures has to go back: by installing its old packages again, never by erasing the new ones alone.

Completing does not check signatures, whatever the macro %_pkgverify_level demands: dnf has checked these packages as
their repositories demand before it began. A key that was erased since would leave the node half-done.
"""

import glob
import os
from contextlib import suppress
from typing import Any, Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import rpm  # type: ignore

from os_update_agent.packages.complaints import LEAVING
from os_update_agent.packages.dnf.protocol import Identity, Refused
from os_update_agent.packages.dnf.worker.completion import Due, Steps, steps
from os_update_agent.packages.dnf.worker.output import complain, show
from os_update_agent.packages.dnf.worker.rpm_files import identity_of, read_header
from os_update_agent.packages.dnf.worker.scriptlets import marked

_NO_ERASING_SCRIPTLETS = (
    rpm.RPMTRANS_FLAG_NOPREUN
    | rpm.RPMTRANS_FLAG_NOPOSTUN
    | rpm.RPMTRANS_FLAG_NOTRIGGERUN
    | rpm.RPMTRANS_FLAG_NOTRIGGERPOSTUN
)
# rpm's words for a package without a signature, where its policy demands one.
_UNSIGNED = "does not verify: no signature"


class Settings(NamedTuple):
    """What the node's dnf sets for each of its transactions: the root, the flags of its option tsflags, and the
    problems that it lets rpm ignore, both as rpm's numbers. ``takes_unsigned``: dnf installs local files without a
    signature although rpm's policy demands one.
    """

    root: str
    flags: int
    ignored: int
    takes_unsigned: bool = False


def run(settings: Settings, todo: Due, files: Mapping[Identity, str], *, forced: bool) -> List[str]:
    """Run one rpm transaction. If its dependencies are not met only what should have gone is erased. Returns what went
    wrong.

    ``forced``: a way back starts from here, and a package that its own scriptlets do not let go is erased without them.
    Otherwise the files of the version beside it would stay on the disk.

    Raises Refused if rpm does not begin.
    """
    if settings.flags & rpm.RPMTRANS_FLAG_TEST:
        raise Refused("dnf is set to change nothing (tsflags=test)")
    chosen = steps(todo, files)
    complete = _transaction(settings, chosen, files)
    problems = [str(problem) for problem in complete.check()]
    if problems:
        del complete
        chosen = steps(todo, {})
        complete = _transaction(settings, chosen, {})
    come = {*chosen.upgrade, *chosen.beside, *chosen.again}
    goes = {*todo.goes, *chosen.erase} - come
    problems += [*chosen.notes, *_done(complete, goes)]
    return problems + _erased_without_scriptlets(settings, _stuck(settings, todo, chosen, forced=forced))


def erase_kept(settings: Settings, todo: Due) -> List[str]:
    """Erase without scriptlets what a transaction was to remove and has not. Nothing goes for a successor that is not
    there. Returns a complaint for each, and what went wrong.
    """
    chosen = steps(todo, {})
    return _erased_without_scriptlets(settings, _stuck(settings, todo, chosen, forced=True, alone=True))


def _done(transaction: Any, goes: Collection[Identity]) -> List[str]:
    """Run the transaction, in which ``goes`` leave. Returns which scriptlets failed. Raises Refused with rpm's problems
    if it does not begin.
    """
    transaction.order()
    callback = _Callback(goes)
    try:
        refused = transaction.run(callback, "")
    finally:
        callback.messages.close()
    transaction.closeDB()
    if refused:
        raise Refused("; ".join(map(words_of, refused)))
    return callback.problems


def _stuck(settings: Settings, todo: Due, chosen: Steps, *, forced: bool, alone: bool = False) -> List[int]:
    """Return the numbers in the database of packages that a scriptlet has not let go: those that are there twice in the
    same version because they were installed again, and with ``forced`` those that should have gone and are there beside
    another version. With ``alone`` these count as well if no other version is there.
    """
    found = []
    transaction = _opened(settings)
    for name in sorted({identity[0] for identity in (*todo.comes, *todo.goes)}):
        rows = [
            (identity_of(header), header[rpm.RPMTAG_INSTALLTIME], number)
            for header, number in _matches(transaction, name)
        ]
        for identity, time, number in rows:
            beside = [row for row in rows if row[2] != number and todo.place(row[0]) == todo.place(identity)]
            is_twin = any(row[0] == identity and row[1:] > (time, number) for row in beside)
            is_old = identity in chosen.erase and any(row[0] not in chosen.erase for row in beside)
            is_old = is_old and name not in todo.several
            if is_twin or (forced and is_old) or (alone and identity in chosen.erase):
                found.append(number)
    transaction.closeDB()
    return found


def _matches(transaction: Any, name: str) -> Iterator[Any]:
    """Yield the headers of a name, each with its number in the database."""
    found = transaction.dbMatch("name", name)
    for header in found:
        yield header, int(found.instance())


def _erased_without_scriptlets(settings: Settings, numbers: Sequence[int]) -> List[str]:
    """Erase the packages with these numbers in the database. Returns a complaint for each, and what went wrong."""
    if not numbers:
        return []
    erasure = _opened(settings)
    erased = []
    for number in numbers:
        for header in erasure.dbMatch(rpm.RPMDBI_PACKAGES, number):
            erased.append(identity_of(header))
            erasure.addErase(number)
    erasure.setFlags(settings.flags | _NO_ERASING_SCRIPTLETS)
    told = [LEAVING + "{0} {2} had to be erased without its scriptlets".format(*identity) for identity in erased]
    for complaint in told:
        complain(complaint)
    return told + _done(erasure, erased)


def files_of(todo: Due, cache: str, archive: str) -> Dict[Identity, str]:
    """Return the package files of what comes, and of what goes in case that it has to come back: those in the agent's
    archive and in dnf's cache, which keeps those of a failed transaction.
    """
    found: Dict[Identity, str] = {}
    wanted = {*todo.comes, *todo.goes}
    names = tuple({f"{identity[0]}-" for identity in wanted})
    for pattern in (os.path.join(cache, "*", "packages", "*.rpm"), os.path.join(archive, "*.rpm")):
        for path in glob.glob(pattern):
            # A name may begin with another one: the header tells. A file that was not downloaded to its end is none.
            with suppress(Refused):
                identity = identity_of(read_header(path)) if os.path.basename(path).startswith(names) else None
                if identity in wanted:
                    found[identity] = path
    return found


def _transaction(settings: Settings, chosen: Steps, files: Mapping[Identity, str]) -> Any:
    transaction = _opened(settings)
    ignored = rpm.RPMPROB_FILTER_OLDPACKAGE | rpm.RPMPROB_FILTER_REPLACEPKG
    transaction.setProbFilter(ignored | settings.ignored)
    for how, identities in (("u", chosen.upgrade), ("i", chosen.beside)):
        for identity in identities:
            transaction.addInstall(read_header(files[identity]), files[identity], how)
    for identity in chosen.again:
        transaction.addReinstall(read_header(files[identity]), files[identity])
    for identity in chosen.erase:
        for header in transaction.dbMatch("name", identity[0]):
            if identity_of(header) == identity:
                transaction.addErase(header)
    return transaction


def _opened(settings: Settings) -> Any:
    transaction = rpm.TransactionSet(settings.root)
    # As dnf takes its option "nocrypto".
    unchecked = rpm._RPMVSF_NODIGESTS if settings.flags & rpm.RPMTRANS_FLAG_NOFILEDIGEST else 0
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES | unchecked)
    transaction.setFlags(settings.flags)
    take_unsigned(transaction)
    return transaction


def take_unsigned(transaction: Any) -> None:
    """Let a transaction take packages whatever rpm's policy says of signatures. Digests count as before. The policy
    came with rpm 4.14.2; where rpm's Python cannot change it, it stays.
    """
    if hasattr(transaction, "setVfyLevel"):
        transaction.setVfyLevel(transaction.getVfyLevel() & ~rpm.RPMSIG_SIGNATURE_TYPE)


def words_of(problem: Any) -> str:
    """Return a problem of a transaction in words. rpm gives it as (text, (kind, what, number))."""
    text = str(problem[0])
    if text.endswith("NOKEY"):
        return f"{text} (rpm does not have this key: import it, or the policy _pkgverify_level refuses the package)"
    if text.endswith(_UNSIGNED):
        return f"{text}, which rpm's policy _pkgverify_level demands"
    return text


class _Messages:
    """The messages that rpm writes into the log of the run, which is the standard error of the worker. There are none
    if the log cannot be read.
    """

    def __init__(self) -> None:
        self._log: Optional[int] = None
        self._start = 0
        # Open it first: in a private root, rpm changes its root directory before it runs scriptlets.
        with suppress(OSError):
            self._log = os.open("/proc/self/fd/2", os.O_RDONLY | os.O_CLOEXEC)

    def forget(self) -> None:
        """Skip everything that is in the log now."""
        if self._log is not None:
            self._start = os.fstat(self._log).st_size

    def lines(self) -> List[str]:
        """Return the lines since forget()."""
        if self._log is None:
            return []
        with suppress(OSError):
            size = os.fstat(self._log).st_size - self._start
            return os.pread(self._log, max(size, 0), self._start).decode("utf-8", "replace").splitlines()
        return []

    def close(self) -> None:
        if self._log is not None:
            os.close(self._log)


class _Callback:
    """rpm's callback: opens the files and notes which scriptlets failed. ``goes`` are the packages that leave."""

    def __init__(self, goes: Collection[Identity]) -> None:
        self.problems: List[str] = []
        self._goes = goes
        self._file: Optional[Any] = None
        self.messages = _Messages()

    def __call__(self, reason: int, amount: int, total: int, key: Any, data: Any) -> Optional[int]:
        if reason == rpm.RPMCALLBACK_INST_OPEN_FILE:
            show(f"completing {os.path.basename(key)}")
            self._file = open(key, "rb")  # noqa: SIM115
            return int(self._file.fileno())
        if reason == rpm.RPMCALLBACK_INST_CLOSE_FILE and self._file is not None:
            self._file.close()
        elif reason == rpm.RPMCALLBACK_SCRIPT_START:
            self.messages.forget()
        elif reason == rpm.RPMCALLBACK_SCRIPT_ERROR:
            # rpm passes the tag of the scriptlet as the amount.
            kind = str(rpm.tagnames.get(amount, ""))
            self._note(marked(_failed(key), kind, self.messages.lines(), self._goes))
        elif reason in (rpm.RPMCALLBACK_UNPACK_ERROR, rpm.RPMCALLBACK_CPIO_ERROR):
            self._note(_failed(key))
        return None

    def _note(self, problem: str) -> None:
        self.problems.append(problem)
        complain(problem)


def _failed(key: Any) -> str:
    """Return the complaint about rpm's key: the path of a file that is installed, the name of a package that leaves."""
    return f"rpm: {os.path.basename(key) if isinstance(key, str) else key} failed"
