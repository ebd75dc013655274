"""The entry of the child that speaks dnf 4's own API: ``python3 -I -B dnf4_worker.py ROOT DESCRIPTOR``.

It runs under the system's Python (3.6 or later), which has the bindings dnf, libdnf and rpm; the agent's own Python may be another
one. DESCRIPTOR is a socket (dnf_link). ROOT is for those who look at the list of processes.
"""

import os
import sys
from typing import Any, Callable, Dict, Optional

# Appended, never first: a module beside this one is called dnf, too.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from os_update_agent.packages import dnf_link


class Desk(dnf_link.Desk):
    """Answers requests with dnf 4."""

    def actions(self) -> Dict[str, Callable[[Any, dnf_link.Request], Any]]:
        from os_update_agent.packages import dnf4_base, dnf4_fetch, dnf4_interrupted, dnf4_solver, dnf4_transaction

        return {
            "refresh": dnf4_base.refresh,
            "reasons": dnf4_base.reasons,
            "candidates": dnf4_solver.candidates,
            "available": dnf4_fetch.available,
            "fetch": dnf4_fetch.fetch,
            "effect": dnf4_transaction.effect,
            "transact": dnf4_transaction.transact,
            "mark": dnf4_transaction.mark,
            "complete": dnf4_interrupted.complete,
        }

    def opened(self, request: dnf_link.Request) -> Any:
        from os_update_agent.packages import dnf4_base

        return dnf4_base.opened(request)

    def close(self, base: Any) -> None:
        from os_update_agent.packages import dnf4_base

        dnf4_base.close(base)

    def cookie(self, root: str) -> str:
        from os_update_agent.packages import dnf4_base

        return dnf4_base.cookie(root)

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        import dnf.exceptions  # type: ignore

        if isinstance(error, dnf.exceptions.LockError):
            return {"busy": str(error)}
        if isinstance(error, dnf.exceptions.Error):
            return {"error": str(error).strip() or type(error).__name__}
        # hawkey and libdnf raise classes of their own, without one parent.
        return None


if __name__ == "__main__":
    dnf_link.serve(int(sys.argv[2]), Desk())
    # Every Base is closed: to take dnf apart piece by piece would only make the agent wait.
    os._exit(0)
