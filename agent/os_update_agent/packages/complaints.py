"""What a package manager complains about, kept in the log of its transaction: who asked may be dead when the
transaction ends.

A scriptlet that fails leaves no trace in rpm's database, so without this a run whose worker was killed would call it a
success.
"""

import re
from typing import FrozenSet, Tuple

_MARK = "complaint: "
# Unpacking libapp1:amd64 (1.0-1) over (2.0-1) ...
_UNPACKING = re.compile(r"Unpacking (?P<name>[^\s:]+)(?::\S+)? \(")
# (Noting disappearance of fonts-old, which has been completely replaced.)
_DISAPPEARED = re.compile(r"^\(Noting disappearance of (?P<name>[^\s:,]+)(?::\S+)?, which", re.MULTILINE)


# Before the complaint of a package that a way back removes or replaces: it decides nothing.
LEAVING = "of a leaving package: "

# Before each configuration file that came with a rebuilt package, and whose packaged text nobody knows.
UNKNOWN_TEXT = "packaged text not known: "

# How the lines of a log begin that the functions below read.
TELLING = (
    _MARK.encode(),
    UNKNOWN_TEXT.encode(),
    b"Unpacking ",
    b"Replaced by files in installed package ",
    b"(Noting disappearance of ",
)


def unknown_texts_in(log: str) -> Tuple[str, ...]:
    """Return the configuration files whose packaged text is not known, as the log names them."""
    lines = (line[len(UNKNOWN_TEXT) :] for line in log.splitlines() if line.startswith(UNKNOWN_TEXT))
    return tuple(dict.fromkeys(lines))


def as_line(complaint: str) -> str:
    """The complaint as it is printed into the log. Python 3.6: this runs in the children as well."""
    return f"{_MARK}{' '.join(complaint.split())}"


def complaints_in(log: str) -> Tuple[str, ...]:
    """The complaints that a log holds, each once, in their order."""
    return tuple(dict.fromkeys(line[len(_MARK) :] for line in log.splitlines() if line.startswith(_MARK)))


def is_of_leaving(complaint: str) -> bool:
    """Return whether the complaint comes from a package that the transaction removes or replaces."""
    return complaint.startswith(LEAVING)


def disappeared_in(log: str) -> FrozenSet[str]:
    """Return the names of the packages that dpkg has dropped, because another package replaced all of their files."""
    return frozenset(match["name"] for match in _DISAPPEARED.finditer(log))


def left_out_of(log: str) -> FrozenSet[str]:
    """Return the names of the packages of which dpkg has left out a file, because another installed package replaces
    it.

    The package's list does not name that file then, so a way back has to look into the package file.
    """
    names = set()
    unpacked = ""
    for line in log.splitlines():
        match = _UNPACKING.match(line)
        if match:
            unpacked = match["name"]
        elif line.startswith("Replaced by files in installed package "):
            names.add(unpacked)
    return frozenset(names)
