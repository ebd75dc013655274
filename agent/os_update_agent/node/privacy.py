"""The agent's own files are for its owner only: looked at, and mended, whenever the agent starts."""

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Iterable

from os_update_agent.wording import logged

log = logging.getLogger(__name__)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def close_files(files: Iterable[Path]) -> None:
    """Take group and others every right on files that are ours by their names; what is not there is passed over."""
    for path in files:
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            # Never through a link, and never what belongs to another user.
            if stat.S_ISREG(found.st_mode) and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
                log.warning(logged(path=path, mode=f"{stat.S_IMODE(found.st_mode):04o}", closed="yes", why="it was open to others"))
                os.chmod(path, stat.S_IMODE(found.st_mode) & ~_OTHERS, follow_symlinks=True)


def close_directory(directory: Path, *, is_ours: bool) -> None:
    """The same for a directory; one that may be somebody else's is only named, for to close /run would break the node."""
    with contextlib.suppress(OSError):
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or not found.st_mode & _OTHERS:
            return
        if is_ours and found.st_uid == os.geteuid():
            log.warning(logged(path=directory, mode=f"{stat.S_IMODE(found.st_mode):04o}", closed="yes", why="it was open to others"))
            os.chmod(directory, 0o700)
        else:
            log.warning(logged(path=directory, closed="no", why="it is open to others", next="give os-update-agent its own, mode 0700"))
