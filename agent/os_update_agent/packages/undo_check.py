"""The result of rehearsing a way back before the way there is taken. Pure."""

from typing import NamedTuple, Tuple


class UndoCheck(NamedTuple):
    """The result of a rehearsal of the way back.

    Attributes:
        refused: Sentences with the package manager's reasons against the way back; empty if it would do it.
        unchecked: Sentences that name each part of the way back that could not be rehearsed, with the reason.
    """

    refused: Tuple[str, ...] = ()
    unchecked: Tuple[str, ...] = ()
