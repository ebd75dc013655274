"""The command line as people type it: its verbs and their arguments, with the text of --help. Pure."""

import argparse
import math
from typing import Any, Callable, NoReturn

from os_update_agent import __version__
from os_update_agent.model.errors import AgentError, UsageError

_LONGEST = 1e9
# Adds a verb by its name and its help text.
Add = Callable[[str, str], argparse.ArgumentParser]
EXIT_STATUS = (
    ("0", "done"),
    (
        "1",
        "failed; the message says whether the node was restored; resume, replay and notify: or the result was not"
        " delivered to Heat; selftest: a check failed",
    ),
    ("2", "wrong usage, or a wrong option or configuration file; nothing was done"),
    ("70", "a bug in os-update-agent"),
    ("75", "busy: locked by another process, which is named; nothing was done, try again later"),
    ("100", "plan --detailed-exitcode only: there are changes"),
    ("130", "Ctrl-C: the command stopped watching; a run that has begun goes on"),
)
_EPILOG = "exit status:\n" + "".join(f"  {status:<4} {meaning}\n" for status, meaning in EXIT_STATUS)
_STATE = "a recorded value or the name of another recorded state (the manual page lists them)"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors, so that they end with what to do next."""

    def error(self, message: str) -> NoReturn:
        raise helped(UsageError(message), self.prog)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown arguments here: the parser above would point to the help of all commands."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def helped(error: AgentError, prog: str) -> AgentError:
    """Make the error point to the help of the verb that was given."""
    error.advice = error.advice.replace("'os-update-agent --help'", f"'{prog} --help'")
    return error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. --help, the manual page and the completion are made from it."""
    parser = _Parser(
        prog="os-update-agent",
        description="Update packages, remember the result under a name, roll back to any remembered state.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}", help="print the version")
    parser.add_argument(
        "--config", metavar="FILE", help="configuration file instead of /etc/os-update-agent/agent.conf"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log each step on standard error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    _json(parser)
    parser.set_defaults(verb="status", json=False, prog=parser.prog)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        verb = subparsers.add_parser(name, help=text, description=text)
        verb.set_defaults(verb=name, prog=verb.prog)
        return verb

    for add_verbs in (_reading, _changing, _of_heat, _of_the_shell):
        add_verbs(add)
    return parser


def _reading(add: Add) -> None:
    status = add("status", "show the current state, unfinished runs and undelivered results")
    _json(status)
    plan = add(
        "plan",
        "show what an update, a rollback to VALUE, or the operation given with --set would change (dry run)",
    )
    _quiet(plan)
    plan.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        # The same option before the verb must not be unset.
        default=argparse.SUPPRESS,
        help="list the options that count, each with its source; log each step on standard error",
    )
    plan.add_argument(
        "value",
        nargs="?",
        metavar="VALUE",
        help=f"{_STATE}: show the rollback to it; a new value: show the update to it",
    )
    plan.add_argument("--last", action="store_true", help="show what rollback --last would change")
    plan.add_argument("--no-refresh", action="store_true", help="do not refresh the package index")
    plan.add_argument("--detailed-exitcode", action="store_true", help="exit with 100 when there are changes")
    _options(plan)
    history = add("history", "list the values that were tried and reached, and the runs")
    history.add_argument("--limit", type=_count, default=20, metavar="N", help="show the last N runs (default: 20)")
    _key_and_json(history, is_optional=True)
    show = add("show", "show what is recorded under VALUE")
    show.add_argument("value", metavar="VALUE", help=_STATE)
    _key_and_json(show)
    difference = add("diff", 'show the difference between the states of two values; "now" means the installed packages')
    difference.add_argument("a", metavar="A", help=f'{_STATE}, or "now"')
    difference.add_argument("b", metavar="B", help=f'{_STATE}, or "now"')
    _key_and_json(difference)


