"""The environment of the worker, as systemd reads it from a file (systemd.exec(5), EnvironmentFile=)."""

import re
from typing import Dict

import pytest

from os_update_agent.node.detach import environment_text

# NAME="...", with a backslash before a quote, a backslash, a dollar and a backtick.
LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\$`]|\\["\\$`])*)"')


def read(text: str) -> Dict[str, str]:
    """What systemd makes of the file."""
    found = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        found[match[1]] = re.sub(r'\\(["\\$`])', r"\1", match[2])
    return found


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "two words",
        " blanks ",
        "a=b",
        "'",
        '"',
        "\\",
        "\\\\n",
        "$HOME ${HOME} $$",
        "`date`",
        "#;%",
        "ü ☃",
        'http://u:p"$\\@proxy/',
    ],
)
def test_a_value_is_read_as_it_was(value: str) -> None:
    assert read(environment_text({"NAME": value})) == {"NAME": value}


def test_every_variable_has_a_line_and_the_order_is_one() -> None:
    assert environment_text({"B": "2", "A": "1"}) == 'A="1"\nB="2"\n'
    assert environment_text({}) == ""


@pytest.mark.parametrize("name", ["", "BASH_FUNC_x%%", "with blank", "1ST", "a-b", "a.b", "x\ny"])
def test_a_name_that_systemd_does_not_take_is_left_out(name: str) -> None:
    assert read(environment_text({name: "x", "PATH": "/bin"})) == {"PATH": "/bin"}


def test_a_value_of_several_lines_is_left_out() -> None:
    assert read(environment_text({"TWO": "a\nLD_PRELOAD=/evil.so", "PATH": "/bin"})) == {"PATH": "/bin"}
