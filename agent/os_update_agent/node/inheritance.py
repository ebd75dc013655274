"""What a program of the agent inherits from its caller, and must not rely on: descriptors, signals, umask, and PATH.

Everything that the agent starts inherits it again. dpkg cannot wait for its scripts while SIGCHLD is ignored, and an
ended child then looks like a success (Python reports exit status 0 for it).
"""

import os
import signal
import sys
from contextlib import suppress

from os_update_agent.node.child_environment import trusted_path

# Only the owner may read or write the agent's files. The children get a umask of their own.
PRIVATE = 0o077
# For a command that also writes files for everybody: nobody else may write to them, and their owner can use them.
_NOBODY_ELSE_WRITES = 0o022
_OWNER = 0o700


def correct_inheritance(umask: int = -1) -> None:
    """Undo what would make this process and its children fail: call it before a file is opened.

    SIGINT, SIGHUP and SIGTERM stay ignored if they are: nohup(1) and a shell's background jobs ask for that.

    Args:
        umask: The umask to set; without it the inherited one, under which others get no right to write.
    """
    _open_standard_descriptors()
    if "PATH" in os.environ:
        os.environ["PATH"] = trusted_path(os.environ["PATH"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    inherited = os.umask(PRIVATE)
    os.umask(umask if umask >= 0 else (inherited | _NOBODY_ELSE_WRITES) & ~_OWNER)


def give_up_unwritten() -> bool:
    """Drop output that cannot be written, and return whether there was none: at its end Python would try again, print
    its own message and change the exit status.
    """
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may have been closed before the program started
            try:
                stream.flush()
            except (OSError, ValueError):
                is_written = False
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return is_written


def _open_standard_descriptors() -> None:
    """Open /dev/null where standard input, output, or error is closed.

    Otherwise the next file, such as the ledger, gets that number, and a child writes its messages into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                _open_null(descriptor)


def _open_null(wanted: int) -> None:
    """Open /dev/null, or a file in memory on a node without it, under the descriptor."""
    try:
        found = os.open(os.devnull, os.O_RDWR)
    except OSError:
        found = os.memfd_create("no-dev-null")
    if found != wanted:
        os.dup2(found, wanted)
        os.close(found)
    os.set_inheritable(wanted, True)
