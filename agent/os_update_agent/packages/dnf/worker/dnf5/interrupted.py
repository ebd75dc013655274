"""Completing a transaction of dnf 5 that was ended halfway: what its record says was begun. Runs in the worker."""

from typing import Any, Dict, List, NamedTuple

import libdnf5  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import (
    COMPLETED,
    HALFWAY,
    CheckUndo,
    Complete,
    Erase,
    Identity,
    Refused,
    UndoChecked,
)
from os_update_agent.packages.dnf.worker.completion import Installed, due
from os_update_agent.packages.dnf.worker.dnf5 import dnf_base
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    fill,
    installed,
    is_inbound,
    is_outbound,
    number,
    row,
    several,
    word,
)
from os_update_agent.packages.dnf.worker.dnf5.transaction import EXTERNAL, GROUP, group_of, locked, set_reasons
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.rpm_recovery import Settings, erase_kept, files_of
from os_update_agent.packages.dnf.worker.rpm_recovery import run as run_by_rpm
from os_update_agent.packages.dnf.worker.undo import checked
from os_update_agent.packages.worker.caller import Caller

_STARTED = libdnf5.transaction.TransactionState_STARTED


class Begun(NamedTuple):
    """What the last transaction of the record was to bring and to take, where it has no end; and the reasons that are
    to be set.
    """

    comes: List[Identity]
    goes: List[Identity]
    reasons: Dict[Identity, int]
    is_unfinished: bool


def complete(base: Any, request: Complete, caller: Caller) -> List[str]:
    """Finish what dnf's record and the package database show as begun."""
    with locked(request.root, caller):
        fill(base, repositories=False)
        begun = _begun(base)
        todo = due(begun.comes, begun.goes, _installed(base, request.native), request.native)
        config = base.get_config()
        files = files_of(todo, _inside(config.cachedir, config.installroot), request.archive)
        problems = run_by_rpm(_settings(config), todo, files, forced=request.forced)
        _close_record(request.root, begun)
        return problems


def erase(base: Any, request: Erase, caller: Caller) -> List[str]:
    """Erase what a scriptlet has kept."""
    with locked(request.root, caller):
        fill(base, repositories=False)
        todo = due(request.comes, request.goes, _installed(base, request.native), request.native)
        return erase_kept(_settings(base.get_config()), todo)


def checkundo(base: Any, request: CheckUndo) -> UndoChecked:
    """Rehearse a way back."""
    return checked(_settings(base.get_config()), request)


# libdnf5 keeps its own table to itself (string_tsflag_map).
_FLAGS = {
    "test": rpm.RPMTRANS_FLAG_TEST,
    "nodocs": rpm.RPMTRANS_FLAG_NODOCS,
    "noscripts": rpm.RPMTRANS_FLAG_NOSCRIPTS,
    "notriggers": rpm.RPMTRANS_FLAG_NOTRIGGERS,
    "justdb": rpm.RPMTRANS_FLAG_JUSTDB,
    "nocontexts": rpm.RPMTRANS_FLAG_NOCONTEXTS,
    "nocaps": rpm.RPMTRANS_FLAG_NOCAPS,
    "nocrypto": rpm.RPMTRANS_FLAG_NOFILEDIGEST,
    "deploops": rpm.RPMTRANS_FLAG_DEPLOOPS,
    "noplugins": getattr(rpm, "RPMTRANS_FLAG_NOPLUGINS", 0),
}


def _settings(config: Any) -> Settings:
    """Return what dnf itself sets for each transaction of the node: tsflags and ignorearch. Raises Refused for a flag
    with which dnf runs no transaction either.
    """
    flags = 0
    for name in config.tsflags:
        if name not in _FLAGS:
            raise Refused(f"dnf knows no such transaction flag: {name} (tsflags)")
        flags |= _FLAGS[name]
    ignored = rpm.RPMPROB_FILTER_IGNOREARCH if config.ignorearch else 0
    # rpm 6.0 can lower its policy for one package, and dnf does so since 5.2.14 for each local file without
    # localpkg_gpgcheck. The agent gives dnf such files: it has checked them when they came (resolution.py).
    return Settings(str(config.installroot), flags, ignored, hasattr(rpm.te, "SetVfyLevel"))


