"""The command line: the same code as the hook, by hand."""

import argparse
import contextlib
import errno
import io
import logging
import math
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, Sequence

from os_update_agent import __version__
from os_update_agent.cli import commands
from os_update_agent.cli.asked import complain, write_answer
from os_update_agent.cli.manpage import EXIT_STATUS
from os_update_agent.config.settings import Settings, load
from os_update_agent.delivery import supervise
from os_update_agent.model.errors import BUG_STATUS, AgentError, Bug, NoLongerWatched, UsageError, bug
from os_update_agent.node.journal import Dated
from os_update_agent.packages.disk_space import free_bytes

_LONGEST = 1e9
# Less than the smallest file takes.
_FULL = 64 * 1024

Command = Callable[[Settings, argparse.Namespace], int]
if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["_Parser"]

_EPILOG = "exit status:\n" + "".join(f"  {status:<4} {meaning}\n" for status, meaning in EXIT_STATUS)
# A broken agent.conf must not keep anybody from reading the manual or from installing, and no result of another hook
# from Heat.
_WITHOUT_SETTINGS = (commands.demo, commands.man, commands.complete, commands.install_hook, commands.notify)


class _Parser(argparse.ArgumentParser):
    """What argparse finds wrong is an error like every other one here: it ends with what to do next."""

    def error(self, message: str) -> NoReturn:
        raise _helped(UsageError(message), self.prog)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Nothing is left over for the parser above: it would name the help of all commands."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


def _helped(error: AgentError, prog: str) -> AgentError:
    """The help that an error points to is that of the command which was given."""
    error.advice = error.advice.replace("'os-update-agent --help'", f"'{prog} --help'")
    return error


def build_parser() -> argparse.ArgumentParser:
    """The whole command line: help, man page and completion are made from it."""
    parser = _Parser(
        prog="os-update-agent",
        description="Updates the packages of this node to a value, and brings earlier values back.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config", metavar="FILE", help="configuration file in place of /etc/os-update-agent/agent.conf"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done, on standard error")
    verbs = parser.add_subparsers(metavar="COMMAND")
    _json(parser)
    parser.set_defaults(command=commands.status, json=False, parser=parser, prog=parser.prog)
    _reading(verbs)
    _changing(verbs)
    _of_heat(verbs)
    _of_the_shell(verbs)
    return parser


def _reading(verbs: "Verbs") -> None:
    status = _add(verbs, "status", commands.status)
    _json(status)
    plan = _add(verbs, "plan", commands.plan)
    _quiet(plan)
    plan.add_argument(
        "value", nargs="?", metavar="VALUE", help="a value that was reached: what the way back to it would do"
    )
    plan.add_argument("--no-refresh", action="store_true", help="use the package index as it is")
    plan.add_argument("--detailed-exitcode", action="store_true", help="exit with 100 when there are changes")
    _options(plan)
    history = _add(verbs, "history", commands.history)
    history.add_argument("--limit", type=_count, default=20, metavar="N", help="show the last N runs (20)")
    _key_and_json(history, is_optional=True)
    show = _add(verbs, "show", commands.show)
    show.add_argument("value", metavar="VALUE", help="a recorded value")
    _key_and_json(show)
    difference = _add(verbs, "diff", commands.difference)
    difference.add_argument("a", metavar="A", help='a recorded value, or "now"')
    difference.add_argument("b", metavar="B", help='a recorded value, or "now"')
    _key_and_json(difference)


def _changing(verbs: "Verbs") -> None:
    update = _add(verbs, "update", commands.update)
    _quiet(update)
    update.add_argument(
        "value", metavar="VALUE", help="the name of the state that is reached: any text, such as a date"
    )
    _options(update)
    rollback = _add(verbs, "rollback", commands.rollback)
    _quiet(rollback)
    rollback.add_argument("value", metavar="VALUE", help="a recorded value that was reached")
    _options(rollback)
    prune = _add(verbs, "prune", commands.prune_now)
    prune.add_argument(
        "--keep", type=_count, metavar="N", help="keep the files of the last N values of each key (option keep)"
    )


def _of_heat(verbs: "Verbs") -> None:
    resume = _add(verbs, "resume", commands.resume_now)
    resume.add_argument(
        "--patience", type=_seconds, default=0.0, metavar="SECONDS", help="keep trying to send for so long (one try)"
    )
    resume.add_argument("--background", action="store_true", help="leave it all to a worker, and do not wait for it")
    resume.add_argument(
        "--until-whole", action="store_true", help="the same, and wait until no package is half-installed"
    )
    replay = _add(verbs, "replay", commands.replay)
    _quiet(replay)
    replay.add_argument("file", metavar="FILE", help="a deployment as heat-config keeps it")
    replay.add_argument("--no-signal", action="store_true", help="do not tell Heat")
    _json(replay)
    notify = _add(verbs, "notify", commands.notify)
    notify.add_argument("file", metavar="DEPLOYED.json", help="the deployment whose result comes on standard input")
    notify.add_argument(
        "--patience", type=_seconds, default=600.0, metavar="SECONDS", help="keep trying for so long (600)"
    )


def _of_the_shell(verbs: "Verbs") -> None:
    demo = _add(verbs, "demo", commands.demo)
    demo.add_argument("--directory", metavar="DIR", help="work in this new directory and leave it behind")
    demo.add_argument(
        "--backend", choices=("auto", "apt", "dnf"), default="auto", help="auto: apt where there is apt-get, else dnf"
    )
    install = _add(verbs, "install-hook", commands.install_hook)
    install.add_argument("--root", default="/", metavar="DIR", help="a mounted root in place of this machine's own")
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
    install.add_argument("--dry-run", action="store_true", help="only say what would be done")
    install.add_argument(
        "--remove", action="store_true", help="take all of it away again; configuration, ledger, archive and logs stay"
    )
    _add(verbs, "man", commands.man)
    complete = _add(verbs, "completion", commands.complete)
    complete.add_argument(
        "what", choices=("bash", "values", "keys"), help="the script for bash, or what it asks the ledger for"
    )


def _add(verbs: "Verbs", name: str, command: Command) -> argparse.ArgumentParser:
    text = (command.__doc__ or "").replace("%", "%%")
    parser = verbs.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command, prog=parser.prog)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print a JSON document")


