"""Asking dnf's worker: the Python that has dnf's bindings, which answers one request after the other over a socket of its own.

One child for all that a run asks for: to start dnf costs as much as half a transaction, and what it has read of the repositories
serves several requests. It outlives us in a transaction: nothing that it prints goes through the socket, and it ends by itself when
nobody is at the other end any more.
"""

import json
import os
import shutil
import socket
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Dict, Mapping, Optional

from os_update_agent.errors import PackageError
from os_update_agent.node.run import TAIL_LINES, start

_PROGRAMS = ("/usr/bin/dnf-3", "/usr/bin/dnf")
_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")
_BLOCK = 1 << 16


class Child:
    """The worker for one root. It is started at once and imports dnf while its first request is thought of."""

    def __init__(self, program: str, root: Path, work: Path, dbpath: str) -> None:
        """``program`` lies beside this module. ``dbpath`` is where rpm's database is below a private root, "" on a node of its own,
        where rpm knows. Raises PackageError."""
        # What is printed for nobody: the end of it goes into an error message.
        self._said = tempfile.TemporaryFile(dir=work)  # noqa: SIM115
        self._socket, theirs = socket.socketpair()
        with theirs:
            argv = [system_python(), "-I", "-B", str(Path(__file__).with_name(program)), str(root), str(theirs.fileno())]
            self._process = start(argv, self._said, env=_environment(work, dbpath), pass_fds=[theirs.fileno()])
        self.close = weakref.finalize(self, _end, self._socket, self._process, self._said)

    def ask(self, request: Mapping[str, Any], output: Optional[IO[bytes]]) -> Dict[str, Any]:
        """What the worker answers: {"answer": ...}, {"busy": why} or {"error": why}. What it prints meanwhile goes to ``output``.

        A worker that has ended is an error; another one has to be made then (``is_alive``).
        """
        # The place to write at is shared with the worker.
        self._said.seek(0)
        self._said.truncate()
        try:
            # The file itself goes along with the request: whatever becomes of us, the log of the transaction is complete.
            socket.send_fds(self._socket, [b"!"], [(output or self._said).fileno()])
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer: Dict[str, Any] = json.loads(self._line())
            return answer
        except (OSError, ValueError):
            return {"error": f"dnf ended with exit status {self._process.wait()} and without an answer: {self._last_words()}"}
        except BaseException:
            # Interrupted: the worker goes on with what it has begun, and nobody waits for it.
            self.close.detach()
            self._socket.close()
            raise

    @property
    def is_alive(self) -> bool:
        return self.close.alive and self._process.poll() is None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            block = self._socket.recv(_BLOCK)
            if not block:
                raise ConnectionResetError
            line += block
        return line

    def _last_words(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip() or "no output"
        return "; ".join(said.splitlines()[-TAIL_LINES:])


def _end(connection: socket.socket, process: Any, said: IO[bytes]) -> None:
    connection.close()
    process.wait()
    said.close()


def _environment(work: Path, dbpath: str) -> Mapping[str, str]:
    """dnf reads rpm's configuration more than once and asks rpmkeys besides: only a file of macros reaches them all."""
    if not dbpath:
        return {}
    home = work / "rpm"
    home.mkdir(mode=0o700, exist_ok=True)
    macros, text = home / ".rpmmacros", f"%_dbpath {dbpath}\n"
    with tempfile.NamedTemporaryFile("w", dir=home, encoding="utf-8", delete=False) as staging:
        staging.write(text)
    os.replace(staging.name, macros)
    return {"HOME": str(home)}


@lru_cache(maxsize=1)
def system_python() -> str:
    """The Python that has dnf's bindings: the one that dnf itself is run by. Raises PackageError."""
    for program in _PROGRAMS:
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
