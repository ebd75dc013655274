"""os-update-agent demo: a self-contained demonstration in a temporary directory."""

import argparse
from pathlib import Path

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import UsageError


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run the demonstration. Returns the exit status."""
    from os_update_agent.testing.demo import tell  # late: no other verb needs the repositories and scenes

    if arguments.directory is not None and not arguments.directory.strip():
        raise UsageError(
            f"--directory is {arguments.directory!r}; it must be a new directory, and without it there is a"
            " temporary one"
        )
    return tell(Path(arguments.directory) if arguments.directory is not None else None, backend=arguments.backend)
