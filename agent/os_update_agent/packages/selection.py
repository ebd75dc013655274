"""Which of the possible updates are asked for, and why the others are not. Pure."""

from typing import Iterable, List, Optional, Sequence, Tuple

from os_update_agent.model.packages import Change, HeldBack, Package, Selection
from os_update_agent.packages.globs import first_match


def choose(changes: Iterable[Change], selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
    """The changes that are asked for, and the others with the option that leaves them out. Exclusion wins over
    inclusion.
    """
    wanted: List[Change] = []
    held: List[HeldBack] = []
    for change in changes:
        reason = reason_against(change, selection)
        if reason is None:
            wanted.append(change)
        elif change.before is not None and change.after is not None:
            held.append(HeldBack(change.name, reason))
    return tuple(wanted), tuple(held)


def reason_against(change: Change, selection: Selection) -> Optional[str]:
    excluded = matching(change.package, selection.exclude)
    if excluded:
        return f"excluded by {excluded!r} (exclude)"
    if selection.packages and not matching(change.package, selection.packages):
        return "not selected (packages)"
    if selection.security and not change.is_security:
        return "not a security update (select: security)"
    return None


def unmatched(installed: Iterable[Package], selection: Selection) -> Tuple[str, ...]:
    """The globs of ``packages`` that no installed package matches: mistyped, perhaps, and then nothing to do would look
    like success.
    """
    present = [package for package in installed if package.is_present]
    return tuple(glob for glob in selection.packages if not any(matching(package, [glob]) for package in present))


def matching(package: Package, globs: Sequence[str]) -> Optional[str]:
    """Return the first of the globs that matches the package: by its name, or with a colon by name:architecture."""
    return first_match(package.name, package.arch, globs)
