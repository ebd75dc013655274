"""How far a package manager is, from what it writes while it is at work: apt's status file, or the lines of a dnf or of
dpkg. Pure.
"""

import re
from typing import NamedTuple, Optional, Sequence

# The file in the backend's work directory that apt's status goes to (APT::Status-Fd).
STATUS_FILE = "progress"
# The same for the refresh, which nobody's lock keeps apart: a plan must not write over what a run tells.
REFRESH_FILE = "progress.refresh"
# What the log says before a repair, and behind it how many packages.
TO_REPAIR = "packages to repair: "

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
# Setting up webapp (2.0-1) ...
# Unpacking webapp (2.0-1) over (1.0-1) ...
_BY_DPKG = re.compile(r"(?P<text>(?P<verb>Setting up|Unpacking|Removing) \S+ \(\S+\))(?: over \(\S+\))? \.\.\.")
# completing webapp-2.0-1.x86_64.rpm
_COMPLETING = re.compile(r"completing (?P<file>\S+)\.rpm")


class Step(NamedTuple):
    """``text`` is what is being done, ``percent`` how much of the whole is done, None where that is not known."""

    text: str
    percent: Optional[float]

    def __str__(self) -> str:
        return self.text if self.percent is None else f"{self.percent:3.0f} % {self.text}"


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
                f"{match['done']} of {match['total']}: {match['text'].strip()}",
                100.0 * int(match["done"]) / max(1, int(match["total"])),
            )
        match = _BY_DPKG.fullmatch(line)
        if match:
            return _repairing(lines, match["text"], match["verb"])
        match = _COMPLETING.fullmatch(line)
        if match:
            return Step(f"Completing {match['file']}", None)
    return None


def _repairing(lines: Sequence[str], text: str, verb: str) -> Step:
    """A step of dpkg's, counted where the log says of how many: each package is set up once."""
    total = next((int(line[len(TO_REPAIR) :]) for line in reversed(lines) if line.startswith(TO_REPAIR)), 0)
    if not total:
        return Step(text, None)
    done = sum(match is not None and match["verb"] == verb for match in map(_BY_DPKG.fullmatch, lines))
    return Step(f"{done} of {total}: {text}", None)


def _coming(lines: Sequence[str]) -> str:
    """The file that apt has begun to fetch last: name and version of a package, and what it is called where it is
    none.
    """
    match = next(filter(None, map(_COMING.fullmatch, reversed(lines))), None)
    if match is None:
        return ""
    package = _PACKAGE.fullmatch(match["what"])
    return f"{package['name'] or package['flat']} {package['version']}" if package else match["what"]


def counted(text: str, word: str) -> int:
    """How many packages have come to a step of apt's that is called ``word`` (Unpacking, Configuring, Removing)."""
    steps = (match for match in map(_WORKING.fullmatch, text.splitlines()) if match)
    return len({match["name"] for match in steps if match["text"].startswith(f"{word} ")})
