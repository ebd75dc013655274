"""How far a package manager is, from what it writes while it is at work: apt's status file, or the lines of a dnf. Pure."""

import re
from dataclasses import dataclass
from typing import Optional, Sequence

# The file in the backend's work directory that apt's status goes to (APT::Status-Fd).
STATUS_FILE = "progress"

# dlstatus:2:50.0000:Retrieving file 2 of 4
# dlstatus:2:50.0000:Retrieving file 2 of 4 (1min 5s remaining)
_FETCHING = re.compile(r"dlstatus:\d+:(?P<percent>[\d.]+):Retrieving file (?P<count>\d+ of \d+)(?P<left> \(.*\))?")
# What apt says when a file begins to come, here into the same file.
# Get:2 http://deb.debian.org/debian bookworm/main amd64 curl amd64 7.88.1-10+deb12u5 [315 kB]
# Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]
_COMING = re.compile(r"Get:\d+ \S+ (?P<what>.*?)(?: \[[^\]]*\])?")
# bookworm/main amd64 curl amd64 7.88.1-10+deb12u5
# ./ webapp 2.0-1
_PACKAGE = re.compile(r"(?:\S+ \S+ (?P<name>\S+) \S+|\S+ (?P<flat>\S+)) (?P<version>\d\S*)")
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
    lines = text.split("\n")[:-1]
    for line in reversed(lines):
        match = _FETCHING.fullmatch(line)
        if match:
            what = f"{match['count']}: Downloading {_coming(lines)}".strip()
            return Step(f"{what}{match['left'] or ''}", min(100.0, float(match["percent"])))
        match = _WORKING.fullmatch(line)
        if match:
            return Step(match["text"].strip(), min(100.0, float(match["percent"])))
        match = _COUNTED.fullmatch(line)
        if match:
            return Step(
                f"{match['done']} of {match['total']}: {match['text'].strip()}", 100.0 * int(match["done"]) / max(1, int(match["total"]))
            )
    return None


def _coming(lines: Sequence[str]) -> str:
    """The file that apt has begun to fetch last: name and version of a package, and what it is called where it is none."""
    match = next(filter(None, map(_COMING.fullmatch, reversed(lines))), None)
    if match is None:
        return ""
    package = _PACKAGE.fullmatch(match["what"])
    return f"{package['name'] or package['flat']} {package['version']}" if package else match["what"]


def counted(text: str, word: str) -> int:
    """How many packages have come to a step of apt's that is called ``word`` (Unpacking, Configuring, Removing)."""
    steps = (match for match in map(_WORKING.fullmatch, text.splitlines()) if match)
    return len({match["name"] for match in steps if match["text"].startswith(f"{word} ")})
