"""Starts workers in a moment: python -m kills.nursery has all that a worker imports, and forks one for each request.

A line of JSON on its standard input, {"environment", "death", "output", "note"}, begets a worker; the answer is the
line "status S" when it has ended. What runs is os_update_agent.worker.main in a process of its own; only the imports
are already done.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from kills.death import Death, Doom
from os_update_agent import worker

AGENT = Path(__file__).resolve().parents[2] / "agent"
TESTS = Path(__file__).resolve().parents[1]
# Seconds. Nothing here takes so long: what does is a worker that hangs.
LIMIT = 180.0


class Nursery:
    """Use as a context manager; one worker at a time.

    ``wrapper`` is put before the command, to run it where the package manager is, under the ``python`` of that place.
    """

    def __init__(self, wrapper: Sequence[str] = (), python: str = sys.executable) -> None:
        self._argv = [*wrapper, python, "-m", "kills.nursery"]

    def __enter__(self) -> "Nursery":
        environment = {**os.environ, "PYTHONPATH": f"{AGENT}:{TESTS}"}
        self._process = subprocess.Popen(
            self._argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def run(self, environment: Mapping[str, str], death: Optional[Death], output: Path, note: Path) -> int:
        """Run a worker to its end. Returns its exit status, negative for a signal."""
        request = {
            "environment": dict(environment),
            "death": (death or Death()).as_json(),
            "output": str(output),
            "note": str(note),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], LIMIT)[0], f"a worker has not ended after {LIMIT:g} s"
        word, _, number = self._process.stdout.readline().partition(" ")
        assert word == "status", f"the nursery has ended: {word!r}"
        return int(number)


def _beget(request: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 70
    try:
        os.setsid()
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(request["environment"])
        Doom(Death.from_json(request["death"]), Path(request["note"])).install()
        status = worker.main(())
    finally:
        os._exit(status)


def main() -> int:
    # What a worker imports only when it sends, or signs; a place need not have the latter.
    import requests

    with contextlib.suppress(ImportError):
        import keystoneauth1.identity

        assert keystoneauth1
    assert requests
    for line in sys.stdin:
        print("status", _beget(json.loads(line)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
