"""How far a package manager is, from what it writes while it is at work: apt's status file, or the lines of a dnf. Pure."""

import re
from dataclasses import dataclass
from typing import Optional

# The file in the backend's work directory that apt's status goes to (APT::Status-Fd).
STATUS_FILE = "progress"

# dlstatus:2:50.0000:Retrieving file 2 of 2
_FETCHING = re.compile(r"dlstatus:\d+:(?P<percent>[\d.]+):(?P<text>.*)")
# pmstatus:webapp:33.3333:Unpacking webapp (amd64)
_WORKING = re.compile(r"pmstatus:(?P<name>[^:]+)(?::\w+)?:(?P<percent>[\d.]+):(?P<text>.*)")
# [3/8] Upgrade webapp-2.0-1.x86_64
_COUNTED = re.compile(r"\[(?P<done>\d+)/(?P<total>\d+)\] (?P<text>.*)")


@dataclass(frozen=True)
class Step:
    """``text`` is what is being done, ``percent`` how much of the whole is done."""

    text: str
    percent: float


def last_step(text: str) -> Optional[Step]:
    """The newest step in the text; None where there is none. A line that is being written just now is left alone."""
    for line in reversed(text.split("\n")[:-1]):
        match = _FETCHING.fullmatch(line) or _WORKING.fullmatch(line)
        if match:
            return Step(match["text"].strip(), min(100.0, float(match["percent"])))
        match = _COUNTED.fullmatch(line)
        if match:
            return Step(
                f"{match['done']} of {match['total']}: {match['text'].strip()}", 100.0 * int(match["done"]) / max(1, int(match["total"]))
            )
    return None


def counted(text: str, word: str) -> int:
    """How many packages have come to a step of apt's that is called ``word`` (Unpacking, Configuring, Removing)."""
    steps = (match for match in map(_WORKING.fullmatch, text.splitlines()) if match)
    return len({match["name"] for match in steps if match["text"].startswith(f"{word} ")})
