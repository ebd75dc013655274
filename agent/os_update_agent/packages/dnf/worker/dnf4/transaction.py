"""One strict transaction from local files: exactly what the request names comes and goes, or nothing at all. Runs in
the worker.
"""

import re
from typing import Any, List, Sequence

import dnf  # type: ignore
import dnf.callback  # type: ignore
import dnf.yum.rpmtrans  # type: ignore
import libdnf  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.complaints import LEAVING, is_of_leaving
from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import Done, Outcome, Refused, Todo, Transact
from os_update_agent.packages.dnf.worker.dnf4 import older
from os_update_agent.packages.dnf.worker.dnf4.dnf_base import Base, fill, install_only, number, row, versions
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.outcome import Effects, check_outcome
from os_update_agent.packages.dnf.worker.output import complain, show
from os_update_agent.packages.dnf.worker.rehearsal import check, database_of
from os_update_agent.packages.dnf.worker.scriptlets import marked
from os_update_agent.packages.worker.caller import Caller


def effect(base: Base, request: protocol.Effect) -> Outcome:
    planned = _resolve(base, request.todo)
    found = _effects(base)
    if found == planned:
        # Otherwise the caller says what differs.
        check(request.root, request.todo.files, sorted(found.goes), [base.conf.persistdir, database_of(request.root)])
        _test(base)
    base.rehearsed = planned
    return found.answer()


def _test(base: Any) -> None:
    """Run rpm's own test of the transaction, as do_transaction() does before it begins. Raises Refused."""
    if not base.transaction:
        return
    try:
        base.transaction._populate_rpm_ts(base._ts)
        problems = base._run_rpm_check()
        if not problems:
            base._ts.order()
            base._ts.clean()
            problems = base._ts.test(dnf.yum.rpmtrans.RPMTransaction(base, test=True))
    finally:
        # do_transaction() fills another one.
        del base._ts
    if problems:
        raise Refused("; ".join(" ".join(str(problem).split()) for problem in problems))


def transact(base: Base, request: Transact, caller: Caller) -> Done:
    planned = base.rehearsed or _resolve(base, request.todo)
    check_outcome(_effects(base), planned)
    reasons = {identity: number(word) for identity, word in request.todo.install}
    for item in base.transaction:
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            item.reason = reasons[row(item.pkg)]
    base.args = ["os-update-agent", protocol.action_of(request)]
    base.conf.comment = request.comment
    _insist(base, caller)
    display = Display(planned)
    try:
        base.do_transaction(display=display)
    except dnf.exceptions.LockError:
        # Nothing was begun: the agent waits and asks again.
        raise
    except dnf.exceptions.Error as error:
        display.error(" ".join(str(error).split()))
    failed = [item for item in base.transaction if item.state == libdnf.transaction.TransactionItemState_ERROR]
    return Done([*display.errors, *(_not_processed(item, display.errors) for item in failed)], display.said)


def _not_processed(item: Any, errors: Sequence[str]) -> str:
    """Return the complaint about an item that rpm has not processed. dnf does not distinguish the two sides of a
    package that is installed again: only the ``errors`` of the transaction say which of them has failed.
    """
    is_again = item.action in (dnf.transaction.PKG_REINSTALL, dnf.transaction.PKG_REINSTALLED)
    is_again = is_again and bool(errors) and all(map(is_of_leaving, errors))
    is_leaving = is_again or item.action in dnf.transaction.BACKWARD_ACTIONS
    return f"{LEAVING if is_leaving else ''}{item.pkg} was not processed"


def _insist(base: Any, caller: Caller) -> None:
    """Check for the caller where dnf calls its plugins: under its lock, after all checks, and before anything is
    written.
    """
    plugins = base._plugins
    run_pre_transaction = plugins.run_pre_transaction

    def checked() -> None:
        caller.check()
        run_pre_transaction()

    plugins.run_pre_transaction = checked


