"""Completing a transaction of dnf 4 that was ended halfway: what its record says was begun. Runs in the worker."""

from typing import Any, Dict, List, Tuple

import dnf  # type: ignore
import dnf.lock  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import COMPLETED, CheckUndo, Complete, Erase, Identity, UndoChecked
from os_update_agent.packages.dnf.worker.completion import Installed, due
from os_update_agent.packages.dnf.worker.dnf4.dnf_base import fill, install_only, row
from os_update_agent.packages.dnf.worker.dnf4.transaction import close_record
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.rpm_recovery import Settings, erase_kept, files_of, run
from os_update_agent.packages.dnf.worker.undo import checked
from os_update_agent.packages.worker.caller import Caller


def complete(base: Any, request: Complete, caller: Caller) -> List[str]:
    """Finish what dnf's record and the package database show as begun."""
    # An agent that takes over waits for this lock before it looks at the packages.
    with dnf.lock.build_rpmdb_lock(base.conf.persistdir, base.conf.exit_on_lock):
        caller.check()
        fill(base, repositories=False)
        comes, goes, reasons = _begun(base)
        todo = due(comes, goes, _installed(base, request.native), request.native)
        files = files_of(todo, base.conf.cachedir, request.archive)
        problems = run(_settings(base), todo, files, forced=request.forced)
        base.reset(sack=True, goal=True)
        fill(base, repositories=False)
        for pkg in base.sack.query().installed():
            if row(pkg) in reasons:
                base.history.set_reason(pkg, reasons[row(pkg)])
        close_record(base, COMPLETED)
        return problems


def erase(base: Any, request: Erase, caller: Caller) -> List[str]:
    """Erase what a scriptlet has kept."""
    with dnf.lock.build_rpmdb_lock(base.conf.persistdir, base.conf.exit_on_lock):
        caller.check()
        fill(base, repositories=False)
        todo = due(request.comes, request.goes, _installed(base, request.native), request.native)
        return erase_kept(_settings(base), todo)


def checkundo(base: Any, request: CheckUndo) -> UndoChecked:
    """Rehearse a way back."""
    return checked(_settings(base), request)


def _settings(base: Any) -> Settings:
    """Return what dnf itself sets for each transaction of the node: tsflags, ignorearch, diskspacecheck."""
    flags = base._ts.getTsFlags()
    ignored = (rpm.RPMPROB_FILTER_DISKSPACE, rpm.RPMPROB_FILTER_IGNOREARCH)
    return Settings(str(base.conf.installroot), flags, sum(each for each in ignored if each in base._rpm_probfilter))


def _begun(base: Any) -> Tuple[List[Identity], List[Identity], Dict[Identity, int]]:
    """What the last transaction of the record was to bring and to take, where it has no end."""
    comes, goes, reasons = [], [], {}  # type: List[Identity], List[Identity], Dict[Identity, int]
    # One of ours that was to close the record of another one and has no end itself has set nothing: it is still the one
    # before.
    last = next((found for found in base.history.old() if found.end_timestamp or found.comment != COMPLETED), None)
    if last is None or last.end_timestamp:
        return comes, goes, reasons
    for item in last.packages():
        identity = row(item)
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            comes.append(identity)
            reasons[identity] = item.reason
        elif item.action in dnf.transaction.BACKWARD_ACTIONS:
            goes.append(identity)
    return comes, goes, reasons


def _installed(base: Any, native: str) -> List[Installed]:
    several = {pkg.name for pkg in install_only(base)}
    everything = base.sack.query().installed()
    return [
        Installed(
            row(pkg),
            slot(pkg.name, pkg.arch, native),
            pkg.name in several,
            (int(pkg.installtime), int(pkg.rpmdbid)),
            any(other.name != pkg.name for other in everything.filter(obsoletes=[pkg])),
        )
        for pkg in everything
    ]
