"""One strict transaction from local files: exactly what the request names comes and goes, or nothing at all. Runs in
the worker.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Collection, Iterator, List, Mapping

import libdnf5  # type: ignore

from os_update_agent.node.locks import record_locked
from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import Done, Identity, Locked, Outcome, Refused, Transact
from os_update_agent.packages.dnf.settings import read_settings
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    Base,
    fill,
    installed,
    number,
    opened_for,
    recorded,
    resolved,
    row,
    spec,
)
from os_update_agent.packages.dnf.worker.dnf5.resolution import effects, resolve
from os_update_agent.packages.dnf.worker.outcome import Effects, check_outcome
from os_update_agent.packages.dnf.worker.output import complain, show
from os_update_agent.packages.dnf.worker.rehearsal import check, database_of
from os_update_agent.packages.dnf.worker.scriptlets import marked
from os_update_agent.packages.worker.caller import Caller

_RESULTS = libdnf5.base.Transaction
GROUP = number("group")
EXTERNAL = number("unknown")
_DEPENDENCY = number("dependency")
_WEAK = (_DEPENDENCY, number("weak-dependency"))


def effect(base: Base, request: protocol.Effect) -> Outcome:
    transaction, planned = resolve(base, request.todo)
    found = effects(transaction)
    if found == planned:
        # Otherwise the caller says what differs.
        state = str(read_settings(Path(request.root), drop_ins=True).state)
        check(request.root, request.todo.files, sorted(found.goes), [state, database_of(request.root)])
        _test(transaction)
    base.rehearsed = transaction, planned
    return found.answer()


def _test(transaction: Any) -> None:
    """Run rpm's own test of the transaction, as run() does before it begins. Raises Refused, Locked."""
    if transaction.empty():
        return
    result = transaction.test()
    if result == _RESULTS.TransactionRunResult_ERROR_LOCK:
        raise Locked("another dnf is at work")
    if result != _RESULTS.TransactionRunResult_SUCCESS:
        problems = [" ".join(str(problem).split()) for problem in transaction.get_transaction_problems()]
        raise Refused("; ".join(problems) or _RESULTS.transaction_result_to_string(result) or "rpm's test has failed")


def transact(base: Base, request: Transact, caller: Caller) -> Done:
    with locked(request.root, caller):
        if base.since == recorded(request.root):
            return _run_planned(request, *(base.rehearsed or resolve(base, request.todo)))
        # Another dnf was at work before the lock was ours: its changes would be undone in the record, or have changed
        # what this transaction comes to. What comes of the new Base has no name here: it must not outlive it.
        again = opened_for(request.root)
        return _run_planned(request, *resolve(again, request.todo))


def _run_planned(request: Transact, transaction: Any, planned: Effects) -> Done:
    check_outcome(effects(transaction), planned)
    return run(transaction, "transact", request.comment, planned.goes)


def enable(base: Base, request: protocol.Enable, caller: Caller) -> None:
    """Refuse: an update by dnf 5 enables no stream."""
    raise Refused("dnf 5 enables no stream with a package")


def mark(base: Base, request: protocol.Mark, caller: Caller) -> None:
    """Set the reasons of installed packages, as `dnf mark` does. Raises Refused for those that no group has, after the
    others were set.
    """
    reason = number(request.reason)
    with locked(request.root, caller):
        # If another dnf was at work before the lock was ours, the marks that it has set stay.
        base = base if base.since == recorded(request.root) else opened_for(request.root)
        fill(base, repositories=False)
        wanted = dict.fromkeys(request.packages, reason)
        stray = [identity for identity in wanted if reason == GROUP and not group_of(base, identity[0])]
        there = {row(pkg): pkg.get_reason() for pkg in installed(base)}
        for identity in stray:
            del wanted[identity]
            if there.get(identity) in _WEAK:
                # A clean-up would remove it: it becomes nobody's, as dnf itself leaves a package that has lost its
                # group.
                wanted[identity] = EXTERNAL
        if reason == EXTERNAL:
            # A group's name counts for more than this reason, which does not take it out of its group as the other one
            # does.
            set_reasons(base, "mark", request.comment, dict.fromkeys(wanted, _DEPENDENCY))
            base = opened_for(request.root)
            fill(base, repositories=False)
        if wanted:
            set_reasons(base, "mark", request.comment, wanted)
    if stray:
        names = ", ".join(name for name, _, _ in stray)
        raise Refused(f"no installed group has {names}, so dnf cannot mark that as installed by a group")


