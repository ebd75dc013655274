"""The program that speaks dnf 5's own API: ``python3 -I -B worker/dnf5/main.py ROOT DESCRIPTOR``.

It runs under the system's Python, which has the bindings libdnf5 and rpm; the agent's own Python may
be another one. DESCRIPTOR is the socket of dnf/client.py. ROOT is only for people who read the list of processes.
"""

import os
import sys
from pathlib import Path

# Appended, never first: agent/os_update_agent/packages has a folder called dnf, too.
sys.path.append(str(Path(__file__).parents[5]))

from os_update_agent.packages.dnf.worker.server import Desk, Dnf, serve


def load() -> Dnf:
    """Import what answers requests with dnf 5. Raises ImportError."""
    from os_update_agent.packages.dnf.worker.dnf5.dnf_base import close, cookie, failure, opened, reasons, refresh
    from os_update_agent.packages.dnf.worker.dnf5.fetch import available, fetch
    from os_update_agent.packages.dnf.worker.dnf5.interrupted import complete
    from os_update_agent.packages.dnf.worker.dnf5.solver import candidates
    from os_update_agent.packages.dnf.worker.dnf5.transaction import effect, mark, transact

    reading = (refresh, reasons, candidates, available, fetch)
    return Dnf(opened, close, cookie, failure, *reading, effect, transact, mark, complete)


if __name__ == "__main__":
    serve(int(sys.argv[2]), Desk(load))
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
