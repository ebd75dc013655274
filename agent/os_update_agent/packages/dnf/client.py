"""Starting and asking dnf's worker: a process of the Python that has dnf's bindings, which answers requests one by one
over a socket.

One worker serves all requests of a run: starting dnf costs as much as half a transaction, and the repositories that it
has read serve several requests. The worker outlives the agent in a transaction: nothing that it prints goes through the
socket, and it ends by itself when the other end is closed.
"""

import os
import shutil
import socket
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Mapping, Optional

from os_update_agent.model.errors import PackageError
from os_update_agent.model.options import BackendName
from os_update_agent.node.permissions import make_private
from os_update_agent.node.process import start, tail_of
from os_update_agent.packages.detect import APT, Manager, manager_of
from os_update_agent.packages.rpm.place import database_below

if TYPE_CHECKING:
    from os_update_agent.packages.dnf.protocol import Reply, Request

# Below this module.
_PROGRAM = "worker/main.py"
_TAIL_BYTES = 16 * 1024
_COMMANDS = ("/usr/bin/dnf-3", "/usr/bin/dnf")
_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")


class Child:
    """The worker for one root. It is started at once and imports dnf while the agent prepares its first request."""

    def __init__(self, manager: Manager, root: Path, work: Path) -> None:
        """Raises PackageError."""
        self.serves = (manager, root, work)
        # What is printed outside of a run: the end of it goes into an error message.
        self._said = tempfile.TemporaryFile(dir=work)  # noqa: SIM115
        self._is_left = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            argv = [
                system_python(),
                "-I",
                "-B",
                str(Path(__file__).parent / _PROGRAM),
                manager,
                str(root),
                str(theirs.fileno()),
            ]
            self._process = start(argv, self._said, env=_environment(work, root), pass_fds=[theirs.fileno()])
        self.close = weakref.finalize(self, _end, self._socket, self._process, self._said)

    def ask(self, request: "Request", output: Optional[IO[bytes]]) -> "Reply":
        """Return the worker's answer. What it prints meanwhile goes to ``output``, and without one is kept for an
        error.

        A worker that has ended is an error as well. Then is_alive is False and another one has to be made.
        """
        from os_update_agent.packages.dnf import wire  # late: the child imports dnf meanwhile
        from os_update_agent.packages.dnf.protocol import Reply

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
        except BaseException:
            # Interrupted: the worker completes what it has begun, and nobody waits for it.
            self.close.detach()
            self._socket.close()
            raise
        if reply is None:
            status = self._process.wait()
            reply = Reply(error=f"dnf ended with exit status {status} and without an answer: {self._last_words()}")
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


# The worker that start_early() has started, until child_for() takes it over.
_early: Optional[Child] = None


def start_early(name: BackendName, root: Path, work: Path) -> None:
    """Start the worker of dnf before anything is asked for; child_for() takes it over. Nothing is started for apt.

    To import dnf 4 takes 120 ms of processor time. The agent needs 65 ms from here to where a run would start the
    worker, because it imports the rest of itself and opens the ledger. With a second core idle, that is what an update
    of one package gains, which takes 0.75 s.

    ``name`` is the package manager in agent.conf. No error is raised: the first request that needs a worker reports it.
    """
    global _early
    with suppress(Exception):
        manager = manager_of(name)
        if manager != APT:
            for directory in (work.parent, work):
                make_private(directory)
            _early = Child(manager, root, work)


def end_early() -> None:
    """Let the worker that was started early end, if no request has needed it. The end of this process waits for it."""
    if _early is not None:
        _early.leave()


def child_for(manager: Manager, root: Path, work: Path) -> Child:
    """Return the worker that was started early, or a new one. Raises PackageError."""
    global _early
    if _early is not None and _early.is_alive and _early.serves == (manager, root, work):
        early, _early = _early, None
        return early
    return Child(manager, root, work)


def _end(connection: socket.socket, process: Any, said: IO[bytes]) -> None:
    connection.close()
    process.wait()
    said.close()


def _environment(work: Path, root: Path) -> Mapping[str, str]:
    """Return what leads dnf to the database of a private root. dnf reads rpm's configuration more than once and starts
    rpmkeys as well: only a file of macros reaches all of them.
    """
    if root == Path("/"):
        return {}
    home = work / "rpm"
    home.mkdir(mode=0o700, exist_ok=True)
    macros, text = home / ".rpmmacros", f"%_dbpath /{database_below(root)}\n"
    with tempfile.NamedTemporaryFile("w", dir=home, encoding="utf-8", delete=False) as staging:
        staging.write(text)
    os.replace(staging.name, macros)
    return {"HOME": str(home)}


def system_python() -> str:
    """Return the Python that has dnf's bindings: the one that runs dnf itself. Raises PackageError."""
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
