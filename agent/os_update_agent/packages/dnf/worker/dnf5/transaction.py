"""One strict transaction from local files: exactly what the request names comes and goes, or nothing at all. Runs in
the worker.
"""

import json
import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Set, Tuple

import libdnf5  # type: ignore

from os_update_agent.node.locks import record_locked
from os_update_agent.packages.dnf.settings import read_settings
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    Refused,
    Request,
    evr,
    fill,
    installed,
    is_inbound,
    is_outbound,
    number,
    opened,
    recorded,
    resolved,
    row,
    several,
    slot,
    spec,
    versions,
)
from os_update_agent.packages.dnf.worker.rpm_recovery import Identity, compared, provided_by
from os_update_agent.packages.dnf.worker.server import Locked, check_wanted, rehearsed, say

Effect = Set[Tuple[str, ...]]

_RESULTS = libdnf5.base.Transaction
GROUP = number("group")
EXTERNAL = number("unknown")
_DEPENDENCY = number("dependency")
_WEAK = (_DEPENDENCY, number("weak-dependency"))


def effect(base: Any, request: Request) -> Dict[str, Any]:
    """What the transaction would come to: the identities that come and those that go."""
    transaction, _ = rehearsed(request, lambda: _resolve(base, request))
    comes, goes = _outcome(transaction)
    return {"comes": sorted(comes), "goes": sorted(goes)}


def transact(base: Any, request: Request) -> Dict[str, List[str]]:
    """Run it. The answer lists what dnf and rpm say went wrong: a failing scriptlet need not fail a transaction."""
    with locked(request):
        if base.since == recorded(request["root"]):
            return _run_planned(request, *rehearsed(request, lambda: _resolve(base, request)))
        # Another dnf was at work before the lock was ours: it would be undone in the record, or has changed what this
        # would come to. What comes of the new Base has no name here: it must not outlive it.
        again = opened(request)
        return _run_planned(request, *_resolve(again, request))


def _run_planned(request: Request, transaction: Any, planned: Tuple[Effect, Effect]) -> Dict[str, List[str]]:
    comes, goes = _outcome(transaction)
    if (comes, goes) != planned:
        differing = (comes ^ planned[0]) | (goes ^ planned[1])
        raise Refused(
            "dnf would not do exactly what was planned: {}".format(
                ", ".join(" ".join(item) for item in sorted(differing))
            )
        )
    return run(transaction, request)


def mark(base: Any, request: Request) -> None:
    """Set the reasons of installed packages, as `dnf mark` does. Raises Refused for those that no group has; the others
    are set then.
    """
    reason = number(request["reason"])
    with locked(request):
        # Where another dnf was at work before the lock was ours, what it has marked stays.
        base = base if base.since == recorded(request["root"]) else opened(request)
        fill(base, repositories=False)
        wanted = dict.fromkeys(map(tuple, request["packages"]), reason)
        stray = [identity for identity in wanted if reason == GROUP and not group_of(base, identity[0])]
        there = {tuple(row(pkg)): pkg.get_reason() for pkg in installed(base)}
        for identity in stray:
            del wanted[identity]
            if there.get(identity) in _WEAK:
                # A clean-up would remove it: it becomes nobody's, as dnf itself leaves what has lost its group.
                wanted[identity] = EXTERNAL
        if reason == EXTERNAL:
            # A group's name counts for more than this reason, which does not take it out of its group as the other one
            # does.
            set_reasons(base, request, dict.fromkeys(wanted, _DEPENDENCY))
            base = opened(request)
            fill(base, repositories=False)
        if wanted:
            set_reasons(base, request, wanted)
    if stray:
        names = ", ".join(name for name, _, _ in stray)
        raise Refused(f"no installed group has {names}, so dnf cannot mark that as installed by a group")


def set_reasons(base: Any, request: Request, reasons: Mapping[Identity, int]) -> None:
    """Set the reasons of installed packages, under dnf's lock; GROUP only for what has a group. Raises Refused."""
    goal = libdnf5.base.Goal(base)
    for identity, reason in reasons.items():
        group = group_of(base, identity[0]) if reason == GROUP else ""
        goal.add_rpm_reason_change(spec(identity), reason, group, libdnf5.base.GoalJobSettings())
    complaints = run(resolved(goal), request)["complaints"]
    if complaints:
        raise Refused("; ".join(complaints))


@contextmanager
def locked(request: Request) -> Iterator[None]:
    """dnf's own lock, which its command takes and its API does not. Raises Locked, and Refused where whoever wants this
    is gone.

    Asked under the lock: who takes over waits for it before he looks at the packages. Held until the end: dnf 5.2 lets
    go of it itself then, for a process has a record lock once, however often it takes it.
    """
    with ExitStack() as stack:
        for path in read_settings(Path(request["root"]), drop_ins=True).locks:
            if not stack.enter_context(record_locked(path)):
                raise Locked("another dnf is at work")
        check_wanted(request)
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


def run(transaction: Any, request: Request) -> Dict[str, List[str]]:
    """Run a resolved transaction, under dnf's lock and the comment of the request. Raises Locked."""
    display = Display(transaction)
    transaction.set_callbacks(libdnf5.rpm.TransactionCallbacksUniquePtr(display))
    transaction.set_description("os-update-agent {}".format(request["action"]))
    transaction.set_comment(request.get("comment", ""))
    result = transaction.run()
    if result == _RESULTS.TransactionRunResult_ERROR_LOCK:
        raise Locked("another dnf is at work")
    problems = [" ".join(str(problem).split()) for problem in transaction.get_transaction_problems()]
    if result != _RESULTS.TransactionRunResult_SUCCESS and not (problems or display.errors):
        problems.append(_RESULTS.transaction_result_to_string(result) or f"dnf ended with the result {result}")
    for line in problems:
        say(line)
    return {"complaints": [*display.errors, *problems], "said": display.said}


