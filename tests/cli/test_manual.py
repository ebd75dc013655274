"""The manual page and the completion, read by the programs that they are for: man and bash."""

import subprocess
from pathlib import Path
from typing import Callable, List, Tuple

import pytest

from os_update_agent.cli import completion_script, manpage, parser
from os_update_agent.config.options import READERS, WORDS
from os_update_agent.config.policy import names_by_hand
from os_update_agent.install.target import SAMPLE
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


def page() -> str:
    return manpage.page(parser.build_parser(), SAMPLE.read_text(encoding="utf-8"))


def rendered(text: str) -> Tuple[str, str]:
    done = subprocess.run(
        ["man", "--warnings", "--local-file", "-"],
        input=text, capture_output=True, encoding="utf-8", check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANROFFSEQ": "",
             "MAN_KEEP_FORMATTING": ""},
    )  # fmt: skip
    return done.stdout, done.stderr


def test_man_reads_the_page_without_a_complaint() -> None:
    text, complaints = rendered(page())
    assert complaints == ""
    assert text.startswith("OS-UPDATE-AGENT(8)")


def test_everything_that_help_tells_is_in_the_page() -> None:
    text = " ".join(rendered(page())[0].split())
    known = manpage.verbs(parser.build_parser())
    assert {"status", "plan", "update", "rollback", "man", "completion"} <= {verb.name for verb in known}
    for verb in known:
        assert verb.text and manpage._sentence(verb.text) in text, verb.name
        for argument in (*verb.options, *verb.positional):
            assert argument.text and argument.text in text, (verb.name, argument)
            assert all(flag in text for flag in argument.flags)
    for status, meaning in manpage.EXIT_STATUS:
        assert f"{status} {meaning}" in text


def test_every_option_is_in_the_page_with_its_meaning() -> None:
    text = " ".join(rendered(page())[0].split())
    found = manpage.settings_in(SAMPLE.read_text(encoding="utf-8"))
    assert [name.partition(" ")[0] for name, _ in found["[defaults]"]] == list(READERS)
    for setting, meaning in (row for rows in found.values() for row in rows):
        assert meaning and f"{setting} {meaning}" in text, setting


def test_text_that_looks_like_roff_stays_text() -> None:
    assert manpage._roff(".so /etc/passwd\n'x \\fB -") == "\\&.so /etc/passwd\n\\&'x \\(rsfB \\-"


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
    conf.write_text(f"[paths]\nstate = {tmp_path}/state\n", encoding="utf-8")
    script = tmp_path / "completion"
    script.write_text(completion_script.script(parser.build_parser(), names_by_hand(), WORDS), encoding="utf-8")
    command = tmp_path / "os-update-agent"
    command.write_text('#!/bin/sh\nexec python3 -m os_update_agent "$@"\n', encoding="utf-8")
    command.chmod(0o755)

    def offers(line: str, conf: Path = conf) -> List[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", str(script), f"{command}{line}"],
            capture_output=True, encoding="utf-8", check=True, cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(AGENT), "OS_UPDATE_AGENT_CONFIG": str(conf)},
        )  # fmt: skip
        assert done.stderr == ""
        return [offer for offer in done.stdout.splitlines() if offer]

    return offers


def test_commands_and_options_are_completed(complete: Complete) -> None:
    assert complete(" ro") == ["rollback"]
    assert set(complete(" ")) == {verb.name for verb in manpage.verbs(parser.build_parser())}
    assert complete(" plan --det") == ["--detailed-exitcode"]
    assert complete(" plan --select s") == ["security"]
    assert complete(" update v9 --set ke") == ["keep="]
    # Other words of the command line say what these are.
    assert complete(" update v9 --set st") == [] and complete(" update v9 --set tr") == []
    assert complete(" completion b") == ["bash"]
    assert complete(" history --limit ") == []


def test_every_option_with_choices_offers_them(complete: Complete) -> None:
    found = [
        (verb, option) for verb in manpage.verbs(parser.build_parser()) for option in verb.options if option.choices
    ]
    assert {("demo", "--backend"), ("plan", "--select")} <= {(verb.name, option.flags[-1]) for verb, option in found}
    for verb, option in found:
        for flag in option.flags:
            assert complete(f" {verb.name} {flag} ") == list(option.choices)
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


def test_files_are_completed_where_files_are_asked_for(complete: Complete) -> None:
    assert complete(" replay agent.c") == ["agent.conf"]
    assert complete(" --config agent.c") == ["agent.conf"]
    found = [
        (verb.name, option.flags[-1])
        for verb in manpage.verbs(parser.build_parser())
        for option in verb.options
        if option.metavar == "DIR"
    ]
    assert ("install-hook", "--root") in found
    for name, flag in found:
        assert complete(f" {name} {flag} agent.c") == ["agent.conf"]


def test_without_a_ledger_nothing_is_offered_and_nothing_is_made(complete: Complete, tmp_path: Path) -> None:
    conf = tmp_path / "other.conf"
    conf.write_text(f"[paths]\nstate = {tmp_path}/none\n", encoding="utf-8")
    assert complete(" rollback ", conf) == []
    assert not (tmp_path / "none").exists()
    conf.write_text("[nonsense]\n", encoding="utf-8")
    assert complete(" rollback ", conf) == []
    # The configuration that the line names is the one that is asked.
    assert complete(f" --config {tmp_path}/agent.conf show two", conf) == ["two\\ words"]
    assert complete(f" --config={tmp_path}/agent.conf show two", conf) == ["two\\ words"]


def test_the_script_is_good_bash() -> None:
    text = completion_script.script(parser.build_parser(), names_by_hand(), WORDS)
    subprocess.run(["shellcheck", "--shell=bash", "-"], input=text, encoding="utf-8", check=True)
