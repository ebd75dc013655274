"""The manual page (section 8), made from the parser that also makes --help and from the comments of agent.conf.sample.
Pure.
"""

import argparse
import re
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from os_update_agent import __version__

EXIT_STATUS = (
    ("0", "done"),
    ("1", "failed; whether the node was put back is said. resume, replay, notify: or Heat was not told"),
    ("2", "wrong usage, or a wrong option or configuration file; nothing was done"),
    ("70", "a bug in os-update-agent"),
    ("75", "busy: somebody else holds a lock, who is said; nothing was done, try again later"),
    ("100", "plan --detailed-exitcode only: there is something to do"),
    ("130", "Ctrl-C: the command stopped watching; a run that was begun goes on"),
)
FILES = (
    ("/etc/os-update-agent/agent.conf", "the configuration, with every option and its meaning in the comments"),
    (
        "/etc/os-update-agent/pre-update.d, post-update.d, health.d",
        "executables of the operator, run before and after an update",
    ),
    ("/var/lib/os-update-agent", "the ledger (ledger.sqlite) and the kept package files (archive)"),
    ("/var/log/os-update-agent", "one log for each run, and worker.log"),
    ("/run/os-update-agent", "locks"),
)
ENVIRONMENT = (("OS_UPDATE_AGENT_CONFIG", "names the configuration file, as --config does"),)
_DESCRIPTION = (
    (
        "A value goes in, a package state comes out, the truth is reported, and going back works. OpenStack Heat brings"
        " values to this node; the command does by hand what Heat's deployments do, with the same ledger, lock and"
        " archive. Without a command it tells the status."
    ),
)

_SECTIONS = {
    "[node]": "Section [node] of agent.conf",
    "[paths]": "Section [paths] of agent.conf",
    "[signal]": "Section [signal] of agent.conf",
    "[defaults]": (
        "Options: section [defaults] of agent.conf, --set on the command line (but trigger and state_key), and a"
        " template"
    ),
}
# #keep = 5   #systemctl =
_SETTING = re.compile(r"#(?P<name>\w+) = ?(?P<value>.*)")


@dataclass(frozen=True)
class Verb:
    """One command: its text, its options as (flags, metavar, choices, help), its positional arguments in the same form
    without flags.
    """

    name: str
    text: str
    options: "Tuple[Argument, ...]"
    positional: "Tuple[Argument, ...]"


@dataclass(frozen=True)
class Argument:
    """``flags`` is empty for a positional one; ``metavar`` for a switch."""

    flags: Tuple[str, ...]
    metavar: str
    choices: Tuple[str, ...]
    text: str
    is_required: bool


def verbs(parser: argparse.ArgumentParser) -> Tuple[Verb, ...]:
    """The commands of the parser in their order."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            children: Dict[str, argparse.ArgumentParser] = action.choices
            found += [_verb(name, child) for name, child in children.items()]
    return tuple(found)


def arguments(parser: argparse.ArgumentParser) -> Tuple[Argument, ...]:
    """The arguments of one parser, without its commands and --help."""
    left_out = (argparse._SubParsersAction, argparse._HelpAction)
    return tuple(_argument(action) for action in parser._actions if not isinstance(action, left_out))


def _verb(name: str, parser: argparse.ArgumentParser) -> Verb:
    found = arguments(parser)
    text = (parser.description or "").replace("%%", "%")
    return Verb(name, text, tuple(one for one in found if one.flags), tuple(one for one in found if not one.flags))


def _argument(action: argparse.Action) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    takes_value = not action.option_strings or action.nargs != 0
    metavar = (
        str(action.metavar or ("{" + ",".join(choices) + "}" if choices else action.dest.upper()))
        if takes_value
        else ""
    )
    is_required = not action.option_strings and action.nargs != "?"
    return Argument(tuple(action.option_strings), metavar, choices, (action.help or "").replace("%%", "%"), is_required)


def settings_in(sample: str) -> Dict[str, List[Tuple[str, str]]]:
    """Of each section of agent.conf.sample the settings with what is built in, and what the comments above them say."""
    found: Dict[str, List[Tuple[str, str]]] = {}
    rows: List[Tuple[str, str]] = []
    comment: List[str] = []
    for line in sample.splitlines():
        match = _SETTING.fullmatch(line)
        if line.startswith("["):
            rows = found.setdefault(line, [])
        elif match:
            rows.append((match["name"] + (f" = {match['value']}" if match["value"] else ""), " ".join(comment)))
        # What stands above an empty line is about no setting.
        comment = [*comment, line[2:]] if line.startswith("# ") else []
    return found


def page(parser: argparse.ArgumentParser, sample: str) -> str:
    """The page in roff (man(7)); ``sample`` is the text of agent.conf.sample."""
    lines = [
        f'.TH OS\\-UPDATE\\-AGENT 8 "" "os\\-update\\-agent {_roff(__version__)}" "System Administration"',
        *(".SH NAME", f"os\\-update\\-agent \\- {_roff(_sentence_start(parser.description or ''))}"),
        *(".SH SYNOPSIS", f".B os\\-update\\-agent\n{_usage(arguments(parser))}\n.RI [ COMMAND\n.RI [ ARGUMENT ...]]"),
        *(".SH DESCRIPTION", *map(_roff, _DESCRIPTION)),
        *(".SH OPTIONS", *_described(arguments(parser))),
        ".SH COMMANDS",
    ]
    for verb in verbs(parser):
        lines += [
            f".SS {_roff(verb.name)}",
            f".B {_roff(verb.name)}\n{_usage((*verb.options, *verb.positional))}".rstrip(),
        ]
        lines += [".PP", _roff(_sentence(verb.text)), *_described((*verb.positional, *verb.options))]
    lines.append(".SH CONFIGURATION")
    for section, rows in settings_in(sample).items():
        lines += [f".SS {_roff(_SECTIONS[section])}", *_table(rows)]
    lines += [
        ".SH EXIT STATUS",
        *_table(EXIT_STATUS),
        ".SH FILES",
        *_table(FILES),
        ".SH ENVIRONMENT",
        *_table(ENVIRONMENT),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _usage(found: Sequence[Argument]) -> str:
    words = []
    for argument in found:
        flag = f"\\fB{_roff(argument.flags[-1])}\\fR" if argument.flags else ""
        metavar = f"\\fI{_roff(argument.metavar)}\\fR" if argument.metavar else ""
        word = " ".join(filter(None, (flag, metavar)))
        words.append(word if argument.is_required else f"[{word}]")
    return "\n".join(words)


def _described(found: Sequence[Argument]) -> List[str]:
    lines = []
    for argument in found:
        if not argument.text:
            continue
        flags = ", ".join(f"\\fB{_roff(flag)}\\fR" for flag in argument.flags)
        metavar = f"\\fI{_roff(argument.metavar)}\\fR" if argument.metavar else ""
        lines += [".TP", " ".join(filter(None, (flags, metavar))), _roff(argument.text)]
    return lines


def _table(rows: Sequence[Tuple[str, str]]) -> List[str]:
    return [line for name, text in rows for line in (".TP", f"\\fB{_roff(name)}\\fR", _roff(text))]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _sentence_start(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")


def _roff(text: str) -> str:
    """Text for roff: no escape and no request of its own, and hyphens that can be copied into a terminal."""
    escaped = text.replace("\\", "\\(rs").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)
