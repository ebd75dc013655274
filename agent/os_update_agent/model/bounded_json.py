"""JSON text from elsewhere, read in proportion to a limit for its length and one for its depth. Pure.

The parser of Python reads any length, and some thousand levels. Whatever walks through such a value afterwards, and
json.dumps as well, may end with RecursionError far below that. So the depth is counted before anybody walks.
"""

import json
from typing import Any, Callable, List, Optional, Union

# Heat's own documents have some ten levels, and those of the ledger fewer.
DEPTH_LIMIT = 100
_NESTED = (dict, list)


class TooLarge(ValueError):
    """The text is longer, or nested deeper, than allowed: the message names the limit and the value seen."""


def read_json(
    text: Union[str, bytes], limit: int, *, constant: Optional[Callable[[str], Any]] = None, depth: int = DEPTH_LIMIT
) -> Any:
    """Return the value of a JSON text of at most ``limit`` characters (bytes, if bytes are given) and ``depth`` levels.

    ``constant`` makes the value of NaN and Infinity, as for json.loads. Raises TooLarge; ValueError for what is no
    JSON, and never RecursionError.
    """
    if len(text) > limit:
        raise TooLarge(longer_than(limit, len(text)))
    try:
        value = json.loads(text, parse_constant=constant)
    except RecursionError:
        raise TooLarge(_deeper(depth)) from None
    check_depth(value, depth)
    return value


def check_depth(value: Any, depth: int = DEPTH_LIMIT) -> None:
    """Raise TooLarge if maps and lists are nested deeper than ``depth`` levels."""
    level: List[Any] = [value] if isinstance(value, _NESTED) else []
    for _ in range(depth):
        if not level:
            return
        level = [
            one
            for nest in level
            for one in (nest.values() if isinstance(nest, dict) else nest)
            if isinstance(one, _NESTED)
        ]
    if level:
        raise TooLarge(_deeper(depth))


def longer_than(limit: int, length: int) -> str:
    """Return the words for a text or a file that is too long: the limit, and its length in bytes."""
    return f"is longer than {size(limit)} (it has {length} bytes)"


def size(count: int) -> str:
    """Return a limit in words: "8 MiB"."""
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _deeper(depth: int) -> str:
    return f"is nested deeper than {depth} levels"
