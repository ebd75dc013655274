"""The options that count for a command, each with its source. Pure."""

from typing import Any, List, Optional

from os_update_agent.cli.views.base import Document
from os_update_agent.config.policy import LAST_DELIVERY, LAST_DELIVERY_OR_FILE, Chosen
from os_update_agent.text.outcomes import shown


def options_document(chosen: Chosen, delivered: Optional[str]) -> Document:
    """Return the options by their names, each with ``value``, ``origin``, and ``delivered_value``.

    ``delivered`` is the value of the last delivery by Heat. ``delivered_value`` is null for an option from elsewhere.
    """
    values = chosen.policy.options()
    return {
        name: {
            "value": values[name],
            "origin": origin,
            "delivered_value": delivered if origin in (LAST_DELIVERY, LAST_DELIVERY_OR_FILE) else None,
        }
        for name, origin in chosen.origins.items()
        if name in values
    }


def option_lines(options: Document) -> List[str]:
    """Return the lines of the options for a person."""
    return [
        "options:",
        *(f"  {name} = {_value(name, one['value'])}  ({_origin(one)})" for name, one in options.items()),
    ]


def _value(name: str, value: Any) -> str:
    if value is None or value == []:
        return "all" if name == "packages" else "none"
    if isinstance(value, list):
        return " ".join(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _origin(option: Document) -> str:
    origin: str = option["origin"]
    value = option["delivered_value"]
    return origin.replace(LAST_DELIVERY, f"{LAST_DELIVERY}, value {shown(value)}") if value else origin
