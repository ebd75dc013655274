"""The agent's values as dnf's worker is asked for them, and the worker's answers as the agent's values. Pure."""

import re
from dataclasses import replace
from typing import Dict, FrozenSet, List, Optional, Tuple

from os_update_agent.model.packages import Change, Identity, Package, PackageState, Slot, Transaction
from os_update_agent.packages.dnf.protocol import Done, Outcome, Planned, Side, Todo

# The mark of what dnf has not installed itself, and dnf's words for the two that apt knows as well.
UNKNOWN = "unknown"
_TO_DNF = {"manual": "user", "auto": "dependency"}
_FROM_DNF = {word: mark for mark, word in _TO_DNF.items()}

# warning: %post(brokenpost-2.0-1.x86_64) scriptlet failed, exit status 3
# error: lua script failed: [string "%post(brokenpost-2.0-1.x86_64)"]:1: simulated failure
# error: %prein(brokenpre-2.0-1.x86_64) scriptlet failed, exit status 255
_SCRIPTLET = re.compile(r"(?:warning|error): (?P<why>.*(?:scriptlet failed|script failed).*)")


def dnf_word(mark: str) -> str:
    """dnf's word for a mark."""
    return _TO_DNF.get(mark, mark)


def as_todo(transaction: Transaction, native: str, *, forced: bool) -> Todo:
    return Todo(
        tuple((package.identity, dnf_word(package.mark)) for package in transaction.install),
        transaction.files,
        tuple(package.identity for package in transaction.remove),
        native,
        forced,
    )


def leaving(transaction: Transaction, state: PackageState) -> Tuple[Identity, ...]:
    """Return the packages of ``state`` that the transaction removes or replaces by others."""
    places = {state.slot(package) for package in transaction.install}
    replaced = (package for package in state.packages if state.slot(package) in places)
    comes = {package.identity for package in transaction.install}
    gone = dict.fromkeys(package.identity for package in (*transaction.remove, *replaced))
    return tuple(identity for identity in gone if identity not in comes)


def after(transaction: Transaction, state: PackageState) -> PackageState:
    """Return the packages that are there after the transaction."""
    gone = set(leaving(transaction, state))
    comes = {package.identity: package for package in transaction.install}
    stays = (package for package in state.packages if package.identity not in gone and package.identity not in comes)
    return replace(state, packages=tuple(sorted((*stays, *comes.values()))))


def as_side(transaction: Transaction, state: PackageState) -> Side:
    comes = tuple(package.identity for package in transaction.install)
    return Side(comes, leaving(transaction, state), transaction.files)


def as_changes(planned: Planned, state: PackageState) -> Tuple[Change, ...]:
    """Return the changes of a plan with the rows of ``state`` that they start from."""
    gone = set(planned.goes)
    before: Dict[Slot, Package] = {state.slot(p): p for p in state.packages if p.identity in gone}
    changes = []
    for identity, reason, repository, is_security in planned.comes:
        bare = Package(*identity)
        old = before.pop(state.slot(bare), None)
        kin = old or next(
            (package for package in state.packages if package.name in state.install_only and package.name == bare.name),
            None,
        )
        mark = kin.mark if kin else _FROM_DNF.get(reason, reason)
        changes.append(Change(old, bare._replace(mark=mark), (repository,), is_security))
    changes += [Change(package, None) for package in before.values()]
    return tuple(sorted(changes, key=lambda change: (change.package.name, change.package.arch, change.package.version)))


def as_effect(outcome: Outcome, state: PackageState) -> FrozenSet[Tuple[Slot, Optional[str]]]:
    """Return the places that change, each with its new version, None for a removal."""
    found: Dict[Slot, Optional[str]] = {state.slot(Package(*identity)): None for identity in outcome.goes}
    found.update({state.slot(Package(*identity)): identity[2] for identity in outcome.comes})
    return frozenset(found.items())


def as_complaints(done: Done) -> Tuple[str, ...]:
    """Return what went wrong in a transaction, with the words of the scriptlets behind it."""
    complaints: List[str] = list(done.complaints)
    why = [match["why"] for match in map(_SCRIPTLET.match, done.said) if match]
    if complaints and why:
        complaints[-1] = f"{complaints[-1]}: {'; '.join(dict.fromkeys(why))}"
    return tuple(complaints)
