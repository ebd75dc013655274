"""The answer of a worker, and why there may be none. Pure.

Both sides use this module, so it runs under Python 3.6 as well and imports nothing of the agent.
"""

from typing import Any, NamedTuple


class Refused(Exception):
    """The request cannot be done. The text is for the operator."""


class Locked(Exception):
    """Another process is changing packages just now."""


class Reply(NamedTuple):
    """The answer to a request, or why there is none: ``busy`` if another process holds a lock, ``error`` otherwise."""

    answer: Any = None
    busy: str = ""
    error: str = ""


def action_of(request: Any) -> str:
    """Return the name of what the request asks for, such as "fetch"."""
    return type(request).__name__.lower()