def _inside(path: str, root: str) -> str:
    return path if root == "/" or path.startswith(root) else root.rstrip("/") + path


def _begun(base: Any) -> Begun:
    begun = Begun([], [], {}, False)
    transactions = sorted(
        base.get_transaction_history().list_all_transactions(), key=lambda transaction: transaction.get_id()
    )
    # Those of ours that were to close the record of one and have no end themselves: it is still the one before.
    while transactions and transactions[-1].get_state() == _STARTED and _is_closing(transactions[-1]):
        # dnf writes the reasons down before the end: one that went there may stand in its place.
        begun = begun._replace(is_unfinished=True, reasons={**begun.reasons, **_halfway(transactions.pop())})
    last = transactions[-1] if transactions else None
    if last is None:
        return begun
    if last.get_state() != _STARTED:
        reasons = _halfway(last)
        return begun._replace(reasons={**begun.reasons, **reasons}, is_unfinished=True) if reasons else begun
    for item in last.get_packages():
        identity = row(item)
        if is_inbound(item):
            begun.comes.append(identity)
            begun.reasons[identity] = item.get_reason()
        elif is_outbound(item):
            begun.goes.append(identity)
    return begun._replace(is_unfinished=True)


def _halfway(transaction: Any) -> Dict[Identity, int]:
    """The reason that a transaction of ours has to be followed by, where it has changed one for a moment only."""
    comment = str(transaction.get_comment())
    if not comment.startswith(HALFWAY):
        return {}
    name, arch, version, reason = comment[len(HALFWAY) :].split()
    return {(name, arch, version): number(reason)}


def _is_closing(transaction: Any) -> bool:
    comment = str(transaction.get_comment())
    return comment == COMPLETED or comment.startswith(HALFWAY)


def _installed(base: Any, native: str) -> List[Installed]:
    many = set(several(base))
    successors = installed(base)
    successors.filter_obsoletes(installed(base))
    return [
        Installed(
            row(pkg),
            slot(pkg.get_name(), pkg.get_arch(), native),
            pkg.get_name() in many,
            (int(pkg.get_install_time()), int(pkg.get_rpmdbid())),
            _is_obsoleted(base, pkg, successors),
        )
        for pkg in installed(base)
    ]


def _is_obsoleted(base: Any, pkg: Any, successors: Any) -> bool:
    """By another name among the successors. Obsoletes mean names: what a package provides makes it nobody's old
    half.
    """
    itself = libdnf5.rpm.PackageSet(base)
    itself.add(pkg)
    found = libdnf5.rpm.PackageQuery(successors)
    found.filter_obsoletes(itself)
    return any(other.get_name() != pkg.get_name() for other in found)


def _close_record(root: str, begun: Begun) -> None:
    """Give what has come its reason. That is a transaction with an end, so that the interrupted one is no longer the
    last.
    """
    base = dnf_base.opened_for(root)
    fill(base, repositories=False)
    there = {row(pkg): pkg.get_reason() for pkg in installed(base)}
    wanted = {identity: reason for identity, reason in begun.reasons.items() if there.get(identity, reason) != reason}
    # A group that came to no end is not written down: its packages are nobody's.
    wanted = {identity: reason for identity, reason in wanted.items() if reason != GROUP or group_of(base, identity[0])}
    if not wanted and begun.is_unfinished:
        # Nothing to set: dnf writes no record of nothing, so a reason goes there and back; never a group's, which would
        # forget it.
        plain = sorted(
            (_PLAIN.index(reason), identity, reason) for identity, reason in there.items() if reason in _PLAIN
        )
        for _, identity, reason in plain[:1]:
            comment = HALFWAY + " ".join((*identity, word(reason)))
            set_reasons(base, "complete", comment, {identity: _OTHER if reason != _OTHER else _USER})
            wanted = {identity: reason}
    # What has run a transaction runs no other one; and none of its packages may outlive a Base.
    del base
    if wanted:
        again = dnf_base.opened_for(root)
        fill(again, repositories=False)
        set_reasons(again, "complete", COMPLETED, wanted)


_USER, _OTHER = libdnf5.transaction.TransactionItemReason_USER, libdnf5.transaction.TransactionItemReason_DEPENDENCY
# The last one, of which dnf itself has written nothing down, only where nothing else is there.
_PLAIN = (_USER, _OTHER, EXTERNAL)
