"""os-update-agent notify: send a hook's result to Heat, in place of heat-config-notify."""

import argparse
import sys

from os_update_agent.config.settings import Settings
from os_update_agent.delivery.notify import notify


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Send the result that comes on standard input. Returns the exit status."""
    return notify(arguments.config, arguments.file, sys.stdin, arguments.patience)
