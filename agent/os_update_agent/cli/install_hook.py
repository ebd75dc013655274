"""os-update-agent install-hook: give the agent its places on a node."""

import argparse
from pathlib import Path

from os_update_agent.cli import completion_script, manpage
from os_update_agent.cli.parser import build_parser
from os_update_agent.config.options import WORDS
from os_update_agent.config.policy import names_by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.install import target as node


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Install or remove what heat-config needs to update this node. Returns the exit status."""
    made = {
        "os-update-agent.8": manpage.page(build_parser(), node.SAMPLE.read_text(encoding="utf-8")),
        "completion.bash": completion_script.script(build_parser(), names_by_hand(), WORDS),
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
