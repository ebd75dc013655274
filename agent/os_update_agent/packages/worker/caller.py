"""The agent that waits for an answer of a worker. Runs in the worker, Python 3.6."""

import socket

from os_update_agent.packages.worker.replies import Refused


class Caller:
    """The agent at the other end of the socket."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def check(self) -> None:
        """Raise Refused if the agent has ended. To be called just before a transaction, under the package manager's
        lock if possible.

        The agent may have been killed while the worker was resolving. The next agent may have found the lock free then,
        and may be at work already.
        """
        try:
            is_there = bool(self._link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            is_there = True
        except OSError:
            is_there = False
        if not is_there:
            raise Refused("the agent that wanted this transaction is gone")
