"""Where the facts of a worker go, a line each: to the journal, where systemd reads its standard error, and dated to the
workers' log.
"""

import logging
import os
import sys
import time
from typing import List

from os_update_agent.text.printable import printable

# How systemd wants to be told how grave a line of a standard error is (sd-daemon(3)).
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class Dated(logging.Formatter):
    """The moment in UTC, as the ledger tells it, the level, and the fact."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class ForTheJournal(logging.Formatter):
    """The fact behind its priority; the journal has its own clock."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return f"<{priority}>{super().format(record)}"


def handlers() -> List[logging.Handler]:
    """Standard output is the log of the workers; standard error is the same file, or something else where systemd is
    asked for that.
    """
    to_log, to_error = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    to_log.setFormatter(Dated())
    if _is_one_file(1, 2):
        return [to_log]
    to_error.setFormatter(ForTheJournal() if _is_the_journal(2) else Dated())
    return [to_log, to_error]


def _is_one_file(first: int, second: int) -> bool:
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        # One of them is closed: what is written there is lost in any case.
        return False


def _is_the_journal(descriptor: int) -> bool:
    """systemd tells it by device and inode: who has inherited the variable may write elsewhere (systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
