"""The entry of the child that speaks dnf 5's own API: ``python3 -I -B dnf5_worker.py ROOT DESCRIPTOR``.

It runs under the system's Python, which has the bindings libdnf5 and rpm; the agent's own Python may be another one. DESCRIPTOR is a
socket (dnf_link). ROOT is for those who look at the list of processes.
"""

import os
import sys
from typing import Any, Callable, Dict, Optional

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from os_update_agent.packages import dnf_link


class Desk(dnf_link.Desk):
    """Answers requests with dnf 5."""

    def actions(self) -> Dict[str, Callable[[Any, dnf_link.Request], Any]]:
        from os_update_agent.packages import dnf5_base, dnf5_fetch, dnf5_interrupted, dnf5_solver, dnf5_transaction

        return {
            "refresh": dnf5_base.refresh,
            "reasons": dnf5_base.reasons,
            "candidates": dnf5_solver.candidates,
            "available": dnf5_fetch.offered,
            "fetch": dnf5_fetch.fetch,
            "effect": dnf5_transaction.effect,
            "transact": dnf5_transaction.transact,
            "mark": dnf5_transaction.mark,
            "complete": dnf5_interrupted.complete,
        }

    def opened(self, request: dnf_link.Request) -> Any:
        from os_update_agent.packages import dnf5_base

        return dnf5_base.opened(request)

    def close(self, base: Any) -> None:
        """It goes with its last name, which no package may outlive."""
        base.unhidden = None

    def cookie(self, root: str) -> str:
        from os_update_agent.packages import dnf5_base

        return dnf5_base.cookie(root)

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        import libdnf5  # type: ignore

        # The latter is C++'s own, a file that cannot be written, say; a dnf that has no class for it raises Python's RuntimeError.
        if isinstance(error, (libdnf5.exception.Error, getattr(libdnf5.exception, "NonLibdnf5Exception", RuntimeError))):
            return {"error": str(error).strip() or type(error).__name__}
        return None


if __name__ == "__main__":
    dnf_link.serve(int(sys.argv[2]), Desk())
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