def _changing(add: Add) -> None:
    update = add(
        "update",
        "update the packages and record the state under VALUE; if VALUE was reached before, restore its state",
    )
    _quiet(update)
    update.add_argument("value", metavar="VALUE", help="a name for the new state: any text, such as a date")
    _options(update)
    rollback = add("rollback", "restore the state that is recorded under VALUE")
    _quiet(rollback)
    rollback.add_argument("value", nargs="?", metavar="VALUE", help=_STATE)
    rollback.add_argument(
        "--last",
        action="store_true",
        help="undo the last run of this key that changed packages: restore the state before it",
    )
    _options(rollback)
    prune = add(
        "prune",
        "delete package files that no kept value, no open run and no downloaded update needs",
    )
    prune.add_argument(
        "--keep", type=_count, metavar="N", help="keep the files of the last N values of each key (option keep)"
    )

    forget = add(
        "forget",
        "forget the values of KEY, such as that of a deleted stack, and delete package files kept for it alone",
    )
    # "key" is the name of --key.
    forget.add_argument("forgotten", metavar="KEY", help="a recorded key; 'history' lists them")
    forget.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    forget.add_argument("--force", action="store_true", help="drop results that Heat has not taken yet, too")
    _json(forget)


def _of_heat(add: Add) -> None:
    resume = add("resume", "finish open runs and send undelivered results to Heat")
    resume.add_argument(
        "--patience",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="keep trying to send for this long (default: one try)",
    )
    resume.add_argument(
        "--background", action="store_true", help="start a worker that does it all, and do not wait for it"
    )
    resume.add_argument(
        "--until-whole", action="store_true", help="the same, but wait until no package is half-installed"
    )
    replay = add("replay", "run a deployment from its file, as heat-config would (see /var/lib/heat-config/deployed)")
    _quiet(replay)
    replay.add_argument("file", metavar="FILE", help="a deployment as heat-config keeps it")
    replay.add_argument("--no-signal", action="store_true", help="do not send the result to Heat")
    _json(replay)
    notify = add("notify", "send a hook's result to Heat, in place of heat-config-notify")
    notify.add_argument("file", metavar="DEPLOYED.json", help="the deployment whose result comes on standard input")
    notify.add_argument(
        "--patience", type=_seconds, default=600.0, metavar="SECONDS", help="keep trying for this long (default: 600)"
    )


def _of_the_shell(add: Add) -> None:
    demo = add("demo", "run a self-contained demonstration in a temporary directory")
    demo.add_argument("--directory", metavar="DIR", help="work in this new directory and keep it")
    demo.add_argument(
        "--backend", choices=("auto", "apt", "dnf"), default="auto", help="auto: apt if there is apt-get, else dnf"
    )
    selftest = add(
        "selftest",
        "check this node within five minutes: what the package manager, SELinux and the like are here; changes nothing",
    )
    _json(selftest)
    install = add(
        "install-hook",
        "install the hook, its directories and its services, so that heat-config can update this node; safe to repeat",
    )
    install.add_argument("--root", default="/", metavar="DIR", help="a mounted root instead of this machine's own")
    install.add_argument(
        "--hooks-dir", default="", metavar="DIR", help="heat-config's hooks (/usr/libexec/heat-config/hooks)"
    )
    install.add_argument(
        "--refresh-dir", default="", metavar="DIR", help="os-refresh-config's scripts (/usr/libexec/os-refresh-config)"
    )
    install.add_argument(
        "--templates-dir",
        default="",
        metavar="DIR",
        help="os-apply-config's templates (/usr/libexec/os-apply-config/templates)",
    )
    install.add_argument("--dry-run", action="store_true", help="only print what would be done")
    install.add_argument(
        "--remove", action="store_true", help="remove all of it again; configuration, ledger, archive and logs stay"
    )
    add("man", 'print the manual page, for "man -l -" or /usr/local/share/man/man8/os-update-agent.8')
    complete = add(
        "completion",
        "print the completion script for bash, or the recorded words that the script asks for",
    )
    complete.add_argument(
        "what",
        choices=("bash", "values", "keys", "runs"),
        help="the script for bash, or the words that it asks the ledger for",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print a JSON document")


def _quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print no progress, only the result")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # No comparison with nan is true; clocks have limits.
    if not 0 <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 or more")
    return seconds


def _key_and_json(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    parser.add_argument(
        "--key",
        metavar="KEY",
        help=f"the key of the history{'' if is_optional else ' (needed when the node has several)'}",
    )
    _json(parser)


def _options(parser: argparse.ArgumentParser) -> None:
    _key_and_json(parser)
    parser.add_argument("--select", choices=("all", "security"), help="which updates")
    parser.add_argument("--packages", action="append", metavar="GLOB", help="only these packages; can be repeated")
    parser.add_argument(
        "--exclude", action="append", metavar="GLOB", help="not these packages; exclusion wins; can be repeated"
    )
    parser.add_argument(
        "--set", action="append", metavar="OPTION=VALUE", help="any other option, e.g. --set on_failure=keep"
    )
