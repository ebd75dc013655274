"""Starting and asking a worker: a process of a Python that has a package manager's bindings, which answers requests one
by one over a socket.

One worker serves several requests: opening a package manager's index costs more than most requests. The worker may
outlive the agent: nothing that it prints goes through the socket, and it ends by itself when the other end is closed.
"""

import os
import socket
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Mapping, Optional, Sequence

from os_update_agent.node.process import start, tail_of

if TYPE_CHECKING:
    from os_update_agent.packages.worker.replies import Reply

_TAIL_BYTES = 16 * 1024


class WorkerProcess:
    """A worker. It is started at once and imports its bindings while the agent prepares its first request."""

    def __init__(
        self,
        manager: str,
        python: str,
        program: Path,
        arguments: Sequence[str],
        *,
        work: Path,
        env: Mapping[str, str],
    ) -> None:
        """``manager`` is the word for error messages. The program gets ``arguments`` and its socket's descriptor."""
        self._manager = manager
        # The output of the worker outside of a run. Its end goes into an error message.
        self._said = tempfile.TemporaryFile(dir=work)  # noqa: SIM115
        self._is_left = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            argv = [python, "-I", "-B", str(program), *arguments, str(theirs.fileno())]
            self._process = start(argv, self._said, env=env, pass_fds=[theirs.fileno()])
        self.close = weakref.finalize(self, _end, self._socket, self._process, self._said)

    def ask(self, request: Any, output: Optional[IO[bytes]] = None) -> "Reply":
        """Return the worker's answer. What it prints meanwhile goes to ``output``, and without one is kept for an
        error.

        A worker that has ended is an error as well. Then is_alive is False and another one has to be made.
        """
        from os_update_agent.packages.worker import wire  # late: the child imports its bindings meanwhile
        from os_update_agent.packages.worker.replies import Reply

        # The place to write at is shared with the worker.
        self._said.seek(0)
        self._said.truncate()
        try:
            # The file itself goes along with the request: the log of the transaction is complete even if the agent is
            # killed.
            wire.send_request(self._socket, request, (output or self._said).fileno())
            reply = wire.receive_reply(self._socket)
        except (OSError, ValueError):
            reply = None
            # A worker that is still at the other end would wait for the next request.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        except BaseException:
            # Interrupted: the worker completes what it has begun, and nobody waits for it.
            self.close.detach()
            self._socket.close()
            raise
        if reply is None:
            status = self._process.wait()
            said = self._last_words()
            reply = Reply(error=f"{self._manager} ended with exit status {status} and without an answer: {said}")
        return reply

    def leave(self) -> None:
        """Let the worker end when it has cleaned up, which close() waits for. It must not be asked again."""
        self._is_left = True
        # It may have ended, or the agent was interrupted while it was at work.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def is_alive(self) -> bool:
        return self.close.alive and not self._is_left and self._process.poll() is None

    def _last_words(self) -> str:
        self._said.seek(max(0, os.fstat(self._said.fileno()).st_size - _TAIL_BYTES))
        said = tail_of(self._said.read(_TAIL_BYTES).decode("utf-8", "replace")) or "no output"
        return "; ".join(said.splitlines())


def _end(connection: socket.socket, process: Any, said: IO[bytes]) -> None:
    connection.close()
    process.wait()
    said.close()
