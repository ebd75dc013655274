"""The environment of the worker, as systemd reads it from a file (systemd.exec(5), EnvironmentFile=)."""

import os
import re
import stat
import time
from pathlib import Path
from typing import Dict

import pytest

from os_update_agent.model.errors import CommandFailed
from os_update_agent.node import transient_unit
from os_update_agent.node.service_environment import environment_text
from os_update_agent.node.transient_unit import UNREAD_SECONDS, forget_environments, start

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


def test_an_environment_that_nobody_has_read_does_not_stay(tmp_path: Path) -> None:
    """It may hold a proxy's password; one that was just written is about to be read."""
    for name, age in (("dead.env", UNREAD_SECONDS + 60), ("fresh.env", 0), ("worker.lock", UNREAD_SECONDS + 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, times=(0, time.time() - age))
    forget_environments(tmp_path)
    forget_environments(tmp_path / "not there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.env", "worker.lock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's programs get a unit of their own")
def test_without_its_environment_nothing_is_started_that_would_die_with_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transient_unit, "SYSTEMD", tmp_path)
    os.mknod(tmp_path / "worker.env", 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    program = ["touch", str(tmp_path / "started")]
    with pytest.raises(
        CommandFailed, match=r"the environment .*worker\.env cannot be written: No space left on device"
    ):
        start(program, unit="worker", output=tmp_path / "log", environment={"A": "1"}, work=tmp_path)
    assert not (tmp_path / "started").exists()
