"""The verbs around the command itself: see it at work, read about it, have the shell complete it."""

import argparse
import contextlib
from pathlib import Path

from os_update_agent.cli import completion, manpage
from os_update_agent.cli.asked import write_answer
from os_update_agent.config.options import WORDS
from os_update_agent.config.policy import names_by_hand
from os_update_agent.config.settings import Settings, load
from os_update_agent.install.target import SAMPLE
from os_update_agent.ledger import peek
from os_update_agent.model.errors import AgentError, UsageError


def demo(settings: Settings, arguments: argparse.Namespace) -> int:
    """see the whole line at work in a private root: nothing outside a temporary directory is touched"""
    from os_update_agent.testing.demo import tell

    if arguments.directory is not None and not arguments.directory.strip():
        raise UsageError(
            f"--directory is {arguments.directory!r}; it must be a new directory, and without it there is a"
            " temporary one"
        )
    return tell(Path(arguments.directory) if arguments.directory is not None else None, backend=arguments.backend)


def man(settings: Settings, arguments: argparse.Namespace) -> int:
    """print the manual page, for "man -l -" or /usr/local/share/man/man8/os-update-agent.8"""
    write_answer(manpage.page(arguments.parser, SAMPLE.read_text(encoding="utf-8")))
    return 0


def complete(settings: Settings, arguments: argparse.Namespace) -> int:
    """print the completion script, for /etc/bash_completion.d/os-update-agent, or what it asks for: recorded values,
    keys
    """
    if arguments.what == "bash":
        print(completion.script(arguments.parser, names_by_hand(), WORDS), end="")
        return 0
    # Somebody is typing: what cannot be had is left out without a word.
    with contextlib.suppress(AgentError):
        for text in completion.printable(peek(load(arguments.config).ledger, arguments.what.removesuffix("s"))):
            print(text)
    return 0
