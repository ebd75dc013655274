"""Directories of our own, which only their owner sees, and what is ours by its name."""

import os
from pathlib import Path

from os_update_agent.errors import AgentError

OUR_NAME = "os-update-agent"


def make_private(directory: Path) -> None:
    """Make a directory that only its owner sees, or look that it is one. A directory of ours that others can read is closed.

    Raises AgentError, also for one that may be somebody else's: to close /run or /var/log would break the node.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.stat(directory).st_mode & 0o077:
            if OUR_NAME not in directory.parts:
                raise AgentError(f"the directory {directory} is open to others: give os-update-agent one of its own, with mode 0700")
            directory.chmod(0o700)
    except OSError as error:
        raise AgentError(f"the directory {directory} cannot be made or kept private: {error.strerror}") from error


def worker_unit(name: str) -> str:
    """The unit that a worker runs in where there is systemd."""
    return f"{OUR_NAME}-worker-{name}"
