"""Starting dnf's worker: a process of the Python that has dnf's bindings.

One worker serves all requests of a run: starting dnf costs as much as half a transaction, and the repositories that it
has read serve several requests. The worker outlives the agent in a transaction.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Mapping, Optional

from os_update_agent.model.errors import PackageError
from os_update_agent.model.options import BackendName
from os_update_agent.node.permissions import make_private
from os_update_agent.packages.detect import APT, Manager, manager_of
from os_update_agent.packages.rpm.place import database_below
from os_update_agent.packages.worker.child import WorkerProcess

# Below this module.
_PROGRAM = "worker/main.py"
_COMMANDS = ("/usr/bin/dnf-3", "/usr/bin/dnf")
_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")


class Child(WorkerProcess):
    """The worker for one root. It is started at once and imports dnf while the agent prepares its first request."""

    def __init__(self, manager: Manager, root: Path, work: Path) -> None:
        """Raises PackageError."""
        self.serves = (manager, root, work)
        super().__init__(
            "dnf",
            system_python(),
            Path(__file__).parent / _PROGRAM,
            [manager, str(root)],
            work=work,
            env=_environment(work, root),
        )


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
