"""Turning what dnf's worker answers into the agent's values. Pure."""

import re
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

from os_update_agent.model.packages import Change, HeldBack, Package, PackageState, Slot

# The mark of what dnf has not installed itself, and dnf's words for the two that apt knows as well.
UNKNOWN = "unknown"
_TO_DNF = {"manual": "user", "auto": "dependency"}

# warning: %post(brokenpost-2.0-1.x86_64) scriptlet failed, exit status 3
# error: lua script failed: [string "%post(brokenpost-2.0-1.x86_64)"]:1: simulated failure
# error: %prein(brokenpre-2.0-1.x86_64) scriptlet failed, exit status 255
_SCRIPTLET = re.compile(r"(?:warning|error): (?P<why>.*(?:scriptlet failed|script failed).*)")


def dnf_word(mark: str) -> str:
    """dnf's word for a mark."""
    return _TO_DNF.get(mark, mark)


def as_changes(answer: Mapping[str, Any], state: PackageState, marks: Mapping[str, str]) -> Tuple[Change, ...]:
    """The plan of the worker with the rows that it starts from. ``marks`` translates dnf's reasons for what is new."""
    gone = {tuple(identity) for identity in answer["goes"]}
    before: Dict[Slot, Package] = {state.slot(p): p for p in state.packages if p.identity in gone}
    changes = []
    for item in answer["comes"]:
        name, arch, version = item["identity"]
        bare = Package(name, arch, version)
        old = before.pop(state.slot(bare), None)
        kin = old or next(
            (package for package in state.packages if package.name in state.install_only and package.name == name), None
        )
        mark = kin.mark if kin else marks.get(item["reason"], item["reason"])
        changes.append(Change(old, bare._replace(mark=mark), (item["repository"],)))
    changes += [Change(package, None) for package in before.values()]
    return tuple(sorted(changes, key=lambda change: (change.package.name, change.package.arch, change.package.version)))


def as_held_back(answer: Mapping[str, Any]) -> Tuple[HeldBack, ...]:
    return tuple(HeldBack(name, reason) for name, reason in answer["held"])


def as_effect(answer: Mapping[str, Any], state: PackageState) -> FrozenSet[Tuple[Slot, Optional[str]]]:
    """The places that change, each with its new version, None for a removal."""
    found: Dict[Slot, Optional[str]] = {state.slot(Package(*identity)): None for identity in answer["goes"]}
    found.update({state.slot(Package(*identity)): identity[2] for identity in answer["comes"]})
    return frozenset(found.items())


def as_complaints(answer: Mapping[str, Any]) -> Tuple[str, ...]:
    """What went wrong in a transaction, with the words of the scriptlets behind it."""
    complaints: List[str] = list(answer["complaints"])
    why = [match["why"] for match in map(_SCRIPTLET.match, answer["said"]) if match]
    if complaints and why:
        complaints[-1] = f"{complaints[-1]}: {'; '.join(dict.fromkeys(why))}"
    return tuple(complaints)
