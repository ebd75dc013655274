"""Asking dnf's worker: the Python that has dnf's bindings, which answers one request after the other over a socket of
its own.

One child for all that a run asks for: to start dnf costs as much as half a transaction, and what it has read of the
repositories serves several requests. It outlives us in a transaction: nothing that it prints goes through the socket,
and it ends by itself when nobody is at the other end any more.
"""

import os
import shutil
import socket
import tempfile
import weakref
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Mapping, Optional

from os_update_agent.model.errors import PackageError
from os_update_agent.node.permissions import make_private
from os_update_agent.node.process import TAIL_LINES, start
from os_update_agent.packages.detect import DNF4, DNF5, manager_of

if TYPE_CHECKING:
    from os_update_agent.packages.dnf.protocol import Reply, Request

# Below this module.
_PROGRAMS = {DNF4: "worker/dnf4/main.py", DNF5: "worker/dnf5/main.py"}
_COMMANDS = ("/usr/bin/dnf-3", "/usr/bin/dnf")
_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")


class Child:
    """The worker for one root. It is started at once and imports dnf while its first request is thought of."""

    def __init__(self, manager: str, root: Path, work: Path) -> None:
        """Raises PackageError."""
        # What is printed for nobody: the end of it goes into an error message.
        self._said = tempfile.TemporaryFile(dir=work)  # noqa: SIM115
        self._is_left = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            argv = [
                system_python(),
                "-I",
                "-B",
                str(Path(__file__).parent / _PROGRAMS[manager]),
                str(root),
                str(theirs.fileno()),
            ]
            self._process = start(argv, self._said, env=_environment(work, root), pass_fds=[theirs.fileno()])
        self.close = weakref.finalize(self, _end, self._socket, self._process, self._said)

    def ask(self, request: "Request", output: Optional[IO[bytes]]) -> "Reply":
        """Return the worker's answer. What it prints meanwhile goes to ``output``, and without one is kept for an
        error.

        A worker that has ended is an error as well. Another one has to be made then (``is_alive``).
        """
        from os_update_agent.packages.dnf import wire  # late: the child imports dnf meanwhile
        from os_update_agent.packages.dnf.protocol import Reply

        # The place to write at is shared with the worker.
        self._said.seek(0)
        self._said.truncate()
        try:
            # The file itself goes along with the request: whatever becomes of us, the log of the transaction is
            # complete.
            wire.send_request(self._socket, request, (output or self._said).fileno())
            reply = wire.receive_reply(self._socket)
        except (OSError, ValueError):
            reply = None
        except BaseException:
            # Interrupted: the worker goes on with what it has begun, and nobody waits for it.
            self.close.detach()
            self._socket.close()
            raise
        if reply is None:
            status = self._process.wait()
            reply = Reply(error=f"dnf ended with exit status {status} and without an answer: {self._last_words()}")
        return reply

    def leave(self) -> None:
        """Ask it nothing more. It ends when it has tidied up, which close() waits for."""
        self._is_left = True
        # It may have ended, or we were interrupted while it was at work.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def is_alive(self) -> bool:
        return self.close.alive and not self._is_left and self._process.poll() is None

    def _last_words(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip() or "no output"
        return "; ".join(said.splitlines()[-TAIL_LINES:])


class Spare:
    """A worker that is started before anybody knew what for, because it takes long to get ready; whoever needs one
    first has it.
    """

    def __init__(self, name: Optional[str], root: Path, work: Path) -> None:
        """``name`` is the package manager that agent.conf names, None for no child at all. Whatever stands in the way
        is told by who needs one: nothing is said.
        """
        self._child: Optional[Child] = None
        if name is None:
            return
        with suppress(Exception):
            manager = manager_of(name)
            if manager in _PROGRAMS:
                for directory in (work.parent, work):
                    make_private(directory)
                self._child = Child(manager, root, work)

    def take(self) -> Optional[Child]:
        """The worker; None where there is none any more."""
        child, self._child = self._child, None
        return child

    def leave(self) -> None:
        """Nobody will need one. It ends by itself, which close() waits for."""
        if self._child is not None:
            self._child.leave()

    def close(self) -> None:
        child = self.take()
        if child is not None:
            child.close()


def _end(connection: socket.socket, process: Any, said: IO[bytes]) -> None:
    connection.close()
    process.wait()
    said.close()


def _environment(work: Path, root: Path) -> Mapping[str, str]:
    """dnf reads rpm's configuration more than once and asks rpmkeys besides: only a file of macros reaches them all."""
    if root == Path("/"):
        return {}
    from os_update_agent.packages.rpm.database import database_below  # late: only a private root needs it

    home = work / "rpm"
    home.mkdir(mode=0o700, exist_ok=True)
    macros, text = home / ".rpmmacros", f"%_dbpath /{database_below(root)}\n"
    with tempfile.NamedTemporaryFile("w", dir=home, encoding="utf-8", delete=False) as staging:
        staging.write(text)
    os.replace(staging.name, macros)
    return {"HOME": str(home)}


@lru_cache(maxsize=1)
def system_python() -> str:
    """The Python that has dnf's bindings: the one that dnf itself is run by. Raises PackageError."""
    for program in _COMMANDS:
        try:
            with open(program, "rb") as file:
                first = file.readline(200).decode("ascii", "replace").split()
        except OSError:
            continue
        # #!/usr/libexec/platform-python   #!/usr/bin/python3 -s
        if first and first[0].startswith("#!/") and os.access(first[0][2:], os.X_OK):
            return first[0][2:]
    found = next((python for python in _PYTHONS if shutil.which(python)), None)
    if found is None:
        raise PackageError("there is no Python that dnf runs under")
    return found
