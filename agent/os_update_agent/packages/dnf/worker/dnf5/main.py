"""The entry of the child that speaks dnf 5's own API: ``python3 -I -B worker/dnf5/main.py ROOT DESCRIPTOR``.

It runs under the system's Python, which has the bindings libdnf5 and rpm; the agent's own Python may be another one.
DESCRIPTOR is a socket (dnf_link). ROOT is for those who look at the list of processes.
"""

import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

sys.path.append(str(Path(__file__).parents[5]))

from os_update_agent.packages.dnf.worker import server


class Desk(server.Desk):
    """Answers requests with dnf 5."""

    def actions(self) -> Dict[str, Callable[[Any, server.Request], Any]]:
        from os_update_agent.packages.dnf.worker.dnf5 import dnf_base, fetch, interrupted, solver, transaction

        return {
            "refresh": dnf_base.refresh,
            "reasons": dnf_base.reasons,
            "candidates": solver.candidates,
            "available": fetch.offered,
            "fetch": fetch.fetch,
            "effect": transaction.effect,
            "transact": transaction.transact,
            "mark": transaction.mark,
            "complete": interrupted.complete,
        }

    def opened(self, request: server.Request) -> Any:
        from os_update_agent.packages.dnf.worker.dnf5 import dnf_base

        return dnf_base.opened(request)

    def close(self, base: Any) -> None:
        """It goes with its last name, which no package may outlive."""
        base.unhidden = None

    def cookie(self, root: str) -> str:
        from os_update_agent.packages.dnf.worker.dnf5 import dnf_base

        return dnf_base.cookie(root)

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        import libdnf5  # type: ignore

        # The latter is C++'s own, a file that cannot be written, say; a dnf that has no class for it raises Python's
        # RuntimeError.
        if isinstance(
            error, (libdnf5.exception.Error, getattr(libdnf5.exception, "NonLibdnf5Exception", RuntimeError))
        ):
            return {"error": str(error).strip() or type(error).__name__}
        return None


if __name__ == "__main__":
    server.serve(int(sys.argv[2]), Desk())
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
