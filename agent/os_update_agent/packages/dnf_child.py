"""Asking dnf's worker: a request as a file, an answer as a file, and the Python that has dnf's bindings between them."""

import json
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Dict, Mapping, Optional

from os_update_agent.errors import PackageError
from os_update_agent.node.run import run, run_to_file

_WORKER = Path(__file__).with_name("dnf4_worker.py")
_PROGRAMS = ("/usr/bin/dnf-3", "/usr/bin/dnf")
_PYTHONS = ("/usr/libexec/platform-python", "/usr/bin/python3")


def ask(request: Mapping[str, Any], work: Path, *, dbpath: str, output: Optional[IO[bytes]]) -> Dict[str, Any]:
    """What the worker answers: {"answer": ...}, {"busy": why} or {"error": why}. What it prints goes to ``output``, else it is dropped.

    ``dbpath`` is where rpm's database is below a private root, '' on a node of its own, where rpm knows. Raises PackageError.
    """
    with tempfile.TemporaryDirectory(dir=work, prefix="dnf-") as directory:
        asked, answered = Path(directory, "request"), Path(directory, "answer")
        asked.write_text(json.dumps(request), encoding="utf-8")
        environment = {}
        if dbpath:
            # dnf reads rpm's configuration more than once and asks rpmkeys besides: only a file of macros reaches them all.
            Path(directory, ".rpmmacros").write_text(f"%_dbpath {dbpath}\n", encoding="utf-8")
            environment["HOME"] = directory
        argv = [system_python(), "-I", "-B", str(_WORKER), str(asked), str(answered)]
        done = run(argv, ok=None, env=environment) if output is None else run_to_file(argv, output, ok=None, env=environment)
        try:
            answer: Dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"error": f"dnf ended with exit status {done.returncode} and without an answer: {done.tail.splitlines()[-1]}"}
        return answer


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
