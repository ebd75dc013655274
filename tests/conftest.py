"""No test uses the agent's directories of the machine that it runs on."""

import sys
from typing import Any, Tuple

OF_THE_MACHINE = ("/run/os-update-agent", "/var/lib/os-update-agent", "/var/log/os-update-agent")


class MachineTouched(BaseException):
    """No ``except Exception`` of the code under test can hide it."""


def refuse(event: str, arguments: Tuple[Any, ...]) -> None:
    """Raise MachineTouched for a file below one of these directories. Python calls this before it opens a file."""
    if event in ("open", "os.mkdir", "os.remove") and str(arguments[0]).startswith(OF_THE_MACHINE):
        raise MachineTouched(f"a test must not touch {arguments[0]}: give its Settings a private directory")


# Python keeps an audit hook until the process ends.
sys.addaudithook(refuse)
