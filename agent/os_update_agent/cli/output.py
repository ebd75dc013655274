"""How a verb prints its answer and its complaints, and what exit status follows from a result."""

import argparse
import contextlib
import sys
from typing import Any, Mapping, Sequence

from os_update_agent.cli.views.base import Document, as_json
from os_update_agent.heat.outcome import complaint
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.errors import AgentError
from os_update_agent.text.printable import printable, printable_lines


def answer(arguments: argparse.Namespace, document: Document, text: str) -> int:
    """Print the document with --json, else the text. Returns the exit status 0."""
    write_answer(f"{_json(document) if arguments.json else printable_lines(text)}\n")
    return 0


def _json(document: Mapping[str, Any]) -> str:
    """Return the JSON; escape non-ASCII letters if standard output's encoding lacks them."""
    return as_json(document, only_ascii=not str(getattr(sys.stdout, "encoding", "utf-8")).lower().startswith("utf"))


def write_line(line: str) -> None:
    """Write one line of text for a person; raises as write_answer() does."""
    write_answer(f"{printable(line)}\n")


def write_answer(text: str) -> None:
    """Write to standard output and flush it, so that a failed write is known before Python ends.

    Raises AgentError if the write fails; BrokenPipeError if the reader is gone.
    """
    try:
        if sys.stdout is not None:  # it may have been closed before the command started
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        unwritten = AgentError(
            f"the answer cannot be written to standard output ({error.strerror}); what was done stands"
        )
        unwritten.advice = "'os-update-agent history' and 'status' show what was done"
        raise unwritten from error


def complain(text: str) -> None:
    """Write to standard error. If that is closed or full, the exit status has to be enough."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(printable_lines(text), file=sys.stderr, flush=True)


def print_result(arguments: argparse.Namespace, outcome: Outcome) -> int:
    """Print an outcome without the end of the log, which is only named. Returns the exit status: 0, 1 or "busy"."""
    if getattr(arguments, "json", False):
        document = {
            "status_code": outcome.status_code,
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            **outcome.outputs,
        }
        text, failure = f"{_json(document)}\n", ""
    else:
        text, failure = printable_lines(outcome.stdout), complaint(outcome.stderr)
    if failure:
        complain(failure)
    # A reader that is gone does not change what was done.
    with contextlib.suppress(BrokenPipeError):
        write_answer(text)
    known: Sequence[int] = (0, 75)
    return outcome.status_code if outcome.status_code in known else AgentError.exit_status
