"""The command: its streams, its errors and its exit status. The verbs do the work."""

import argparse
import contextlib
import errno
import io
import logging
import sys
from typing import Callable, Mapping, Optional, Sequence

from os_update_agent.cli import (
    completion,
    demo,
    diff,
    forget,
    history,
    install_hook,
    man,
    notify,
    plan,
    prune,
    replay,
    resume,
    rollback,
    selftest,
    show,
    status,
    update,
)
from os_update_agent.cli.output import complain, write_answer
from os_update_agent.cli.parser import build_parser, helped
from os_update_agent.config.settings import Settings, load
from os_update_agent.delivery import supervise
from os_update_agent.model.errors import AgentError, NoLongerWatched, UsageError, known
from os_update_agent.node.inheritance import give_up_unwritten
from os_update_agent.node.journal import Dated
from os_update_agent.packages.disk_space import free_bytes
from os_update_agent.text.printable import indented

# Less than the smallest file takes.
_FULL = 64 * 1024

Command = Callable[[Settings, argparse.Namespace], int]
COMMANDS: Mapping[str, Command] = {
    "status": status.command,
    "plan": plan.command,
    "history": history.command,
    "show": show.command,
    "diff": diff.command,
    "update": update.command,
    "rollback": rollback.command,
    "prune": prune.command,
    "forget": forget.command,
    "resume": resume.command,
    "replay": replay.command,
    "notify": notify.command,
    "demo": demo.command,
    "selftest": selftest.command,
    "install-hook": install_hook.command,
    "man": man.command,
    "completion": completion.command,
}
# These work with a broken agent.conf: it must not prevent anybody from reading the manual or installing, nor keep the
# result of another hook from Heat.
_WITHOUT_SETTINGS = ("demo", "man", "completion", "install-hook", "notify")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command. Returns its exit status; --help and --version raise SystemExit."""
    _make_writable()
    try:
        arguments = build_parser().parse_args(argv)
        return _run(arguments)
    except SystemExit as end:
        # argparse ends with 0 after --help and --version, also if their text could not be written.
        if not give_up_unwritten() and not end.code:
            raise SystemExit(1) from None
        raise
    except UsageError as error:
        return _complained(error)
    except KeyboardInterrupt:
        return _interrupted()
    finally:
        give_up_unwritten()


def _run(arguments: argparse.Namespace) -> int:
    level = logging.INFO if arguments.verbose else logging.ERROR
    to_error = logging.StreamHandler(sys.stderr)
    to_error.setFormatter(Dated())
    if not arguments.verbose:
        # Drop these records: the command prints the same error itself.
        to_error.addFilter(lambda record: record.name != supervise.__name__)
    logging.basicConfig(level=level, handlers=[to_error])
    settings = Settings()
    try:
        settings = settings if arguments.verb in _WITHOUT_SETTINGS else load(arguments.config)
        exit_status = COMMANDS[arguments.verb](settings, arguments)
        # A reader that is gone does not change what was done.
        with contextlib.suppress(BrokenPipeError):
            write_answer("")
        return exit_status
    except AgentError as error:
        return _complained(helped(error, arguments.prog))
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    except OSError as error:
        complain(f"os-update-agent: {error}{_where_it_is_full(error, settings)}\nnext: {AgentError.advice}")
        return AgentError.exit_status
    except Exception as error:
        # A traceback could show an input, and inputs hold secrets.
        return _complained(known(error))


def _make_writable() -> None:
    """Escape letters that the locale lacks, so that any value can be printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _where_it_is_full(error: OSError, settings: Settings) -> str:
    """Return which of the agent's disks are full: the error of a write names no file."""
    if error.errno != errno.ENOSPC or error.filename is not None:
        return ""
    full = []
    for path in (settings.run, settings.state, settings.log):
        with contextlib.suppress(OSError):
            full += [str(path)] if free_bytes(path) < _FULL else []
    return f": {', '.join(full)}" if full else ""


def _complained(error: AgentError) -> int:
    complain(f"os-update-agent: {indented(str(error))}\nnext: {error.advice}")
    return error.exit_status


def _interrupted() -> int:
    complain("os-update-agent: interrupted; a run that was begun goes on: 'os-update-agent status' says what is open")
    return NoLongerWatched.exit_status


if __name__ == "__main__":
    sys.exit(main())
