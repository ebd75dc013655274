"""What changes of packages can be expected to ask for afterwards. Pure; the node itself knows better once they are
made.
"""

from fnmatch import fnmatchcase
from typing import FrozenSet, Iterable, NamedTuple, Tuple

from os_update_agent.model.packages import Change, Identity


class RebootHints(NamedTuple):
    """Which packages work only after a boot: by globs of names, and by identities that their index suggests.
    ``installed`` names those that were installed since a moment, as far as the package database has times.
    """

    patterns: Tuple[str, ...]
    suggested: FrozenSet[Identity] = frozenset()
    installed: Tuple[str, ...] = ()


def asking_for_a_boot(changes: Iterable[Change], hints: RebootHints) -> Tuple[str, ...]:
    """Return the names of the packages that come in a version which runs only after a boot."""
    found = (change.after for change in changes if change.after is not None)
    asking = (
        new.name
        for new in found
        if new.identity in hints.suggested or any(fnmatchcase(new.name, pattern) for pattern in hints.patterns)
    )
    return tuple(dict.fromkeys(asking))
