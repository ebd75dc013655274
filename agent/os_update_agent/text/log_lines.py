"""One fact of the log as key=value. Pure."""

import json

from os_update_agent.text.printable import printable_json

_LOGGED_AT_MOST = 1000


def logged(**facts: object) -> str:
    """A fact for the journal as key=value; a value with blanks or quotes in it is quoted, a very long one is cut, and
    none can begin a line of its own.
    """
    words = []
    for name, value in facts.items():
        text = str(value)
        text = text if len(text) <= _LOGGED_AT_MOST else f"{text[:_LOGGED_AT_MOST]}..."
        plain = text and text.isprintable() and not set(text) & set(" \"'\\=")
        words.append(f"{name}={text if plain else printable_json(json.dumps(text, ensure_ascii=False))}")
    return " ".join(words)
