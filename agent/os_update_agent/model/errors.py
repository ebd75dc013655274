"""The errors an operator may read; each class owns the exit status of the command line (sysexits where one fits)."""

import errno
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from os_update_agent.model.deliveries import Deployment


# A disk that is full, over its quota, or mounted read-only.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# A limit of this process, or the machine, is reached: memory, descriptors, processes, the length of a file.
_SCARCE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOBUFS, errno.EFBIG, errno.EIO)
# How the loader of libraries and the start of a thread word it; these errors have no number.
_SCARCE_WORDS = (
    *("Too many open files", "Cannot allocate memory", "failed to map segment", "can't start new thread"),
    *("cannot allocate memory in static TLS block", "Resource temporarily unavailable"),
)
# EX_SOFTWARE: a bug of ours.
BUG_STATUS = 70


class AgentError(Exception):
    """Something went wrong that the operator can understand: the text is one sentence that names what and where."""

    exit_status = 1
    # What to do next, for somebody at a terminal.
    advice = "'os-update-agent status' says how the node stands"


class UsageError(AgentError):
    """The command was called in a way that makes no sense here."""

    # Who knows which command it was names its help.
    advice = "'os-update-agent --help' says what can be given; nothing was done"

    exit_status = 2


class Unrecorded(UsageError):
    """The command was given a key or a value that nothing is recorded under, or none where there are several."""

    advice = "'os-update-agent history' tells what is recorded; nothing was done"


class BadDeployment(AgentError):
    """What came from Heat cannot be used: the text names the field, the value and what would be right.

    ``deployment`` is what could be understood of the delivery (id, outputs, signal target), so that the failure can
    still be signalled; None when not even the signal target is known.
    """

    exit_status = 2
    advice = "correct the template or its parameters: the next update of the stack delivers it again"

    def __init__(self, message: str, *, deployment: Optional["Deployment"] = None) -> None:
        super().__init__(message)
        self.deployment = deployment


class RivalDeployment(BadDeployment):
    """Another deployment with the same key selects other packages. The options of this one do not count for the key."""


class Overtaken(AgentError):
    """A deployment outside of a stack was not run, because a newer one of its name has come. Heat waits for both."""

    advice = "if it is still wanted, create it again when the newer one is complete"


class BadOption(BadDeployment):
    """An option, from a file, a template or an input, is unknown or has a value that it cannot have."""

    advice = "correct it; 'os-update-agent man' and agent.conf.sample list the options and their values"


class CommandFailed(AgentError):
    """A program ended with an exit status that its caller did not expect, or could not be started."""


class PackageError(AgentError):
    """The package manager, the package database or a repository reports a problem."""

    advice = "fix the problem named above, then run 'os-update-agent plan' to check"


class NotRestorable(PackageError):
    """A state cannot be reached again: the text names the packages whose files are nowhere to be had."""


class UnsuitableNode(PackageError):
    """The packages of this node are not changed by a package manager on it: the text says what changes them."""

    advice = (
        "use the way named above; if it is wrong about this node, set 'kind = package-based' in [node] of agent.conf"
    )


class PendingBoot(PackageError):
    """The next boot applies package changes of another program."""

    advice = "drop what is pending, or boot the machine, then deliver a value again; with reboot: never the update runs"


class LedgerError(AgentError):
    """The ledger cannot be read or written."""

    advice = "look at the file and at the space on its disk; no package is touched while it cannot be used"


class Damaged(LedgerError):
    """One record of the ledger cannot be read; every other record can.

    Attributes:
        record: The record in words, "run 12".
        row: The number of the record's row in its table; 0 where a record is not known by a number.
    """

    advice = "the rest of the ledger is in use; 'os-update-agent status' lists every damaged record"

    def __init__(self, message: str, *, record: str = "", row: int = 0) -> None:
        super().__init__(message)
        self.record = record
        self.row = row


class NewerDocument(LedgerError):
    """A newer agent has written a document that this agent does not read."""

    advice = "install the newer os-update-agent again; no package is touched before"


class Busy(AgentError):
    """Somebody else holds a lock; trying later helps (EX_TEMPFAIL)."""

    advice = "try again later: 'os-update-agent status' says who is at work"

    exit_status = 75


class NoLongerWatched(AgentError):
    """Somebody has pressed Ctrl-C: the command ends, and what it has begun goes on (128 + SIGINT)."""

    advice = "'os-update-agent history' names the log"

    exit_status = 130


class Bug(AgentError):
    """An exception that nobody has expected."""

    exit_status = BUG_STATUS
    advice = "report it with the log of the run; 'os-update-agent status' says how the node stands"


def bug(error: BaseException) -> str:
    """An unexpected exception as a sentence: its class and place only, because its message may hold an input, and
    inputs hold secrets.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"
    return f"bug in os-update-agent: {type(error).__name__} at {place}"


def known(error: Exception) -> AgentError:
    """Return the error itself if an operator may read it, an AgentError that names what is scarce if that is why, else
    a Bug that names its class and place.
    """
    if isinstance(error, AgentError):
        return error
    if isinstance(error, OSError) and error.errno in _DISK:
        return AgentError(f"{error.filename or 'a file'} cannot be written: {error.strerror}")
    why = _scarce(error)
    if why:
        return AgentError(f"a limit of this process, or the machine, is too small: {why}")
    if isinstance(error, OSError) and error.filename:
        # Such as PermissionError: something on the node is not as the agent needs it.
        return AgentError(f"{error.filename!r} cannot be used: {error.strerror}")
    return Bug(bug(error))


def _scarce(error: Exception) -> str:
    """Return what was scarce, "" for an error that has another reason."""
    if isinstance(error, MemoryError):
        return "there is no more memory"
    if isinstance(error, OSError) and error.errno in _SCARCE:
        return str(error.strerror)
    if isinstance(error, (ImportError, RuntimeError)):
        return next((words for words in _SCARCE_WORDS if words in str(error)), "")
    return ""
