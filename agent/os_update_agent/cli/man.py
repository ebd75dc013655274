"""os-update-agent man: print the manual page."""

import argparse

from os_update_agent.cli.output import write_answer
from os_update_agent.config.settings import Settings
from os_update_agent.install.target import MANUAL


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the page. Returns the exit status."""
    write_answer(MANUAL.read_text(encoding="utf-8", errors="replace"))
    return 0
