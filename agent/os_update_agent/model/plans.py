"""What a run wants to change: one value from the planner to the result."""

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

from os_update_agent.model.packages import Change, HeldBack


class Place(NamedTuple):
    """The place of a package, equal to its ``Slot``."""

    name: str
    variant: str = ""


class Move(NamedTuple):
    """Packages of another key that a way back moves.

    Attributes:
        key: The other key.
        value: The value that was current for it.
        places: The places of its packages.
        shared: Those of the places that the key that goes back has changed, too.
    """

    key: str
    value: Optional[str] = None
    places: Tuple[Place, ...] = ()
    shared: Tuple[Place, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is going to change, and what follows from it for the way back.

    Attributes:
        changes: The changes of versions, each with the origins of the new version and whether it is a security update.
        held_back: The packages that have a newer version and do not get it, and why.
        removes_foreign: The names of packages that the plan removes although no run of the agent has installed them.
        unmatched: The globs of the option ``packages`` that match no installed package.
        torn: The names of packages that an interruption left half-installed and that no change of the plan repairs.
        lost: The labels of old packages whose file is in no archive or repository.
        rebuilt: The labels of old packages whose file is rebuilt from the installed files.
        download: The bytes to fetch, including old files kept for a rollback (None: not computed).
        settings: The settings outside of packages that a way back puts back, in words.
        undo_refused: The package manager's reasons against the way back, as a rehearsal has found them.
        undo_unchecked: What such a rehearsal has left out, and why.
        growth: The bytes by which the used disk space grows (None: not computed, or the index does not say).
        moves: The packages of other keys that a way back moves, so that these keys leave their current values.
        left: The places of the key's own packages that another key has moved further, and that stay so.
        other_keys: Sentences about packages that this way back and those of other keys have in common.
    """

    changes: Tuple[Change, ...] = ()
    held_back: Tuple[HeldBack, ...] = ()
    removes_foreign: Tuple[str, ...] = ()
    unmatched: Tuple[str, ...] = ()
    torn: Tuple[str, ...] = ()
    lost: Tuple[str, ...] = ()
    rebuilt: Tuple[str, ...] = ()
    download: Optional[int] = None
    growth: Optional[int] = None
    settings: Tuple[str, ...] = ()
    moves: Tuple[Move, ...] = ()
    left: Tuple[Place, ...] = ()
    other_keys: Tuple[str, ...] = ()
    undo_refused: Tuple[str, ...] = ()
    undo_unchecked: Tuple[str, ...] = ()

    @property
    def can_be_undone(self) -> bool:
        return not (self.lost or self.undo_refused)
