"""os-update-agent completion: print the completion script for bash, or the recorded words that it asks for."""

import argparse
import contextlib
from typing import Iterable, List

from os_update_agent.cli.output import write_answer
from os_update_agent.config.settings import Settings, load
from os_update_agent.install.target import COMPLETION
from os_update_agent.ledger import peek
from os_update_agent.model.errors import AgentError
from os_update_agent.node.trusted_paths import check_paths

_COLUMNS = {"values": ("value", "before"), "keys": ("key",), "runs": ("run",)}


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the script, or one recorded word per line. Returns the exit status."""
    if arguments.what == "bash":
        write_answer(COMPLETION.read_text(encoding="utf-8", errors="replace"))
        return 0
    # Nobody expects an error message while typing: what cannot be read is left out.
    with contextlib.suppress(AgentError):
        settings = load(arguments.config)
        check_paths(settings)
        for text in printable(peek(settings.ledger, *_COLUMNS[arguments.what])):
            write_answer(f"{text}\n")
    return 0


def printable(texts: Iterable[str]) -> List[str]:
    """Return the texts that fit on a line of their own and can be typed."""
    return [text for text in texts if text.isprintable() and text.strip() == text and text]
