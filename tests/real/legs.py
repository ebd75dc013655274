"""The way there and back: the legs, and what is noted at each end."""

import time
from pathlib import Path
from typing import Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from real import settings, tree
from real.content import DELETED, EDITS
from real.mirrors import NEXT, RELEASE, Mirrors
from real.node import Answer, Node

FIRST, SECURITY, UPGRADED = "release", "security", "next"


class Leg(NamedTuple):
    """One call of the agent.

    Attributes:
        value: The value that is reached.
        verb: The verb of the agent.
        release: The release that the sources name.
        updates: Whether the sources name its updates.
        is_back: Whether the value was reached before; the trees have to be equal then, and there is no network.
    """

    value: str
    verb: str
    release: str = RELEASE
    updates: bool = True
    is_back: bool = False


LEGS: Tuple[Leg, ...] = (
    Leg(FIRST, "update", updates=False),
    Leg(SECURITY, "update"),
    Leg(FIRST, "rollback", is_back=True),
    Leg(SECURITY, "rollback", is_back=True),
    Leg(UPGRADED, "update", release=NEXT),
    Leg(SECURITY, "rollback", release=NEXT, is_back=True),
)


class Checkpoint(NamedTuple):
    """What the node is at one moment. ``edits`` are the texts of the edited files, None for one that is not there."""

    tree: tree.Tree
    settings: settings.Settings
    programs: Mapping[str, settings.Program]
    edits: Mapping[str, Optional[str]]


class Arrival(NamedTuple):
    """The end of a leg: the checkpoint, how long the agent took, how many packages changed, and what it said."""

    leg: Leg
    checkpoint: Checkpoint
    seconds: float
    changed: int
    answer: Answer


def observe(node: Node) -> Checkpoint:
    """Note everything. The programs come first: they may write logs."""
    programs = settings.programs(node)
    return Checkpoint(tree.read(node.root), settings.read(node.root), programs, _edits(node.root))


def travel(node: Node, mirrors: Mirrors, leg: Leg, start: Checkpoint, *, keep_old: bool) -> Arrival:
    """Make one leg, and note what the node is at its end. ``keep_old``: the sources of the next release keep those of
    the old one, so that the agent can still fetch what it replaces.
    """
    sources = node.root / "etc/apt/sources.list"
    kept = sources.read_text(encoding="utf-8")
    text = mirrors.sources(leg.release, updates=leg.updates)
    if keep_old and leg.release != RELEASE:
        text += mirrors.sources(RELEASE, updates=True)
    sources.write_text(text, encoding="utf-8")
    begin = time.monotonic()
    answer = node.agent(leg.verb, leg.value, network=not leg.is_back)
    seconds = time.monotonic() - begin
    sources.write_text(kept, encoding="utf-8")
    end = observe(node)
    return Arrival(leg, end, seconds, len(changed(start.settings["rows"], end.settings["rows"])), answer)


def changed(before: FrozenSet[str], after: FrozenSet[str]) -> FrozenSet[str]:
    """Return name:architecture of the packages whose rows differ."""
    return frozenset(row.split()[0] for row in before ^ after)


def lost_edits(checkpoint: Checkpoint) -> Tuple[str, ...]:
    """Return the edited files that have lost the operator's line, and the deleted ones that are there again."""
    lost = [path for path, line in EDITS.items() if line not in (checkpoint.edits[path] or "").splitlines()]
    return (*lost, *(f"{path} (deleted by the operator)" for path in DELETED if checkpoint.edits[path] is not None))


def _edits(root: Path) -> Dict[str, Optional[str]]:
    found: Dict[str, Optional[str]] = {}
    for path in (*EDITS, *DELETED):
        file = root / path.lstrip("/")
        found[path] = file.read_text(encoding="utf-8") if file.is_file() else None
    return found
