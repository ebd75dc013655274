"""The worker's answers as the agent's values. Pure."""

from typing import Any, Iterable, Tuple

from os_update_agent.model.builds import other_than
from os_update_agent.model.packages import Change, Package, PackageState
from os_update_agent.packages.apt.protocol import Attempted, Kept, Step, Upgraded
from os_update_agent.packages.apt.security import is_security


def as_upgraded(answer: Any) -> Upgraded:
    """Return the answer to the request Upgrade with its parts as the values that they are."""
    steps, kept, refused = answer
    rows = [Kept(Step(*step), reason, may_try) for step, reason, may_try in kept]
    return Upgraded([Step(*step) for step in steps], rows, refused)


def as_attempted(answer: Any) -> Attempted:
    """Return the answer to the request Attempt, too."""
    steps, refused, impossible = answer
    return Attempted([Step(*step) for step in steps], refused, impossible)


def as_changes(steps: Iterable[Step], state: PackageState) -> Tuple[Change, ...]:
    """Return the steps with the rows that they start from. What is new comes as "auto": nobody asked for it by name."""
    changes = []
    for step in steps:
        rows = [package for package in state.slots.get((step.name, step.foreign), ()) if package.is_present]
        before = rows[0] if rows else None
        after = None
        if step.version is not None:
            after = Package(
                step.name,
                step.arch,
                step.version,
                want=before.want if before else "install",
                mark=before.mark if before else "auto",
                digest=other_than(before.digest) if before and before.version == step.version else "",
            )
        origins = tuple(step.origins)
        changes.append(Change(before, after, origins, is_security(origins)))
    return tuple(sorted(changes, key=lambda change: (change.package.name, change.package.arch)))
