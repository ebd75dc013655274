"""The worker's end of the socket: receives requests, has them answered, and sends the answers. Runs in a worker, Python
3.6.
"""

import abc
import contextlib
import os
import signal
import socket
import sys
from typing import Any, Sequence, Type

from os_update_agent.packages.worker import lines, wire
from os_update_agent.packages.worker.caller import Caller
from os_update_agent.packages.worker.replies import Refused, Reply


class Desk(abc.ABC):
    """The base of a class for each package manager that answers the requests in a worker."""

    # The requests that it knows.
    kinds: Sequence[Type[Any]] = ()

    @abc.abstractmethod
    def load(self) -> Any:
        """Import the bindings. Raises ImportError."""

    @abc.abstractmethod
    def answer(self, request: Any, caller: Caller) -> Reply:
        """Return the answer to a request of the caller."""

    @abc.abstractmethod
    def tidy(self) -> None:
        """Give up what the last answer has needed and no further one does. Called after the answer was sent, so that
        nobody waits for it.
        """

    @abc.abstractmethod
    def clear(self) -> None:
        """Give up everything: there are no more requests."""


def serve(descriptor: int, desk: Desk) -> None:
    """Answer one request after the other, until the other end of the socket is closed."""
    # Scriptlets must not inherit it: one that leaves a process behind would keep it open.
    os.set_inheritable(descriptor, False)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # rpm would finish its transaction and die, and dnf would be left without its record. No SIG_IGN: scriptlets
        # would inherit it.
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(Exception):
        # Import the bindings while the agent prepares its first request, which reports an error again.
        desk.load()
    try:
        while _answer_next(link, desk):
            pass
    except OSError:
        # The other end was closed.
        return
    finally:
        desk.clear()


def _answer_next(link: socket.socket, desk: Desk) -> bool:
    """Answer the next request, with its file as standard output and error. Returns False if there is none."""
    line, descriptors = wire.receive_request(link)
    for descriptor in descriptors:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    if not line:
        return False
    try:
        reply = desk.answer(lines.parse_request(line, desk.kinds), Caller(link))
    except Refused as error:
        reply = Reply(error=text_of(error))
    sys.stdout.flush()
    wire.send_reply(link, reply)
    try:
        desk.tidy()
    except Exception:
        # The answer has been sent. The next request opens what it needs anew.
        sys.__excepthook__(*sys.exc_info())
    return True


def text_of(error: Exception) -> str:
    """Return what an exception says, or its name if it says nothing."""
    return str(error).strip() or type(error).__name__
