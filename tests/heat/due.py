"""The deployments that Heat waits for. One thread asks for all members of a lab, because the questions of each member
would cost Heat more than the updates.
"""

import threading
from contextlib import suppress
from typing import Dict, FrozenSet, Optional, Set

from heat.client import Heat
from heat.lab import Lab

ASK_SECONDS = 0.5
_SHARED: Dict[Lab, "Due"] = {}
_LOCK = threading.Lock()


class Due:
    """The config ids that each server has not answered yet. ``join`` it, and ``leave`` it at the end."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._by_server: Dict[str, FrozenSet[str]] = {}
        self._users = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="due", daemon=True)

    @staticmethod
    def join(lab: Lab) -> "Due":
        with _LOCK:
            due = _SHARED.setdefault(lab, Due(lab))
            due._users += 1
            if due._users == 1:
                due._thread.start()
            return due

    def leave(self) -> None:
        with _LOCK:
            self._users -= 1
            if self._users:
                return
            del _SHARED[self._lab]
        self._ended.set()
        self._thread.join()

    def of(self, server: str) -> FrozenSet[str]:
        return self._by_server.get(server, frozenset())

    def _ask(self) -> None:
        heat: Optional[Heat] = None
        while not self._ended.wait(ASK_SECONDS):
            # Heat may be away, in the tests that kill it; and two threads that import parts of the client at the same
            # moment can fail.
            with suppress(Exception):
                heat = heat or Heat(self._lab)
                found: Dict[str, Set[str]] = {}
                for one in heat.api.software_deployments.list():
                    if one.status == "IN_PROGRESS":
                        found.setdefault(one.server_id, set()).add(one.config_id)
                self._by_server = {server: frozenset(ids) for server, ids in found.items()}
