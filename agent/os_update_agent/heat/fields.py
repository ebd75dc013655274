"""Fields of a delivery: reading one, and naming its value in a message without showing a secret. Pure."""

from typing import Any, Dict, Mapping

from os_update_agent.model.errors import BadDeployment

_SHOWN_CHARACTERS = 80

# The values of inputs with these words in their names never appear in a message.
_SECRET_WORDS = ("deploy_signal_id", "password", "token", "secret")


def line(source: Mapping[str, Any], name: str) -> str:
    """A field that must be there and be one line of printable text: it becomes a key, or part of an address."""
    value = source.get(name)
    if is_unset(value):
        raise BadDeployment(f"{name} is missing; it must be a line of text")
    if not isinstance(value, str) or not value.isprintable():
        raise BadDeployment(f"{name} is {shown(name, value)}; it must be a line of printable text")
    return value


def is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def shown(name: str, value: Any) -> str:
    """The value for a message: short, and never a secret nor what may hold one."""
    about = f"{name} {value}" if isinstance(value, str) else name
    if any(word in about.lower() for word in _SECRET_WORDS):
        return "not usable (its value is not shown, it may be a secret)"
    return short(value)


def short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return kind(value)
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."


def kind(value: Any) -> str:
    kinds: Dict[type, str] = {
        dict: "a map",
        list: "a list",
        str: "text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), "null")
