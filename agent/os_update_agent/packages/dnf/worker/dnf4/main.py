"""The entry of the child that speaks dnf 4's own API: ``python3 -I -B worker/dnf4/main.py ROOT DESCRIPTOR``.

It runs under the system's Python (3.6 or later), which has the bindings dnf, libdnf and rpm; the agent's own Python may
be another one. DESCRIPTOR is a socket (dnf_link). ROOT is for those who look at the list of processes.
"""

import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

# Appended, never first: agent/os_update_agent/packages has a folder called dnf, too.
sys.path.append(str(Path(__file__).parents[5]))

from os_update_agent.packages.dnf.worker import server


class Desk(server.Desk):
    """Answers requests with dnf 4."""

    def actions(self) -> Dict[str, Callable[[Any, server.Request], Any]]:
        from os_update_agent.packages.dnf.worker.dnf4 import dnf_base, fetch, interrupted, solver, transaction

        return {
            "refresh": dnf_base.refresh,
            "reasons": dnf_base.reasons,
            "candidates": solver.candidates,
            "available": fetch.available,
            "fetch": fetch.fetch,
            "effect": transaction.effect,
            "transact": transaction.transact,
            "mark": transaction.mark,
            "complete": interrupted.complete,
        }

    def opened(self, request: server.Request) -> Any:
        from os_update_agent.packages.dnf.worker.dnf4 import dnf_base

        return dnf_base.opened(request)

    def close(self, base: Any) -> None:
        from os_update_agent.packages.dnf.worker.dnf4 import dnf_base

        dnf_base.close(base)

    def cookie(self, root: str) -> str:
        from os_update_agent.packages.dnf.worker.dnf4 import dnf_base

        return dnf_base.cookie(root)

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        import dnf.exceptions  # type: ignore

        if isinstance(error, dnf.exceptions.LockError):
            return {"busy": str(error)}
        if isinstance(error, dnf.exceptions.Error):
            return {"error": str(error).strip() or type(error).__name__}
        # hawkey and libdnf raise classes of their own, without one parent.
        return None


if __name__ == "__main__":
    server.serve(int(sys.argv[2]), Desk())
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
