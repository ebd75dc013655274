"""The manual page and the completion, read by the programs that they are for: man and bash."""

import os
import pty
import re
import select
import subprocess
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import pytest

import docs
from os_update_agent.cli import main, parser
from os_update_agent.config.options import READERS, WORDS
from os_update_agent.install.target import COMPLETION, MANUAL, SAMPLE
from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import PackageState

AGENT = Path(__file__).parents[2] / "agent"
VALUES = ("2026-11-24T10:00:00Z", "2026-11-24T12:30:00Z", "two words", "it's $(reboot)", "line\nend", "release=5")
Complete = Callable[..., List[str]]

# What readline does with a line before the completion function, and with its answers behind it.
ASK = """\
source "$1"
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
COMP_LINE=$2 COMP_POINT=${#2}
_os_update_agent 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def rendered(text: str) -> Tuple[str, str]:
    done = subprocess.run(
        ["man", "--warnings", "--local-file", "-"],
        input=text, capture_output=True, encoding="utf-8", check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANROFFSEQ": "",
             "MAN_KEEP_FORMATTING": ""},
    )  # fmt: skip
    return done.stdout, done.stderr


@pytest.fixture
def text() -> str:
    """The shipped page as man shows it, in one line."""
    return " ".join(rendered(MANUAL.read_text(encoding="utf-8"))[0].split())


def helped(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", "100000")
    with pytest.raises(SystemExit):
        main.main([verb, "--help"])
    return capsys.readouterr().out


def flags_of(found: str) -> Iterator[Tuple[str, str]]:
    """The options of a help text with the names of their values."""
    yield from re.findall(r"(?m)^ +(?:-\w, )?(--[a-z-]+) (\S+)(?:  |$)", found)


def test_the_shipped_files_are_those_that_the_parser_makes() -> None:
    stale = [path.name for path, made in docs.generated().items() if path.read_text(encoding="utf-8") != made]
    assert stale == [], "run 'tests/run generate' and commit the files"


def test_man_reads_the_page_without_a_complaint() -> None:
    shown, complaints = rendered(MANUAL.read_text(encoding="utf-8"))
    assert complaints == ""
    assert shown.startswith("OS-UPDATE-AGENT(8)")


def test_the_page_has_the_sections_of_a_manual() -> None:
    shown = rendered(MANUAL.read_text(encoding="utf-8"))[0]
    assert re.findall(r"(?m)^[A-Z].*", shown)[1:] == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "CONFIGURATION", "SOURCES OF OPTIONS"),
        *("NAMES OF STATES", "EXIT STATUS", "FILES", "ENVIRONMENT"),
    ]


@pytest.mark.parametrize("verb", main.COMMANDS)
def test_everything_that_help_tells_is_in_the_page(
    verb: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in helped(verb, monkeypatch, capsys).splitlines() if "--help" not in line or "usage" in line]
    pieces = [piece for line in lines for piece in re.split("  +", line) if piece and not piece.endswith(":")]
    assert len(pieces) >= 2
    for piece in pieces:
        assert piece.replace("usage: ", "") in text, piece


def test_every_exit_status_is_in_the_page_with_its_meaning(text: str) -> None:
    assert parser.EXIT_STATUS
    for status, meaning in parser.EXIT_STATUS:
        assert f"{status} {meaning}" in text


def test_every_option_is_in_the_page_with_its_meaning(text: str) -> None:
    found = docs.settings_in(SAMPLE.read_text(encoding="utf-8"))
    assert [name.partition(" ")[0] for name, _ in found["[defaults]"]] == list(READERS)
    for setting, meaning in (row for rows in found.values() for row in rows):
        assert meaning and f"{setting} {meaning}" in text, setting


def test_hyphens_of_the_page_can_be_pasted_into_a_terminal() -> None:
    plain = [
        line
        for line in MANUAL.read_text(encoding="utf-8").splitlines()
        if re.search(r"(?<!\\)-", line) and not line.startswith('.\\"')
    ]
    assert plain == []


def test_text_that_looks_like_roff_stays_text() -> None:
    assert docs.roff(".so /etc/passwd\n'x \\fB -") == "\\&.so /etc/passwd\n\\&'x \\(rsfB \\-"


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    """What bash offers for a line, on a node whose ledger knows VALUES."""
    ledger = Ledger(tmp_path / "state" / "ledger.sqlite")
    for number, value in enumerate(VALUES):
        ledger.record_reached(
            "stack/node", value, ledger.put_state(PackageState("apt", "amd64", ())), None, float(number)
        )
    ledger.close()
    conf = tmp_path / "agent.conf"
    conf.write_text(f"[node]\nroot = {tmp_path}\n[paths]\nstate = {tmp_path}/state\n", encoding="utf-8")
    command = tmp_path / "os-update-agent"
    command.write_text('#!/bin/sh\nexec python3 -m os_update_agent "$@"\n', encoding="utf-8")
    command.chmod(0o755)

    def offers(line: str, conf: Path = conf) -> List[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", str(COMPLETION), f"{command}{line}"],
            capture_output=True, encoding="utf-8", check=True, cwd=tmp_path, timeout=60,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(AGENT), "OS_UPDATE_AGENT_CONFIG": str(conf)},
        )  # fmt: skip
        assert done.stderr == ""
        return [offer for offer in done.stdout.splitlines() if offer]

    return offers


def test_commands_and_options_are_completed(complete: Complete) -> None:
    assert complete(" ro") == ["rollback"]
    assert set(complete(" ")) == set(main.COMMANDS)
    assert complete(" plan --det") == ["--detailed-exitcode"]
    assert complete(" plan --select s") == ["security"]
    assert complete(" update v9 --set ke") == ["keep="]
    # Other words of the command line say what these are.
    assert complete(" update v9 --set st") == [] and complete(" update v9 --set tr") == []
    assert complete(" completion b") == ["bash"]
    assert complete(" history --limit ") == []


def test_the_name_of_the_command_alone_ends_without_an_offer(complete: Complete) -> None:
    assert complete("") == []


def test_every_option_with_choices_offers_them(
    complete: Complete, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        (verb, flag): choices.strip("{}").split(",")
        for verb in main.COMMANDS
        for flag, choices in flags_of(helped(verb, monkeypatch, capsys))
        if choices.startswith("{")
    }
    assert {("demo", "--backend"), ("plan", "--select")} <= set(found)
    for (verb, flag), choices in found.items():
        assert complete(f" {verb} {flag} ") == choices
    assert complete(" demo --backend d") == ["dnf"]
    # Of an option that --set takes what comes behind the equals sign, at which bash has cut the word.
    for name, words in WORDS.items():
        assert complete(f" update v9 --set {name}=") == list(words)
    assert complete(" plan --set on_failure=k") == ["keep"]


def test_values_come_from_the_ledger_the_latest_first(complete: Complete) -> None:
    assert complete(" rollback ") == ["release=5", "it\\'s\\ \\$\\(reboot\\)", "two\\ words", VALUES[1], VALUES[0]]
    # bash has cut the word at its colons: only what comes behind the last one is put in.
    assert complete(" show 2026-11-24T12:3") == ["30:00Z"]
    assert complete(" show release=") == ["5"] and complete(" show rel") == ["release=5"]
    assert complete(" show 2026") == [VALUES[1], VALUES[0]]
    assert complete(" diff --key stack/node n") == ["now"]
    assert complete(" diff now two") == ["two\\ words"]
    assert complete(" diff now two more") == []
    assert complete(" plan --key s") == ["stack/node"]


def test_an_option_that_is_joined_to_its_value_is_completed_too(complete: Complete) -> None:
    assert complete(" plan --key=s") == ["stack/node"]
    assert complete(" plan --select=s") == ["security"]
    # It is no VALUE, which still is to come.
    assert complete(" plan --key=stack/node two") == ["two\\ words"]


def test_files_are_completed_where_files_are_asked_for(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(" replay agent.c") == ["agent.conf"]
    assert complete(" notify agent.c") == ["agent.conf"]
    assert complete(" --config agent.c") == ["agent.conf"]
    (tmp_path / "my file").touch()
    assert complete(" replay my") == ["my file"]
    found = [
        (verb, flag)
        for verb in main.COMMANDS
        for flag, value in flags_of(helped(verb, monkeypatch, capsys))
        if value == "DIR"
    ]
    assert ("install-hook", "--root") in found
    for verb, flag in found:
        assert complete(f" {verb} {flag} agent.c") == ["agent.conf"]


def test_without_a_ledger_nothing_is_offered_and_nothing_is_made(complete: Complete, tmp_path: Path) -> None:
    conf = tmp_path / "other.conf"
    conf.write_text(f"[node]\nroot = {tmp_path}\n[paths]\nstate = {tmp_path}/none\n", encoding="utf-8")
    assert complete(" rollback ", conf) == []
    assert not (tmp_path / "none").exists()
    conf.write_text("[nonsense]\n", encoding="utf-8")
    assert complete(" rollback ", conf) == []
    # The configuration that the line names is the one that is asked.
    assert complete(f" --config {tmp_path}/agent.conf show two", conf) == ["two\\ words"]
    assert complete(f" --config={tmp_path}/agent.conf show two", conf) == ["two\\ words"]


def test_a_terminal_completes_a_value_with_colons(complete: Complete, tmp_path: Path) -> None:
    """Type into bash as it runs with readline, which cuts and inserts words itself."""
    assert complete(" sta") == ["status"]  # the node is there
    environment = {
        **{"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(AGENT), "TERM": "dumb", "INPUTRC": "/dev/null"},
        **{"OS_UPDATE_AGENT_CONFIG": str(tmp_path / "agent.conf"), "PS1": "> "},
    }
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        os.write(terminal, f"source {COMPLETION}; echo is ready: $?\n".encode())
        read_until(terminal, "is ready: 0")
        os.write(terminal, b"os-update-agent show 2026-11-24T12\t")
        read_until(terminal, f"show {VALUES[1]}")
        os.write(terminal, b" --js\t")
        read_until(terminal, "--json")
        os.write(terminal, b"\x15os-update-agent update v9 --set on_failure=ke\t")
        read_until(terminal, "--set on_failure=keep")
        os.write(terminal, b"\x15os-update-agent rollback two\t")
        read_until(terminal, "rollback two\\ words")
    finally:
        os.write(terminal, b"\x15exit\n")
        os.waitpid(child, 0)
        os.close(terminal)


def read_until(terminal: int, wanted: str) -> None:
    """Read what the terminal shows until a text is there. Fails when nothing more comes for long."""
    shown = ""
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, f"{wanted!r} is not shown: {shown!r}"
        shown += os.read(terminal, 4096).decode().replace("\r", "")


def test_the_script_is_good_bash() -> None:
    subprocess.run(["bash", "-n", str(COMPLETION)], check=True)
    # What shtab writes is its own matter.
    subprocess.run(["shellcheck", "--shell=bash", str(docs.BASH)], check=True)


def test_every_verb_of_the_parser_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    (listed,) = re.findall(r"(?s)\ncommands:\n  COMMAND\n(.*?)\n\n", capsys.readouterr().out)
    assert re.findall(r"(?m)^    ([a-z-]+)", listed) == list(main.COMMANDS)
