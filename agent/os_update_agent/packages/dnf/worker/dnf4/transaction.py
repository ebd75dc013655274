"""One strict transaction from local files: exactly what the request names comes and goes, or nothing at all. Runs in
the worker.
"""

import sys
from typing import Any, Dict, List, Set, Tuple

import dnf  # type: ignore
import dnf.callback  # type: ignore
import libdnf  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.worker.dnf4.dnf_base import (
    Refused,
    Request,
    fill,
    install_only,
    number,
    row,
    slot,
    versions,
)
from os_update_agent.packages.dnf.worker.server import check_wanted, rehearsed, say

Effect = Set[Tuple[str, ...]]


def effect(base: Any, request: Request) -> Dict[str, Any]:
    """What the transaction would come to: the identities that come and those that go."""
    rehearsed(request, lambda: _resolve(base, request))
    comes, goes = _outcome(base)
    return {"comes": sorted(comes), "goes": sorted(goes)}


def transact(base: Any, request: Request) -> Dict[str, List[str]]:
    """Run it. The answer lists what dnf and rpm say went wrong: a failing scriptlet does not fail a transaction of dnf
    4.
    """
    planned = rehearsed(request, lambda: _resolve(base, request))
    base.args = ["os-update-agent", request["action"]]
    comes, goes = _outcome(base)
    if (comes, goes) != planned:
        differing = (comes ^ planned[0]) | (goes ^ planned[1])
        raise Refused(
            "dnf would not do exactly what was planned: {}".format(
                ", ".join(" ".join(item) for item in sorted(differing))
            )
        )
    reasons = {tuple(identity): number(word) for identity, word in request["install"]}
    for item in base.transaction:
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            item.reason = reasons[tuple(row(item.pkg))]
    _insist(base, request)
    display = Display()
    try:
        base.do_transaction(display=display)
    except dnf.exceptions.LockError:
        # Nothing was begun: it is waited for.
        raise
    except dnf.exceptions.Error as error:
        display.error(" ".join(str(error).split()))
    failed = [item for item in base.transaction if item.state == libdnf.transaction.TransactionItemState_ERROR]
    complaints = display.errors + [f"{item.pkg} was not processed" for item in failed]
    return {"complaints": complaints, "said": display.said}


def _insist(base: Any, request: Request) -> None:
    """Look for whoever wants it where dnf calls its plugins: under its lock, after all checks, and before anything is
    written.
    """
    plugins = base._plugins
    run_pre_transaction = plugins.run_pre_transaction

    def checked() -> None:
        check_wanted(request)
        run_pre_transaction()

    plugins.run_pre_transaction = checked


def mark(base: Any, request: Request) -> None:
    """Set the reasons of installed packages, as `dnf mark` does."""
    fill(base, repositories=False)
    reason = number(request["reason"])
    for pkg in (pkg for found in versions(base, request["packages"], installed=True) for pkg in found):
        base.history.set_reason(pkg, reason)
    close_record(base, request.get("comment", ""))


def close_record(base: Any, comment: str) -> None:
    """Write a transaction of dnf's history that changes no package: new reasons, or the end of an interruption."""
    last = base.history.last()
    version = base._ts.dbCookie() if last is None else last.end_rpmdb_version
    base.history.beg(version, [], [], " ".join(base.args), comment)
    base.history.end(version)


def _resolve(base: Any, request: Request) -> Tuple[Effect, Effect]:
    """Let dnf solve the transaction with nothing but the files at hand. Returns what is meant to come and to go."""
    if request["forced"]:
        # The way back may take what was protected since, and the kernel that runs until the next boot.
        base.conf.protected_packages = []
        base.conf.protect_running_kernel = False
    base.conf.install_weak_deps = False
    # rpm takes 1:1.0-1 for the installed 1.0-1 when the new package has no epoch; what is installed was looked at here.
    base._rpm_probfilter.add(rpm.RPMPROB_FILTER_REPLACEPKG)
    fill(base, repositories=False)
    coming = base.add_remote_rpms(request["files"])
    several = install_only(base)
    going = [pkg for found in versions(base, request["remove"], installed=True) for pkg in found]
    installed = list(base.sack.query().installed())
    places = {slot(pkg.name, pkg.arch, request["native"]) for pkg in coming if pkg not in several}
    for pkg in installed:
        if pkg not in several and slot(pkg.name, pkg.arch, request["native"]) in places and pkg not in going:
            going.append(pkg)
    again = {tuple(row(pkg)) for pkg in coming} & {tuple(row(pkg)) for pkg in installed}
    for pkg in coming:
        selector = dnf.selector.Selector(base.sack)
        selector.set(pkg=[pkg])
        base.goal.install(select=selector, optional=False)
    for pkg in going:
        if tuple(row(pkg)) not in again:
            base.goal.erase(pkg, clean_deps=False)
    try:
        base.resolve(allow_erasing=False)
    except dnf.exceptions.DepsolveError as error:
        raise Refused(" ".join(str(error).split())) from error
    return {tuple(row(pkg)) for pkg in coming}, {tuple(row(pkg)) for pkg in going} - again


def _outcome(base: Any) -> Tuple[Effect, Effect]:
    comes = {tuple(row(pkg)) for pkg in base.transaction.install_set} if base.transaction else set()
    goes = {tuple(row(pkg)) for pkg in base.transaction.remove_set} if base.transaction else set()
    return comes, goes - comes


class Display(dnf.callback.TransactionProgress):  # type: ignore
    """Writes the progress as plain lines, and keeps the complaints."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: List[str] = []
        self.said: List[str] = []
        self._shown: Any = None

    def progress(self, package: Any, action: Any, ti_done: Any, ti_total: Any, ts_done: Any, ts_total: Any) -> None:
        shown = (action, str(package or ""))
        if package and shown != self._shown:
            self._shown = shown
            print("[{}/{}] {} {}".format(ts_done, ts_total, dnf.transaction.ACTIONS.get(action, ""), package))
            sys.stdout.flush()

    def scriptout(self, msgs: Any) -> None:
        if msgs:
            text = msgs.decode("utf-8", "replace") if isinstance(msgs, bytes) else str(msgs)
            print(text.rstrip())
            sys.stdout.flush()
            self.said += text.splitlines()

    def error(self, message: Any) -> None:
        if str(message) in self.errors:
            return
        self.errors.append(str(message))
        say(str(message))
