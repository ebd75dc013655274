"""Letting dnf 5 solve a transaction with nothing but the files at hand. Runs in the worker."""

import json
import os
import tempfile
from typing import Any, Dict, List, Set, Tuple

import libdnf5  # type: ignore

from os_update_agent.packages.dnf.protocol import Todo
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    fill,
    installed,
    is_inbound,
    is_outbound,
    number,
    resolved,
    row,
    several,
    spec,
    versions,
)
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.outcome import Effects
from os_update_agent.packages.dnf.worker.rpm_files import compared, provided_by


def resolve(base: Any, todo: Todo) -> Tuple[Any, Effects]:
    """Let dnf solve the transaction with nothing but the files at hand. Returns it, and what is meant to come and to
    go.
    """
    config = base.get_config()
    if todo.forced:
        # The way back may take what was protected since, and the kernel that runs until the next boot.
        config.protected_packages = []
        config.protect_running_kernel = False
    config.install_weak_deps = False
    # Each file was checked as its repository asks when it was fetched.
    config.localpkg_gpgcheck = False
    fill(base, repositories=False)
    coming = [identity for identity, _ in todo.install]
    many = set(several(base)) | {name for name, _, _ in coming if _is_install_only(base, todo, name)}
    there = list(installed(base))
    going = [pkg for found in versions(todo.remove, installed(base)) for pkg in found]
    places = {slot(name, arch, todo.native) for name, arch, _ in coming if name not in many}
    marked = {row(pkg) for pkg in going}
    going += [
        pkg
        for pkg in there
        if pkg.get_name() not in many
        and slot(pkg.get_name(), pkg.get_arch(), todo.native) in places
        and row(pkg) not in marked
    ]
    goal = libdnf5.base.Goal(base)
    goal.set_allow_erasing(False)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "transaction.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"version": "1.0", "rpms": _rows(todo, going, many)}, file)
        goal.add_serialized_transaction(path, libdnf5.base.GoalJobSettings())
        transaction = resolved(goal)
    outgoing = {row(pkg) for pkg in going}
    return transaction, Effects(set(coming), outgoing - set(coming))


def _rows(todo: Todo, going: List[Any], many: Set[str]) -> List[Dict[str, Any]]:
    """The transaction as dnf5 replays it (dnf5-replay(8)): each side of each change is a row of its own."""
    old = {slot(pkg.get_name(), pkg.get_arch(), todo.native): pkg for pkg in going if pkg.get_name() not in many}
    rows, replaced = [], set()
    for (identity, reason), path in zip(todo.install, todo.files):
        name, arch, version = identity
        before = old.get(slot(name, arch, todo.native)) if name not in many else None
        if before is not None:
            replaced.add(row(before))
        action = "Install" if before is None else _ACTIONS[compared(version, row(before)[2])]
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
        action = "Replaced" if row(pkg) in replaced else "Remove"
        rows.append(
            {"nevra": spec(row(pkg)), "action": action, "reason": _text(pkg.get_reason()), "repo_id": "@System"}
        )
    return rows


_ACTIONS = {1: "Upgrade", -1: "Downgrade", 0: "Reinstall"}


def _reason(name: str) -> str:
    return _text(number(name))


def _text(reason: int) -> str:
    return str(libdnf5.transaction.transaction_item_reason_to_string(reason))


def _is_install_only(base: Any, todo: Todo, name: str) -> bool:
    """May several versions of a name be there that is not installed yet?"""
    names = set(base.get_config().installonlypkgs)
    for (identity, _), path in zip(todo.install, todo.files):
        if identity[0] == name:
            return bool(names & {name, *provided_by(path)})
    return False


def effects(transaction: Any) -> Effects:
    items = list(transaction.get_transaction_packages())
    comes = {row(item.get_package()) for item in items if is_inbound(item)}
    goes = {row(item.get_package()) for item in items if is_outbound(item)}
    return Effects(comes, goes - comes)
