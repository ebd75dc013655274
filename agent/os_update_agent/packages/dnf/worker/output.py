"""Lines for the log of the run, which is the worker's standard output. Runs in the worker, Python 3.6."""

import contextlib
import os
import sys

from os_update_agent.packages.complaints import as_line


def show(line: str) -> None:
    """Write a line into the log at once."""
    print(line)
    sys.stdout.flush()


def complain(complaint: str) -> None:
    """Write a complaint into the log, and flush it to the disk: the agent may be dead when the transaction ends."""
    show(as_line(complaint))
    with contextlib.suppress(OSError):
        os.fsync(sys.stdout.fileno())
