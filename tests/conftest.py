"""No test uses the agent's directories of the machine that it runs on, and none leaves its process changed for the next
one.
"""

import os
import sys
from typing import Any, Iterator, Tuple

import pytest

OF_THE_MACHINE = ("/run/os-update-agent", "/var/lib/os-update-agent", "/var/log/os-update-agent")


class MachineTouched(BaseException):
    """No ``except Exception`` of the code under test can hide it."""


def refuse(event: str, arguments: Tuple[Any, ...]) -> None:
    """Raise MachineTouched for a file below one of these directories. Python calls this before it opens a file."""
    if event in ("open", "os.mkdir", "os.remove") and str(arguments[0]).startswith(OF_THE_MACHINE):
        raise MachineTouched(f"a test must not touch {arguments[0]}: give its Settings a private directory")


# Python keeps an audit hook until the process ends.
sys.addaudithook(refuse)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """A test machine whose directories only root can enter boots and then waits for ever for its message bus."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    left = os.umask(before)
    assert left == before, f"the test left the umask at {left:04o}; it was {before:04o}"
