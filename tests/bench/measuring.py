"""What a command takes: seconds, processor time and the largest process, with everything that it leaves running in the
background.

As a program: python measuring.py RESULT.json COMMAND...; it adopts what the command detaches and waits for that, too.
"""

import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Figures:
    """Seconds until the command ended, seconds of processor time of all its processes, megabytes of the largest of
    them.
    """

    seconds: float
    cpu: float
    peak: float


class Failed(Exception):
    """A command that was to be measured has failed; the text is the end of what it said."""


def measured(
    argv: Sequence[str], base: Path, *, env: Optional[Mapping[str, str]] = None, text: str = ""
) -> Tuple[Figures, str]:
    """Run a command. Returns its figures and what it printed. Raises Failed."""
    result = base / "measured.json"
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__, str(result), *argv],
        env=env,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(
            f"{argv[0]} ended with exit status {done.returncode}: {' '.join((done.stdout + done.stderr).split()[-60:])}"
        )
    return Figures(**json.loads(result.read_text())), done.stdout


def median(figures: Sequence[Figures]) -> Figures:
    return Figures(
        statistics.median(one.seconds for one in figures),
        statistics.median(one.cpu for one in figures),
        max(one.peak for one in figures),
    )


def in_process(action: Callable[[], object], repeats: int) -> Figures:
    """What a call takes in this process, with what it starts: medians. The memory is left to ``apart``."""
    taken: List[Figures] = []
    for _ in range(repeats):
        begun, used = time.perf_counter(), _processor_time()
        action()
        taken.append(Figures(time.perf_counter() - begun, _processor_time() - used, 0.0))
    return median(taken)


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def main() -> int:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.perf_counter()
    status = subprocess.run(sys.argv[2:], check=False).returncode
    seconds = time.perf_counter() - begun
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}
    Path(sys.argv[1]).write_text(json.dumps(figures))
    return status


if __name__ == "__main__":
    sys.exit(main())
