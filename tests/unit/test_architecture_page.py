"""agent/README.rst draws the tree and the transitions as they are in the code."""

import re
from pathlib import Path
from typing import Dict, List, Set

from unit.pictures import drawn

AGENT = Path(__file__).parents[2] / "agent"
PAGE = (AGENT / "README.rst").read_text(encoding="utf-8")


def block(heading: str) -> List[str]:
    """The lines of the first literal block below a heading."""
    text = PAGE.partition(f"\n{heading}\n{'-' * len(heading)}\n")[2].partition("\n::\n\n")[2]
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return [line[4:] for line in lines[:end] if line.strip()]


def drawn_tree() -> Dict[str, Set[str]]:
    """The modules of each folder, as the page draws them: an indented line belongs to the folder above it."""
    found: Dict[str, Set[str]] = {}
    above: List[str] = []
    for line in block("The tree"):
        depth = (len(line) - len(line.lstrip())) // 2
        words = re.split(r" {2,}", line.strip())[0].split()
        above = above[:depth]
        if words[0].endswith("/"):
            above.append(words[0].rstrip("/"))
            found.setdefault("/".join(above), set())
        else:
            found["/".join(above)] |= set(words)
    return found


def real_tree() -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {}
    for path in AGENT.joinpath("os_update_agent").rglob("*.py"):
        names = found.setdefault(str(path.parent.relative_to(AGENT.parent)), set())
        if path.stem != "__init__":
            names.add(path.stem)
    return found


def test_the_page_draws_every_module_in_its_folder() -> None:
    assert drawn_tree() == real_tree()


def test_the_page_draws_every_transition_of_a_run() -> None:
    wanted = [
        f"{phase:9} -> {following:9} {', '.join(event for event in events if event != 'cut off') or 'cut off'}"
        for phase, ways in drawn().items()
        for following, events in ways.items()
    ]
    assert block("The phases of a run") == wanted