def _resolve(base: Any, request: Request) -> Tuple[Any, Tuple[Effect, Effect]]:
    """Let dnf solve the transaction with nothing but the files at hand. Returns it, and what is meant to come and to
    go.
    """
    config = base.get_config()
    if request["forced"]:
        # The way back may take what was protected since, and the kernel that runs until the next boot.
        config.protected_packages = []
        config.protect_running_kernel = False
    config.install_weak_deps = False
    # What its repository asks for was checked when each file was fetched.
    config.localpkg_gpgcheck = False
    fill(base, repositories=False)
    coming = [tuple(identity) for identity, _ in request["install"]]
    many = set(several(base)) | {name for name, _, _ in coming if _is_install_only(base, request, name)}
    there = list(installed(base))
    going = [pkg for found in versions(request["remove"], installed(base)) for pkg in found]
    places = {slot(name, arch, request["native"]) for name, arch, _ in coming if name not in many}
    marked = {tuple(row(pkg)) for pkg in going}
    going += [
        pkg
        for pkg in there
        if pkg.get_name() not in many
        and slot(pkg.get_name(), pkg.get_arch(), request["native"]) in places
        and tuple(row(pkg)) not in marked
    ]
    goal = libdnf5.base.Goal(base)
    goal.set_allow_erasing(False)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "transaction.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"version": "1.0", "rpms": _rows(request, going, many)}, file)
        goal.add_serialized_transaction(path, libdnf5.base.GoalJobSettings())
        transaction = resolved(goal)
    outgoing = {tuple(row(pkg)) for pkg in going}
    return transaction, (set(coming), outgoing - set(coming))


def _rows(request: Request, going: List[Any], many: Set[str]) -> List[Dict[str, Any]]:
    """The transaction as dnf5 replays it (dnf5-replay(8)): each side of each change is a row of its own."""
    old = {slot(pkg.get_name(), pkg.get_arch(), request["native"]): pkg for pkg in going if pkg.get_name() not in many}
    rows, replaced = [], set()
    for (identity, reason), path in zip(request["install"], request["files"]):
        name, arch, version = identity
        before = old.get(slot(name, arch, request["native"])) if name not in many else None
        if before is not None:
            replaced.add(tuple(row(before)))
        action = "Install" if before is None else _ACTIONS[compared(version, evr(before))]
        rows.append(
            {
                "nevra": spec(identity),
                "action": action,
                "reason": _reason(reason),
                "repo_id": "@commandline",
                "package_path": str(path),
            }
        )
    for pkg in going:
        action = "Replaced" if tuple(row(pkg)) in replaced else "Remove"
        rows.append(
            {"nevra": spec(row(pkg)), "action": action, "reason": _text(pkg.get_reason()), "repo_id": "@System"}
        )
    return rows


_ACTIONS = {1: "Upgrade", -1: "Downgrade", 0: "Reinstall"}


def _reason(name: str) -> str:
    return _text(number(name))


def _text(reason: int) -> str:
    return str(libdnf5.transaction.transaction_item_reason_to_string(reason))


def _is_install_only(base: Any, request: Request, name: str) -> bool:
    """May several versions of a name be there that is not installed yet?"""
    names = set(base.get_config().installonlypkgs)
    for (identity, _), path in zip(request["install"], request["files"]):
        if identity[0] == name:
            return bool(names & {name, *provided_by(path)})
    return False


def _outcome(transaction: Any) -> Tuple[Effect, Effect]:
    items = list(transaction.get_transaction_packages())
    comes = {tuple(row(item.get_package())) for item in items if is_inbound(item)}
    goes = {tuple(row(item.get_package())) for item in items if is_outbound(item)}
    return comes, goes - comes


class Display(libdnf5.rpm.TransactionCallbacks):  # type: ignore
    """Writes the progress as plain lines, and keeps the complaints."""

    def __init__(self, transaction: Any) -> None:
        super().__init__()
        self.errors: List[str] = []
        self.said: List[str] = []
        self._transaction = transaction

    def elem_progress(self, item: Any, amount: int, total: int) -> None:
        action = libdnf5.transaction.transaction_item_action_to_string(item.get_action())
        self._print(f"[{amount + 1}/{total}] {action} {item.get_package().get_nevra()}")

    def script_stop(self, item: Any, nevra: Any, kind: int, return_code: int) -> None:
        """rpm's own result: 1 where the transaction goes on all the same, 2 where the package is not installed."""
        # What it has said is there now, and gone when the next package begins.
        output = str(getattr(self._transaction, "get_last_script_output", str)() or "").splitlines()
        messages = [f"error: {message}" for message in getattr(self._transaction, "get_rpm_messages", list)()]
        for line in [*output, *messages]:
            self._print(line)
        if return_code:
            self.said += messages
            script = libdnf5.rpm.TransactionCallbacks.script_type_to_string(kind)
            self._complain(f"Error in {script} scriptlet in rpm package {nevra.get_name()}")

    def unpack_error(self, item: Any) -> None:
        self._complain(f"{item.get_package().get_nevra()} cannot be unpacked")

    def cpio_error(self, item: Any) -> None:
        self._complain(f"{item.get_package().get_nevra()} cannot be read")

    def _complain(self, line: str) -> None:
        self.errors.append(line)
        say(line)

    def _print(self, line: str) -> None:
        print(line)
        sys.stdout.flush()
