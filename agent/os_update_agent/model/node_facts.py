"""The facts about a node at the time of a result."""

from typing import NamedTuple, Optional, Tuple

from os_update_agent.model.packages import Change, HeldBack


class Drift(NamedTuple):
    """The differences between the state that was recorded for the current value and the packages found later.

    Attributes:
        changes: The changes of versions and builds.
        others: The other differences, such as marks, holds and settings outside of packages, a phrase each.
    """

    changes: Tuple[Change, ...] = ()
    others: Tuple[str, ...] = ()


class NodeFacts(NamedTuple):
    """The facts about a node, whether or not a delivery has changed anything. None stands for an unknown fact.

    Attributes:
        digest: The digest of the installed packages.
        reboot: The reasons for a reboot, a sentence each.
        services: The services that run replaced code.
        held_back: The packages that the last update has held back, without those that were changed since.
        restorable: Whether the last update can be undone.
        drift: The changes by others since the state of the current value was recorded.
    """

    digest: Optional[str] = None
    reboot: Optional[Tuple[str, ...]] = None
    services: Optional[Tuple[str, ...]] = None
    held_back: Optional[Tuple[HeldBack, ...]] = None
    restorable: Optional[bool] = None
    drift: Optional[Drift] = None


UNKNOWN = NodeFacts()
