"""What a package manager complains about, kept in the log of its transaction: who asked may be dead when the
transaction ends.

A scriptlet that fails leaves no trace in rpm's database, so without this a run whose worker was killed would call it a
success.
"""

from typing import Tuple

_MARK = "complaint: "


def as_line(complaint: str) -> str:
    """The complaint as it is printed into the log. Python 3.6: this runs in the children as well."""
    return f"{_MARK}{' '.join(complaint.split())}"


def complaints_in(log: str) -> Tuple[str, ...]:
    """The complaints that a log holds, each once, in their order."""
    return tuple(dict.fromkeys(line[len(_MARK) :] for line in log.splitlines() if line.startswith(_MARK)))
