"""What changes of packages can be expected to ask for afterwards. Pure; the node itself knows better once they are
made.
"""

from fnmatch import fnmatchcase
from typing import Collection, Iterable, Tuple

from os_update_agent.model.packages import Change, Identity


def asking_for_a_boot(
    changes: Iterable[Change], patterns: Collection[str], suggested: Collection[Identity] = ()
) -> Tuple[str, ...]:
    """The names of packages that come in a version which runs only after a boot, by their names or because their index
    suggests it.
    """
    found = (change.after for change in changes if change.after is not None)
    asking = (
        new.name
        for new in found
        if new.identity in suggested or any(fnmatchcase(new.name, pattern) for pattern in patterns)
    )
    return tuple(dict.fromkeys(asking))
