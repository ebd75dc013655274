"""Makes the manual page and the bash completion from the parser: ``tests/run generate`` writes them, a test compares.

argparse-manpage and shtab read argparse's private parts, so that this project does not. They are needed here only: the
files are committed and shipped. Both libraries are pinned, because another version may write another text.
"""

import argparse
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple
from unittest import mock

import shtab
from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped]

from os_update_agent import __version__
from os_update_agent.cli.parser import EXIT_STATUS, build_parser
from os_update_agent.config.options import READERS, WORDS
from os_update_agent.config.policy import NOT_BY_HAND
from os_update_agent.install.target import COMPLETION, MANUAL, SAMPLE

DESCRIPTION = (
    "OpenStack Heat sends values to this node. The agent updates the packages for a new value, and restores the"
    " recorded package state for a value that was reached before. This command does by hand what Heat's deployments do,"
    " with the same ledger, lock and archive. Without a COMMAND it prints the status."
)
STATES = (
    "rollback, plan, show and diff take the name of a recorded state where they take a VALUE, and the beginning of a"
    " key after --key if only one key begins so. A text is tried as each of these, in this order. A text that could"
    " mean several values is refused with their list. If a text is no recorded value, the command prints what it means."
)
ORIGINS = (
    "An option of plan, update and rollback has its value from the strongest of these sources: the command line; the"
    " last delivery by Heat for the same key, if that delivery itself gave the option; section [defaults] of agent.conf"
    " as it is now; the default. Only plan takes the operation of that delivery, too. 'plan -v' lists each option with"
    ' its value and its source, and \'plan --json\' has the same in "options". The source "the last delivery, or'
    ' agent.conf at that time" ends with the next delivery: an older agent did not store which of them it was.'
)
# The names of recorded states: what is typed, and what it means. The first meaning that fits counts.
STATE_NAMES = (
    ("VALUE", "a recorded value, as 'history' lists it; it always wins"),
    (
        "(before VALUE)",
        "the state before the first run to VALUE; 'history' lists that before the first update of a key",
    ),
    ("run:12, #12", "the state that run 12 left; (before run:12) is the state before it"),
    (
        "at:2026-11-29, 'at:2026-11-29 14:00'",
        "the state at that time, UTC unless it has a time zone (14:00+01:00); a day means its end",
    ),
    ("2026-11-2", "the beginning of a value, if no other value begins so"),
    ("12", "run 12, unless values of the key are numbers themselves"),
    ("2026-11-29, '2026-11-29 14:00'", "the same as with at:"),
)
EXAMPLES = (
    "For example 'rollback --last' undoes the last run that changed packages of the key, 'rollback 2026-11-28' goes to"
    " the state at the end of that day, 'diff run:12 now' shows what has changed since run 12, and 'rollback \"(before"
    " v1)\"' goes to the state before the first update. plan also takes a new value and shows the update to it; a bare"
    " time that means no older state than the present one is such a value."
)
FILES = (
    ("/etc/os-update-agent/agent.conf", "the configuration; CONFIGURATION above lists every option"),
    (
        "/etc/os-update-agent/pre-update.d, post-update.d, health.d",
        "executables of the operator, run before and after an update",
    ),
    ("/var/lib/os-update-agent", "the ledger (ledger.sqlite) and the kept package files (archive)"),
    ("/var/log/os-update-agent", "one log for each run, and worker.log"),
    ("/run/os-update-agent", "locks"),
)
ENVIRONMENT = (("OS_UPDATE_AGENT_CONFIG", "names the configuration file, as --config does"),)
SECTIONS = {
    "[node]": "Section [node] of agent.conf",
    "[paths]": "Section [paths] of agent.conf",
    "[signal]": "Section [signal] of agent.conf",
    "[defaults]": "Options: section [defaults] of agent.conf, a template, --set (except trigger and state_key)",
}
# #keep = 5   #systemctl =
SETTING = re.compile(r"#(?P<name>\w+) = ?(?P<value>.*)")
# The hand-written part of the completion; it says what shtab cannot do.
BASH = Path(__file__).parent / "completion.bash"
# What completes an argument, by the name that the help gives it.
COMPLETERS = {
    "FILE": "_os_update_agent_files",
    "DIR": "_os_update_agent_files",
    "DEPLOYED.json": "_os_update_agent_files",
    "VALUE": "_os_update_agent_values",
    "A": "_os_update_agent_values_and_now",
    "B": "_os_update_agent_values_and_now",
    "KEY": "_os_update_agent_keys",
    "OPTION=VALUE": "_os_update_agent_assignments",
}

Rows = Iterable[Tuple[str, str]]