def mark(base: Any, request: protocol.Mark, caller: Caller) -> None:
    """Set the reasons of installed packages, as `dnf mark` does."""
    caller.check()
    fill(base, repositories=False)
    reason = number(request.reason)
    for pkg in (pkg for found in versions(base, request.packages, installed=True) for pkg in found):
        base.history.set_reason(pkg, reason)
    close_record(base, request.comment)


def close_record(base: Any, comment: str) -> None:
    """Write a transaction of dnf's history that changes no package: new reasons, or the end of an interruption."""
    last = base.history.last()
    version = older.recorded_version(base) if last is None else last.end_rpmdb_version
    base.history.beg(version, [], [], " ".join(base.args), comment)
    base.history.end(version)


def _resolve(base: Any, todo: Todo) -> Effects:
    """Let dnf solve the transaction with nothing but the files at hand. Returns what is meant to come and to go."""
    if todo.forced:
        # The way back may take what was protected since, and the kernel that runs until the next boot.
        base.conf.protected_packages = []
        base.conf.protect_running_kernel = False
    base.conf.install_weak_deps = False
    # rpm takes 1:1.0-1 for the installed 1.0-1 when the new package has no epoch; what is installed was looked at here.
    base._rpm_probfilter.add(rpm.RPMPROB_FILTER_REPLACEPKG)
    fill(base, repositories=False)
    coming = base.add_remote_rpms(list(todo.files))
    several = install_only(base)
    going = [pkg for found in versions(base, todo.remove, installed=True) for pkg in found]
    installed = list(base.sack.query().installed())
    places = {slot(pkg.name, pkg.arch, todo.native) for pkg in coming if pkg not in several}
    for pkg in installed:
        if pkg not in several and slot(pkg.name, pkg.arch, todo.native) in places and pkg not in going:
            going.append(pkg)
    again = {row(pkg) for pkg in coming} & {row(pkg) for pkg in installed}
    for pkg in coming:
        selector = dnf.selector.Selector(base.sack)
        selector.set(pkg=[pkg])
        base.goal.install(select=selector, optional=False)
    for pkg in going:
        if row(pkg) not in again:
            base.goal.erase(pkg, clean_deps=False)
    try:
        base.resolve(allow_erasing=False)
    except dnf.exceptions.DepsolveError as error:
        raise Refused(" ".join(str(error).split())) from error
    return Effects({row(pkg) for pkg in coming}, {row(pkg) for pkg in going} - again)


def _effects(base: Any) -> Effects:
    comes = {row(pkg) for pkg in base.transaction.install_set} if base.transaction else set()
    goes = {row(pkg) for pkg in base.transaction.remove_set} if base.transaction else set()
    return Effects(comes, goes - comes)


class Display(dnf.callback.TransactionProgress):  # type: ignore
    """Writes the progress as plain lines, and keeps the complaints. ``planned`` is what comes and what goes."""

    def __init__(self, planned: Effects) -> None:
        super().__init__()
        self.errors: List[str] = []
        self.said: List[str] = []
        self._planned = planned
        self._shown: Any = None
        # The output of the last scriptlet.
        self._last: List[str] = []

    def progress(self, package: Any, action: Any, ti_done: Any, ti_total: Any, ts_done: Any, ts_total: Any) -> None:
        shown = (action, str(package or ""))
        if package and shown != self._shown:
            self._shown = shown
            show("[{}/{}] {} {}".format(ts_done, ts_total, dnf.transaction.ACTIONS.get(action, ""), package))

    def scriptout(self, msgs: Any) -> None:
        if msgs:
            text = msgs.decode("utf-8", "replace") if isinstance(msgs, bytes) else str(msgs)
            show(text.rstrip())
            self._last = text.splitlines()
            self.said += self._last

    def error(self, message: Any) -> None:
        complaint = str(message)
        scriptlet = _SCRIPTLET.match(complaint)
        if scriptlet:
            complaint = marked(complaint, scriptlet["kind"], self._last, self._planned.goes)
            self._last = []
        if complaint in self.errors:
            return
        self.errors.append(complaint)
        complain(complaint)


# Error in PREUN scriptlet in rpm package tool
_SCRIPTLET = re.compile(r"Error in (?P<kind>\S+) scriptlet in rpm package ")
