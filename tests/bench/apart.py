"""A call in a process of its own, for its memory. Not in measuring.py: what is imported there is the least that a
command can take.
"""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Sequence, Tuple, TypeVar

T = TypeVar("T")


def apart(action: Callable[..., T], *arguments: Any) -> Tuple[T, float]:
    """What the call returns in a new process of its own, and the megabytes of that process or of the largest that it
    has started.

    The memory of the benchmark, which makes what is measured, is not in it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_with_peak, action, arguments).result()


def _with_peak(action: Callable[..., T], arguments: Sequence[Any]) -> Tuple[T, float]:
    result = action(*arguments)
    # Not ru_maxrss, which for this process begins with the size of the one that has started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return result, max(int(status["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
