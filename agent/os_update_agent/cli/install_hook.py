"""os-update-agent install-hook: give the agent its places on a node."""

import argparse
from pathlib import Path

from os_update_agent.config.settings import Settings
from os_update_agent.install import target as node


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Install or remove what heat-config needs to update this node. Returns the exit status."""
    target = node.target(
        Path(arguments.root),
        hooks=arguments.hooks_dir,
        refresh=arguments.refresh_dir,
        templates=arguments.templates_dir,
    )
    act = node.remove if arguments.remove else node.install
    act(target, print, dry_run=arguments.dry_run)
    return 0
