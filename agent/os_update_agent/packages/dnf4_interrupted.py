"""Completing a transaction that was ended halfway. Runs in the worker.

Measured: after a kill "dnf upgrade" and "dnf distro-sync" end with 0 and leave both versions, and "history undo" makes the database
right and leaves the new files on the disk; only forward is clean. So what the record says should have come is installed (again), by
rpm itself in one transaction, and what should have gone goes.
"""

import glob
import os
import sys
from typing import Any, Dict, List, Optional, Tuple

import dnf  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf4_base import Request, evr, fill, install_only, row, slot
from os_update_agent.packages.dnf4_fetch import read_header
from os_update_agent.packages.dnf4_transaction import close_record

Identity = Tuple[str, ...]


def complete(base: Any, request: Request) -> Dict[str, Any]:
    """Finish what dnf's record and the package database show as begun. Answers what could not be finished."""
    fill(base, repositories=False)
    comes, goes, reasons = _begun(base)
    comes = [identity for identity in comes if _is_due(base, request, identity, goes)]
    comes, goes = _with_duplicates(base, request, comes, goes)
    files = _files(base, request, comes)
    problems = _run(base, request, [(identity, files[identity]) for identity in comes if identity in files], goes)
    base.reset(sack=True, goal=True)
    fill(base, repositories=False)
    for pkg in base.sack.query().installed():
        if tuple(row(pkg)) in reasons:
            base.history.set_reason(pkg, reasons[tuple(row(pkg))])
    close_record(base, "os-update-agent: the end of an interrupted transaction")
    return {"problems": problems}


def _begun(base: Any) -> Tuple[List[Identity], List[Identity], Dict[Identity, int]]:
    """What the last transaction of the record was to bring and to take, where it has no end."""
    last = base.history.last(complete_transactions_only=False)
    comes, goes, reasons = [], [], {}  # type: List[Identity], List[Identity], Dict[Identity, int]
    if last is None or last.end_timestamp:
        return comes, goes, reasons
    for item in last.packages():
        identity = (item.name, item.arch, evr(item))
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            comes.append(identity)
            reasons[identity] = item.reason
        elif item.action in dnf.transaction.BACKWARD_ACTIONS:
            goes.append(identity)
    return comes, goes, reasons


def _is_due(base: Any, request: Request, identity: Identity, goes: List[Identity]) -> bool:
    """Is the place as the unfinished transaction left it? Where something else is by now the record is an old story."""
    place = slot(identity[0], identity[1], request["native"])
    there = [pkg for pkg in base.sack.query().installed().filter(name=identity[0]) if slot(pkg.name, pkg.arch, request["native"]) == place]
    several = install_only(base)
    return all(pkg in several or tuple(row(pkg)) == identity or tuple(row(pkg)) in goes for pkg in there)


def _with_duplicates(base: Any, request: Request, comes: List[Identity], goes: List[Identity]) -> Tuple[List[Identity], List[Identity]]:
    """Add what the record does not tell: places with two versions, where the last one installed stays, and what another one obsoletes."""
    several = install_only(base)
    places: Dict[str, List[Any]] = {}
    for pkg in base.sack.query().installed():
        if pkg not in several:
            places.setdefault(slot(pkg.name, pkg.arch, request["native"]), []).append(pkg)
    doubled = [sorted(found, key=lambda pkg: (pkg.installtime, pkg)) for found in places.values() if len(found) > 1]
    old = []
    for found in doubled:
        if not any(tuple(row(pkg)) in comes for pkg in found):
            comes = [*comes, tuple(row(found[-1]))]
        old += [pkg for pkg in found if tuple(row(pkg)) not in comes]
    if doubled:
        installed = base.sack.query().installed()
        old += [pkg for pkg in installed if installed.filter(obsoletes=[pkg]) and tuple(row(pkg)) not in comes]
    return comes, list(dict.fromkeys([*goes, *(tuple(row(pkg)) for pkg in old)]))


def _files(base: Any, request: Request, wanted: List[Identity]) -> Dict[Identity, str]:
    """The package files at hand: in the agent's archive, and in dnf's cache, where it keeps those of a failed transaction."""
    found: Dict[Identity, str] = {}
    for pattern in (os.path.join(base.conf.cachedir, "*", "packages", "*.rpm"), os.path.join(request["archive"], "*.rpm")):
        for path in glob.glob(pattern):
            name = os.path.basename(path)
            if any(name.startswith(identity[0] + "-") for identity in wanted):
                found[_identity(read_header(path))] = path
    return found


def _identity(header: Any) -> Identity:
    epoch = header[rpm.RPMTAG_EPOCH]
    version = f"{_text(header[rpm.RPMTAG_VERSION])}-{_text(header[rpm.RPMTAG_RELEASE])}"
    return _text(header[rpm.RPMTAG_NAME]), _text(header[rpm.RPMTAG_ARCH]), f"{epoch}:{version}" if epoch else version


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _run(base: Any, request: Request, install: List[Tuple[Identity, str]], goes: List[Identity]) -> List[str]:
    """One rpm transaction. Where its dependencies are not met only what should have gone is erased."""
    complete = _transaction(base, install, goes)
    problems = [str(problem) for problem in complete.check()]
    if problems:
        del complete
        complete = _transaction(base, [], goes)
    complete.order()
    callback = _Callback()
    failed = complete.run(callback, "")
    complete.closeDB()
    return problems + callback.problems + [str(problem) for problem in failed or ()]


def _transaction(base: Any, install: List[Tuple[Identity, str]], goes: List[Identity]) -> Any:
    transaction = rpm.TransactionSet(base.conf.installroot)
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES)
    transaction.setProbFilter(rpm.RPMPROB_FILTER_OLDPACKAGE | rpm.RPMPROB_FILTER_REPLACEPKG)
    several = {pkg.name for pkg in install_only(base)}
    replaced = set()
    for identity, path in install:
        transaction.addInstall(read_header(path), path, "i" if identity[0] in several else "u")
        if identity[0] not in several:
            replaced.add(identity[0])
    for name, arch, version in goes:
        for header in transaction.dbMatch("name", name):
            if _identity(header) == (name, arch, version) and name not in replaced:
                transaction.addErase(header)
    return transaction


class _Callback:
    """rpm's callback: opens the files and tells which scriptlets failed."""

    def __init__(self) -> None:
        self.problems: List[str] = []
        self._file: Optional[Any] = None

    def __call__(self, reason: int, amount: int, total: int, key: Any, data: Any) -> Optional[int]:
        if reason == rpm.RPMCALLBACK_INST_OPEN_FILE:
            print(f"completing {os.path.basename(key)}")
            sys.stdout.flush()
            self._file = open(key, "rb")  # noqa: SIM115
            return int(self._file.fileno())
        if reason == rpm.RPMCALLBACK_INST_CLOSE_FILE and self._file is not None:
            self._file.close()
        elif reason in (rpm.RPMCALLBACK_SCRIPT_ERROR, rpm.RPMCALLBACK_UNPACK_ERROR, rpm.RPMCALLBACK_CPIO_ERROR):
            self.problems.append(f"rpm: {os.path.basename(key) if isinstance(key, str) else key} failed")
        return None