def set_reasons(base: Any, action: str, comment: str, reasons: Mapping[Identity, int]) -> None:
    """Set the reasons of installed packages, under dnf's lock; GROUP only for what has a group. Raises Refused."""
    goal = libdnf5.base.Goal(base)
    for identity, reason in reasons.items():
        group = group_of(base, identity[0]) if reason == GROUP else ""
        goal.add_rpm_reason_change(spec(identity), reason, group, libdnf5.base.GoalJobSettings())
    complaints = run(resolved(goal), action, comment).complaints
    if complaints:
        raise Refused("; ".join(complaints))


@contextmanager
def locked(root: str, caller: Caller) -> Iterator[None]:
    """Hold dnf's own lock, which its command takes and its API does not. Raises Locked, and Refused if the caller has
    ended.

    The caller is checked under the lock: an agent that takes over waits for it before it looks at the packages. The
    lock is held until the end. dnf 5.2 releases it itself then, for a process has a record lock once, however often it
    takes it.
    """
    with ExitStack() as stack:
        for path in read_settings(Path(root), drop_ins=True).locks:
            if not stack.enter_context(record_locked(path)):
                raise Locked("another dnf is at work")
        caller.check()
        yield


def group_of(base: Any, name: str) -> str:
    """The installed group that a package belongs to, where dnf writes it down; "" where there is none."""
    groups = libdnf5.comps.GroupQuery(base)
    groups.filter_installed(True)
    return next(
        (
            str(group.get_groupid())
            for group in groups
            if any(member.get_name() == name for member in group.get_packages())
        ),
        "",
    )


def run(transaction: Any, action: str, comment: str, goes: Collection[Identity] = ()) -> Done:
    """Run a resolved transaction under dnf's lock; action and comment go into dnf's history. ``goes`` are the packages
    that leave. Raises Locked.
    """
    display = Display(transaction, goes)
    transaction.set_callbacks(libdnf5.rpm.TransactionCallbacksUniquePtr(display))
    transaction.set_description(f"os-update-agent {action}")
    transaction.set_comment(comment)
    result = transaction.run()
    if result == _RESULTS.TransactionRunResult_ERROR_LOCK:
        raise Locked("another dnf is at work")
    problems = [" ".join(str(problem).split()) for problem in transaction.get_transaction_problems()]
    if result != _RESULTS.TransactionRunResult_SUCCESS and not (problems or display.errors):
        problems.append(_RESULTS.transaction_result_to_string(result) or f"dnf ended with the result {result}")
    for line in problems:
        complain(line)
    return Done([*display.errors, *problems], display.said)


class Display(libdnf5.rpm.TransactionCallbacks):  # type: ignore
    """Writes the progress as plain lines, and keeps the complaints."""

    def __init__(self, transaction: Any, goes: Collection[Identity]) -> None:
        super().__init__()
        self._goes = goes
        self.errors: List[str] = []
        self.said: List[str] = []
        self._transaction = transaction

    def elem_progress(self, item: Any, amount: int, total: int) -> None:
        action = libdnf5.transaction.transaction_item_action_to_string(item.get_action())
        show(f"[{amount + 1}/{total}] {action} {item.get_package().get_nevra()}")

    def script_stop(self, item: Any, nevra: Any, kind: int, return_code: int) -> None:
        """rpm's own result: 1 where the transaction goes on all the same, 2 where the package is not installed."""
        # What it has said is there now, and gone when the next package begins.
        output = str(getattr(self._transaction, "get_last_script_output", str)() or "").splitlines()
        messages = [f"error: {message}" for message in getattr(self._transaction, "get_rpm_messages", list)()]
        for line in [*output, *messages]:
            show(line)
        if return_code:
            self.said += messages
            script = libdnf5.rpm.TransactionCallbacks.script_type_to_string(kind)
            complaint = f"Error in {script} scriptlet in rpm package {nevra.get_name()}"
            self._complain(marked(complaint, script, messages, self._goes))

    def unpack_error(self, item: Any) -> None:
        self._complain(f"{item.get_package().get_nevra()} cannot be unpacked")

    def cpio_error(self, item: Any) -> None:
        self._complain(f"{item.get_package().get_nevra()} cannot be read")

    def _complain(self, line: str) -> None:
        self.errors.append(line)
        complain(line)
