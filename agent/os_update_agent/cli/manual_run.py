"""A run that a person starts and watches: an update or a rollback."""

import argparse
from typing import Optional

from os_update_agent.cli.output import print_result
from os_update_agent.cli.progress import Watcher
from os_update_agent.config.policy import Policy
from os_update_agent.delivery.manual import deliver_by_hand
from os_update_agent.runtime.context import Site


def watched_run(site: Site, arguments: argparse.Namespace, policy: Policy, state: Optional[int] = None) -> int:
    """Start a run, show its progress, print its result. ``state`` is the state to restore. Returns the exit status."""
    watcher = None if arguments.quiet else Watcher(site)
    try:
        outcome = deliver_by_hand(site, policy, state=state, watch=watcher)
    finally:
        if watcher is not None:
            watcher.close()
    return print_result(arguments, outcome)
