"""Text from elsewhere as text that a terminal, a log or a file can show. Pure.

Keys, values, names of packages and processes, words of maintainer scripts and answers of servers come from others. A
control character in one could clear the screen, set the title of a window, or begin a line that looks like ours; a
direction mark can show letters in another order.
"""

import json
import re
from typing import Iterable


def printable(text: object) -> str:
    """Return the text as one line: each character that is not printable as its escape in Python, such as \\n."""
    string = str(text)
    if string.isprintable():
        return string
    return "".join(one if one.isprintable() else _escaped(one) for one in string)


def joined(lines: Iterable[str]) -> str:
    """Return the lines as one text. Nothing in a line can begin another one, or reach a terminal as a control."""
    return "\n".join(map(printable, lines))


def printable_lines(text: str) -> str:
    """Return the text with its lines; tabs become spaces, and other characters that are not printable escapes."""
    return "\n".join(printable(line) for line in text.expandtabs().replace("\r\n", "\n").split("\n"))


def indented(text: str) -> str:
    """Return a text of another program with all lines but the first indented, so that none passes for one of ours."""
    return "\n  ".join(printable_lines(text).split("\n"))


def printable_json(text: str) -> str:
    """Return a JSON text with each character that is not printable as its escape in JSON. Line ends stay: inside of
    strings JSON has no bare ones.
    """
    return text if text.isprintable() else re.sub(r"[^\n\x20-\x7e]", _json_escaped, text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escaped(match: "re.Match[str]") -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]
