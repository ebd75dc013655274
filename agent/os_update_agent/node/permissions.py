"""The agent's own files are for its owner only: looked at, and mended, whenever the agent starts."""

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Iterable

from os_update_agent.model.errors import AgentError
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

OUR_NAME = "os-update-agent"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def close_files(files: Iterable[Path]) -> None:
    """Take group and others every right on files that are ours by their names; what is not there is passed over."""
    for path in files:
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            # Never through a link, and never what belongs to another user.
            if stat.S_ISREG(found.st_mode) and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
                log.warning(
                    logged(
                        path=path, mode=f"{stat.S_IMODE(found.st_mode):04o}", closed="yes", why="it was open to others"
                    )
                )
                os.chmod(path, stat.S_IMODE(found.st_mode) & ~_OTHERS, follow_symlinks=True)


def close_directory(directory: Path, *, is_ours: bool) -> None:
    """The same for a directory; one that may be somebody else's is only named, for to close /run would break the
    node.
    """
    with contextlib.suppress(OSError):
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or not found.st_mode & _OTHERS:
            return
        if is_ours and found.st_uid == os.geteuid():
            log.warning(
                logged(
                    path=directory, mode=f"{stat.S_IMODE(found.st_mode):04o}", closed="yes", why="it was open to others"
                )
            )
            os.chmod(directory, 0o700)
        else:
            log.warning(
                logged(
                    path=directory,
                    closed="no",
                    why="it is open to others",
                    next="give os-update-agent its own, mode 0700",
                )
            )


def make_private(directory: Path) -> None:
    """Make a directory that only its owner sees, or look that it is one. A directory of ours that others can read is
    closed.

    Raises AgentError, also for one that may be somebody else's: to close /run or /var/log would break the node.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                if OUR_NAME not in directory.parts:
                    raise AgentError(
                        f"the directory {directory} is open to others: give os-update-agent one of its own, with mode"
                        " 0700"
                    )
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise AgentError(f"the directory {directory} cannot be made or kept private: {error.strerror}") from error


def worker_unit(name: str) -> str:
    """The unit that a worker runs in where there is systemd."""
    return f"{OUR_NAME}-worker-{name}"
