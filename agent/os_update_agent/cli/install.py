"""The verb that gives the agent its places on a node."""

import argparse
from pathlib import Path

from os_update_agent.cli import completion, manpage
from os_update_agent.config.options import WORDS
from os_update_agent.config.policy import names_by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.install import target as node


def install_hook(settings: Settings, arguments: argparse.Namespace) -> int:
    """make this node one that heat-config can update: the hook, its directories, the services at boot; can be run again
    at any time
    """
    made = {
        "os-update-agent.8": manpage.page(arguments.parser, node.SAMPLE.read_text(encoding="utf-8")),
        "completion.bash": completion.script(arguments.parser, names_by_hand(), WORDS),
    }
    target = node.target(
        Path(arguments.root),
        made,
        hooks=arguments.hooks_dir,
        refresh=arguments.refresh_dir,
        templates=arguments.templates_dir,
    )
    act = node.remove if arguments.remove else node.install
    act(target, print, dry_run=arguments.dry_run)
    return 0
