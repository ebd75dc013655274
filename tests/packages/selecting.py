"""Three updates, of which a selection takes some."""

from typing import Any, Dict, Set

from packages.node import Node
from packages.scene import Pkg

TOOL, LIB, EPOCHY = Pkg("tool", "2.0"), Pkg("libapp1", "1.5"), Pkg("epochy", "10.0")


def assert_selects(based: Node, options: Dict[str, Any], changed: Set[str]) -> None:
    """Of three updates these are taken, and the others held back for a reason."""
    based.offer(TOOL, LIB, EPOCHY)
    done = based.succeed("UPDATE", "v2", **options)
    assert set(done.changes) == changed
    assert {"tool", "libapp1", "epochy"} - changed <= set(done.held_back)
    assert all(reason for reason in done.held_back.values())
