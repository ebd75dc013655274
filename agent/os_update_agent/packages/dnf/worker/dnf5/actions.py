"""What answers requests with dnf 5, by its name. What few runs need is imported late."""

from typing import Any, List, Optional

from os_update_agent.packages.dnf.protocol import Available, Complete, Fetch, Offered
from os_update_agent.packages.dnf.worker.caller import Caller
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import close, cookie, failure, opened, reasons, refresh
from os_update_agent.packages.dnf.worker.dnf5.solver import candidates
from os_update_agent.packages.dnf.worker.dnf5.transaction import effect, mark, transact
from os_update_agent.packages.dnf.worker.server import Dnf


def available(base: Any, request: Available) -> List[Optional[Offered]]:
    from os_update_agent.packages.dnf.worker.dnf5 import fetch as fetching

    return fetching.available(base, request)


def fetch(base: Any, request: Fetch) -> None:
    from os_update_agent.packages.dnf.worker.dnf5 import fetch as fetching

    fetching.fetch(base, request)


def complete(base: Any, request: Complete, caller: Caller) -> List[str]:
    from os_update_agent.packages.dnf.worker.dnf5 import interrupted

    return interrupted.complete(base, request, caller)


_READING = (refresh, reasons, candidates, available, fetch)
DNF = Dnf(opened, close, cookie, failure, *_READING, effect, transact, mark, complete)
