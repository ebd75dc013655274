"""What answers requests with dnf 5, by its name."""

from os_update_agent.packages.dnf.worker.dnf5.dnf_base import close, cookie, failure, opened, reasons, refresh
from os_update_agent.packages.dnf.worker.dnf5.fetch import available, fetch
from os_update_agent.packages.dnf.worker.dnf5.interrupted import checkundo, complete, erase
from os_update_agent.packages.dnf.worker.dnf5.solver import candidates
from os_update_agent.packages.dnf.worker.dnf5.transaction import effect, enable, mark, transact
from os_update_agent.packages.dnf.worker.server import Dnf

_READING = (refresh, reasons, candidates, available, fetch, checkundo)
DNF = Dnf(opened, close, cookie, failure, *_READING, effect, transact, mark, complete, erase, enable)
