"""The program that speaks dnf's own API: ``python3 -I -B worker/main.py MANAGER ROOT DESCRIPTOR``.

It runs under the system's Python (3.6 or later), which has the bindings of dnf and rpm; the agent's own Python may be
another one. MANAGER is "dnf" or "dnf5". DESCRIPTOR is the socket of WorkerProcess. ROOT is only for people who read the
list of processes.
"""

import os
import sys
from pathlib import Path

# Appended, never first: agent/os_update_agent/packages has a folder called dnf, too.
sys.path.append(str(Path(__file__).parents[4]))

from os_update_agent.packages.dnf.worker.server import Desk, Dnf
from os_update_agent.packages.worker.server import serve


def load() -> Dnf:
    """Import what answers the requests. Raises ImportError."""
    if sys.argv[1] == "dnf5":
        from os_update_agent.packages.dnf.worker.dnf5.actions import DNF as DNF5

        return DNF5
    from os_update_agent.packages.dnf.worker.dnf4.actions import DNF

    return DNF


if __name__ == "__main__":
    serve(int(sys.argv[3]), Desk(load))
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