def _quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, only the result")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # Nothing is true of nan, and the clocks have their limits.
    if not 0 <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 or more")
    return seconds


def _key_and_json(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    parser.add_argument(
        "--key", metavar="KEY", help=f"whose history{'' if is_optional else ' (needed when the node has several)'}"
    )
    _json(parser)


def _options(parser: argparse.ArgumentParser) -> None:
    _key_and_json(parser)
    parser.add_argument("--select", choices=("all", "security"), help="which updates")
    parser.add_argument("--packages", action="append", metavar="GLOB", help="only these; can be given again")
    parser.add_argument("--exclude", action="append", metavar="GLOB", help="not these; exclusion wins")
    parser.add_argument(
        "--set", action="append", metavar="OPTION=VALUE", help="any other option, e.g. --set on_failure=keep"
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command. Returns its exit status; --help and --version end here."""
    _make_writable()
    try:
        arguments = build_parser().parse_args(argv)
        return _run(arguments)
    except UsageError as error:
        return _complained(error)
    except KeyboardInterrupt:
        return _interrupted()
    finally:
        _give_up_unwritten()


def _run(arguments: argparse.Namespace) -> int:
    level = logging.INFO if arguments.verbose else logging.ERROR
    to_error = logging.StreamHandler(sys.stderr)
    to_error.setFormatter(Dated())
    if not arguments.verbose:
        # The hook's journal needs it; here who waits in vain is told by the answer of the command.
        to_error.addFilter(lambda record: record.name != supervise.__name__)
    logging.basicConfig(level=level, handlers=[to_error])
    command: Command = arguments.command
    settings = Settings()
    try:
        settings = settings if command in _WITHOUT_SETTINGS else load(arguments.config)
        status = command(settings, arguments)
        # What was done was done, whether or not anybody reads of it.
        with contextlib.suppress(BrokenPipeError):
            write_answer("")
        return status
    except AgentError as error:
        return _complained(_helped(error, arguments.prog))
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    except OSError as error:
        complain(f"os-update-agent: {error}{_where_it_is_full(error, settings)}\nnext: {AgentError.advice}")
        return AgentError.exit_status
    except Exception as error:
        # A traceback could show an input, and inputs hold secrets.
        complain(f"os-update-agent: {bug(error)}\nnext: {Bug.advice}")
        return BUG_STATUS


def _make_writable() -> None:
    """A value of any script can be told in any locale: what that has no letter for is written as its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _where_it_is_full(error: OSError, settings: Settings) -> str:
    """The error of a write names no file."""
    if error.errno != errno.ENOSPC or error.filename is not None:
        return ""
    full = []
    for path in (settings.run, settings.state, settings.log):
        with contextlib.suppress(OSError):
            full += [str(path)] if free_bytes(path) < _FULL else []
    return f": {', '.join(full)}" if full else ""


def _complained(error: AgentError) -> int:
    complain(f"os-update-agent: {error}\nnext: {error.advice}")
    return error.exit_status


def _interrupted() -> int:
    complain("os-update-agent: interrupted; a run that was begun goes on: 'os-update-agent status' says what is open")
    return NoLongerWatched.exit_status


def _give_up_unwritten() -> None:
    """Python tries again, when it ends, to write what could not be written, and complains in its own words and with its
    own status.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it was closed before we came
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
