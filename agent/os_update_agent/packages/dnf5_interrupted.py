"""Completing a transaction of dnf 5 that was ended halfway: what its record says was begun. Runs in the worker."""

from typing import Any, Dict, List, Tuple

import libdnf5  # type: ignore

from os_update_agent.packages import dnf5_base
from os_update_agent.packages.dnf5_base import (
    Request,
    evr,
    fill,
    installed,
    is_inbound,
    is_outbound,
    query,
    resolved,
    row,
    several,
    slot,
    spec,
)
from os_update_agent.packages.dnf5_transaction import run
from os_update_agent.packages.rpm_completion import Identity, Installed, due, files_of
from os_update_agent.packages.rpm_completion import run as run_by_rpm

_STARTED = libdnf5.transaction.TransactionState_STARTED
_COMMENT = "os-update-agent: the end of an interrupted transaction"


def complete(base: Any, request: Request) -> Dict[str, Any]:
    """Finish what dnf's record and the package database show as begun. Answers what could not be finished."""
    fill(base, repositories=False)
    begun, ended, reasons = _begun(base)
    todo = due(begun, ended, _installed(base, request["native"]), request["native"])
    config = base.get_config()
    files = files_of(todo.comes, _inside(config.cachedir, config.installroot), request["archive"])
    problems = run_by_rpm(str(config.installroot), set(several(base)), todo, files)
    _close_record(request, reasons, is_unfinished=bool(begun or ended))
    return {"problems": problems}


def _inside(path: str, root: str) -> str:
    return path if root == "/" or path.startswith(root) else root.rstrip("/") + path


def _begun(base: Any) -> Tuple[List[Identity], List[Identity], Dict[Identity, int]]:
    """What the last transaction of the record was to bring and to take, where it has no end."""
    comes, goes, reasons = [], [], {}  # type: List[Identity], List[Identity], Dict[Identity, int]
    last = max(base.get_transaction_history().list_all_transactions(), key=lambda transaction: transaction.get_id(), default=None)
    if last is None or last.get_state() != _STARTED:
        return comes, goes, reasons
    for item in last.get_packages():
        identity = (item.get_name(), item.get_arch(), evr(item))
        if is_inbound(item):
            comes.append(identity)
            reasons[identity] = item.get_reason()
        elif is_outbound(item):
            goes.append(identity)
    return comes, goes, reasons


def _installed(base: Any, native: str) -> List[Installed]:
    many = set(several(base))
    successors: Dict[int, bool] = {}
    for pkg in installed(base):
        # Those that are installed and named as obsolete by this one.
        obsolete = query(base)
        obsolete.filter_installed()
        obsolete.filter_provides(pkg.get_obsoletes())
        for old in obsolete:
            if old.get_name() != pkg.get_name():
                successors[old.get_id().id] = True
    return [
        Installed(
            tuple(row(pkg)),
            slot(pkg.get_name(), pkg.get_arch(), native),
            pkg.get_name() in many,
            int(pkg.get_install_time()),
            pkg.get_id().id in successors,
        )
        for pkg in installed(base)
    ]


def _close_record(request: Request, reasons: Dict[Identity, int], is_unfinished: bool) -> None:
    """Give what has come its reason. That is a transaction with an end, so that the interrupted one is no longer the last."""
    request = {**request, "comment": _COMMENT}
    base = dnf5_base.opened(request)
    try:
        fill(base, repositories=False)
        there = {tuple(row(pkg)): pkg.get_reason() for pkg in installed(base)}
        wanted = {identity: reason for identity, reason in reasons.items() if identity in there and there[identity] != reason}
        if not wanted and there and is_unfinished:
            # Nothing to set: dnf writes no record of nothing, so a reason goes there and back.
            identity, reason = next(iter(sorted(there.items())))
            _set(base, request, {identity: _OTHER if reason != _OTHER else libdnf5.transaction.TransactionItemReason_USER})
            wanted = {identity: reason}
    finally:
        del base
    if wanted:
        again = dnf5_base.opened(request)
        fill(again, repositories=False)
        _set(again, request, wanted)


_OTHER = libdnf5.transaction.TransactionItemReason_DEPENDENCY


def _set(base: Any, request: Request, reasons: Dict[Identity, int]) -> None:
    goal = libdnf5.base.Goal(base)
    for identity, reason in reasons.items():
        goal.add_rpm_reason_change(spec(identity), reason, "", libdnf5.base.GoalJobSettings())
    run(resolved(goal), request)
