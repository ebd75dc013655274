"""Values whose every text is hostile, made from the annotations of a class or function. A new field is covered by
itself.
"""

import collections.abc
import dataclasses
import inspect
from enum import Enum
from pathlib import Path
from typing import Any, Dict, List, Literal, Mapping, Optional, Set, Union, get_args, get_origin, get_type_hints

from os_update_agent.model.errors import AgentError, Damaged

# What a forged line begins with: no output of the agent may have a line that begins so.
FORGED = "FORGED"
_LINE_ENDS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r\n"]
# Sets a window's title, clears the screen, moves the cursor, shows letters in another order, and ends lines.
STORABLE = (
    "a\x1b]0;title\x07\x1b[2J\x1b[1;1H\x9b31m\u202eright\u2066to left\u200b\ufeff\U000e0041\x00\x7f\x08"
    + "".join(f"{end}{FORGED}: success" for end in _LINE_ENDS)
    + "x" * 3000
)
# SQLite stores no text with half a surrogate pair; JSON can.
HOSTILE = f"{STORABLE}\ud800\udc80"


class Maker:
    """Makes values of annotated types.

    Attributes:
        text: The text of every field.
        choice: Which one of the words of a Literal is taken.
        made: The classes of which values were made.
        given: Values for fields, by the name of the field or by "Class.field".
    """

    def __init__(self, text: str = HOSTILE, choice: int = 0, given: Optional[Mapping[str, Any]] = None) -> None:
        self.text = text
        self.choice = choice
        self.made: Set[type] = set()
        # A setting has at least as many parts as its kind needs; other numbers are refused when it is read.
        self.given = {"Setting.value": (text,) * 3, **(given or {})}

    def arguments(self, function: Any) -> Dict[str, Any]:
        """Return an argument for each parameter of a function that has an annotation."""
        return {
            name: self.given.get(name, self.value(kind))
            for name, kind in get_type_hints(function).items()
            if name != "return" and name in inspect.signature(function).parameters
        }

    def value(self, kind: Any) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Union:
            return self.value(next(one for one in arguments if one is not type(None)))
        if origin is Literal:
            return arguments[self.choice % len(arguments)]
        if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
            return (self.value(arguments[0]),)
        if origin is tuple:
            return tuple(self.value(one) for one in arguments)
        if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
            return {self.value(arguments[0]): self.value(arguments[1])}
        if isinstance(origin, type) and issubclass(origin, collections.abc.Iterable):
            found = [self.value(arguments[0])]
            return frozenset(found) if issubclass(origin, collections.abc.Set) else found
        return self._plain(kind)

    def _plain(self, kind: Any) -> Any:
        simple: Dict[Any, Any] = {str: self.text, Any: self.text, object: self.text, int: 3, float: 3.0, bool: True}
        if kind in simple:
            return simple[kind]
        if kind is bytes:
            return self.text.encode("utf-8", "surrogatepass")
        if kind is Path:
            return Path("/", self.text.replace("\0", ""))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return list(kind)[self.choice % len(kind)]
        if kind is Damaged:
            return Damaged(self.text, record=self.text)
        if isinstance(kind, type) and issubclass(kind, AgentError):
            return kind(self.text)
        if hasattr(kind, "_fields") or dataclasses.is_dataclass(kind):
            return self._made(kind)
        raise TypeError(f"no hostile value of {kind} can be made")

    def _made(self, kind: Any) -> Any:
        self.made.add(kind)
        names = kind._fields if hasattr(kind, "_fields") else [field.name for field in dataclasses.fields(kind)]
        types = get_type_hints(kind)
        fields = {}
        for name in names:
            given = self.given.get(f"{kind.__name__}.{name}", self.given.get(name, self))
            fields[name] = self.value(types[name]) if given is self else given
        return kind(**fields)


def faults(text: str) -> List[str]:
    """Return what is wrong with a text that a terminal or a log shows."""
    found = [f"{one!r} is shown" for one in sorted(set(text)) if not (one.isprintable() or one == "\n")]
    found += ["a forged line begins a line"] if any(line.startswith(FORGED) for line in text.splitlines()) else []
    return found