def generated() -> Mapping[Path, str]:
    """Return the text of each generated file."""
    # The usage is wrapped at the width of the terminal: let man and the reader's terminal do that.
    with mock.patch.dict(os.environ, {"COLUMNS": "100000", "LANGUAGE": "C"}):
        return {MANUAL: manual(), COMPLETION: completion()}


def manual() -> str:
    """Return the manual page in roff (man(7))."""
    parser = build_parser()
    parser.epilog = None  # it repeats EXIT STATUS
    page = Manpage(parser, format="single-commands-section")
    page.section, page.manual, page.date, page.source = 8, "System Administration", "", f"os-update-agent {__version__}"
    summary = parser.description or ""
    page.description = f"{summary[:1].lower()}{summary[1:].rstrip('.')}"
    # argparse-manpage does not escape the hyphens of the synopsis: nobody could paste them into a terminal.
    page.add_section("synopsis", "=", f".B os\\-update\\-agent\n{roff(' '.join(page.synopsis[1:]))}")
    page.add_section("description", "=", f"{roff(DESCRIPTION)}\n.PP")
    page.add_section("configuration", "=", "\n".join(map(_settings, settings_in(_sample()).items())))
    page.add_section("sources of options", "=", roff(ORIGINS))
    page.add_section("names of states", "=", f"{roff(STATES)}\n{table(STATE_NAMES)}\n.PP\n{roff(EXAMPLES)}")
    for heading, rows in (("exit status", EXIT_STATUS), ("files", FILES), ("environment", ENVIRONMENT)):
        page.add_section(heading, "=", table(rows))
    # Below the name of each command argparse-manpage writes its help, without escaping it, and then its description,
    # which is the same text.
    return re.sub(r"(?m)^(\.SS .*)\n.*\n\nusage: ", r"\1\n", str(page))


def _sample() -> str:
    return SAMPLE.read_text(encoding="utf-8")


def settings_in(sample: str) -> Dict[str, List[Tuple[str, str]]]:
    """Return the settings of each section of agent.conf.sample with their defaults and the comments above them."""
    found: Dict[str, List[Tuple[str, str]]] = {}
    rows: List[Tuple[str, str]] = []
    comment: List[str] = []
    for line in sample.splitlines():
        match = SETTING.fullmatch(line)
        if line.startswith("["):
            rows = found.setdefault(line, [])
        elif match:
            rows.append((match["name"] + (f" = {match['value']}" if match["value"] else ""), " ".join(comment)))
        # A comment above an empty line is about no setting.
        comment = [*comment, line[2:]] if line.startswith("# ") else []
    return found


def _settings(section: Tuple[str, Rows]) -> str:
    name, rows = section
    return f".SS {roff(SECTIONS[name])}\n{table(rows)}"


def table(rows: Rows) -> str:
    """Return a list of terms and their meanings in roff."""
    return "\n".join(f".TP\n\\fB{roff(term)}\\fR\n{roff(meaning)}" for term, meaning in rows)


def roff(text: str) -> str:
    """Escape a text: it holds no escape or request of its own, and its hyphens can be pasted into a terminal."""
    escaped = text.replace("\\", "\\(rs").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def completion() -> str:
    """Return the completion script for bash."""
    with mock.patch.object(argparse.ArgumentParser, "add_argument", _add_argument):
        parser = build_parser()
    script: str = shtab.complete(parser, "bash")
    # Every script of shtab defines these two; the one that is loaded last would define them for all.
    # shtab begins with advice for people who install the script by hand; the agent installs it.
    script, count = re.subn(r"^# Usage:\n(?:#.*\n)+", "", script, count=1, flags=re.MULTILINE)
    assert count == 1, "shtab's advice has another form"
    script = re.sub(r"\b_set_(parser_defaults|new_action)\b", r"_os_update_agent_set_\1", script)
    assignments = [f"{name}={word}" for name, words in WORDS.items() for word in words]
    own = BASH.read_text(encoding="utf-8")
    own = own.replace("@OPTIONS@", " ".join(f"{name}=" for name in READERS if name not in NOT_BY_HAND))
    return f"{script}\n\n{own.replace('@ASSIGNMENTS@', ' '.join(assignments))}"


_plain_add_argument = argparse.ArgumentParser.add_argument


def _add_argument(parser: argparse.ArgumentParser, *names: Any, **options: Any) -> argparse.Action:
    """Add an argument and tell shtab how to complete it, which shtab looks for in an attribute of the argument."""
    action = _plain_add_argument(parser, *names, **options)
    if options.get("metavar") in COMPLETERS:
        action.complete = {"bash": COMPLETERS[options["metavar"]]}  # type: ignore[attr-defined]
    return action
