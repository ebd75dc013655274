"""Text from elsewhere on a terminal, in a log and in JSON."""

import json

import pytest

from os_update_agent.text.log_lines import logged
from os_update_agent.text.printable import joined, printable, printable_json, printable_lines

# Clears the screen; sets the title; C1's form of that; begins a line; writes backwards; a lone surrogate; NUL.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\nforged: line\r\u202e\udc80\x00\u2028"


@pytest.mark.parametrize("text", ["", "curl 1.0-1", "Grüße 🙂 日本", "a\u0301"])
def test_printable_text_stays(text: str) -> None:
    assert printable(text) == printable_lines(text) == text


def test_each_other_character_becomes_its_escape() -> None:
    assert printable(HOSTILE) == (r"\x1b[2J\x1b]0;owned\x07\x9b31m\nforged: line\r\u202e\udc80\x00\u2028")


def test_lines_and_tabs_stay_in_texts() -> None:
    assert printable_lines("one\ttwo\r\n\x1b[2Jthree\n") == "one     two\n\\x1b[2Jthree\n"


def test_a_line_cannot_begin_another_one() -> None:
    assert joined(["key\nowed to Heat: nothing", "end"]) == "key\\nowed to Heat: nothing\nend"


def test_json_means_the_same_and_shows_no_control() -> None:
    text = printable_json(json.dumps({"é": HOSTILE}, indent=1, ensure_ascii=False))
    assert json.loads(text) == {"é": HOSTILE}
    assert "é" in text and all(line.isprintable() for line in text.split("\n"))


def test_a_log_line_is_one_printable_line() -> None:
    assert logged(key=HOSTILE).isprintable()
