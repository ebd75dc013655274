"""Requests and answers of dnf's worker as lines of JSON. Pure. Both sides use it: Python 3.6.

A request is a line {"action": ..., and the request's fields}; an answer is a line with the fields of Reply.
"""

import json
from typing import Any, Mapping, Type

from os_update_agent.packages.dnf import protocol


def as_line(request: protocol.Request) -> bytes:
    """Return the request as a line of JSON."""
    return _line(dict(_plain(request), action=protocol.action_of(request)))


def reply_line(reply: protocol.Reply) -> bytes:
    """Return the answer as a line of JSON."""
    return _line(reply._asdict())


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def parse_request(line: bytes) -> protocol.Request:
    """Return the request in a line of JSON.

    An unknown field is ignored, and a new one needs a default: an update may have replaced the agent on the disk, and
    its process then asks a worker of another version. Raises Refused that names an unknown action and each field that
    is missing or of another type.
    """
    try:
        document = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise protocol.Refused(f"the request is not JSON: {error}") from error
    action = document.get("action") if isinstance(document, dict) else None
    kind = next((kind for kind in protocol.KINDS if kind.__name__.lower() == action), None)
    if kind is None:
        raise protocol.Refused(f"dnf's worker knows no action {action!r}")
    fields = {name: value for name, value in document.items() if name != "action"}
    request = _typed(kind, fields, f"the request {action!r}")  # type: protocol.Request
    return request


def as_reply(line: bytes) -> protocol.Reply:
    """Return the answer in a line of JSON; a field of another version is ignored. Raises ValueError."""
    try:
        document = json.loads(line.decode())
        if not isinstance(document, dict):
            raise ValueError("the answer is no object")
        return protocol.Reply(**{name: _tuples(document[name]) for name in protocol.Reply._fields if name in document})
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error


def _plain(value: Any) -> Mapping[str, Any]:
    return {name: _plain(field) if hasattr(field, "_asdict") else field for name, field in value._asdict().items()}


def _typed(kind: Type[Any], fields: Mapping[str, Any], what: str) -> Any:
    known = [name for name in kind._fields if name in fields]
    missing = [name for name in kind._fields if name not in fields and name not in kind._field_defaults]
    if missing:
        raise protocol.Refused("{} needs the field {}".format(what, ", ".join(map(repr, missing))))
    return kind(**{name: _field(kind.__annotations__[name], fields[name], f"{name!r} of {what}") for name in known})


def _field(kind: Any, value: Any, what: str) -> Any:
    """Return the value as the type of its field: a string, a boolean, a list (as a tuple), or another NamedTuple."""
    expected = kind if kind in (str, bool) else dict if hasattr(kind, "_fields") else list
    if not isinstance(value, expected):
        raise protocol.Refused(f"{what} is no {expected.__name__}")
    return _typed(kind, value, what) if isinstance(value, dict) else _tuples(value)


def _tuples(value: Any) -> Any:
    """Return JSON with its lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
