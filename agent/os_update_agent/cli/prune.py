"""os-update-agent prune: delete package files that no kept state needs."""

import argparse

from os_update_agent.cli.keys import HAND_KEY
from os_update_agent.cli.output import write_line
from os_update_agent.cli.progress import Doing
from os_update_agent.config.policy import by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.node.locks import node_lock
from os_update_agent.runs.retention import idle_limit, prune
from os_update_agent.runtime.context import open_site
from os_update_agent.text.phrases import amount


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Delete the files, under the lock of the node. Returns the exit status; raises Busy."""
    site = open_site(settings)
    policy = by_hand("", HAND_KEY, settings.defaults, keep=arguments.keep)
    doing = Doing(site, "waiting")
    doing.start()
    try:
        with node_lock(settings.lock, doing="prune by hand", timeout=policy.lock_timeout):
            doing.end()
            archive = site.archive(site.backend(policy))
            files, size = prune(site.ledger, archive, policy, keep=arguments.keep, idle=idle_limit(site))
    finally:
        doing.end()
    write_line(f"{files} files, {amount(size)} dropped")
    return 0
