"""Starts workers, each a process of its own that outlives the one that has started it."""

import os
import sys
import time
from pathlib import Path
from typing import Callable

from os_update_agent.config.settings import ENVIRONMENT
from os_update_agent.delivery.locks import STARTING_SECONDS, has_been_at_work, is_at_work, starting
from os_update_agent.model.errors import AgentError
from os_update_agent.node.locks import check_lock
from os_update_agent.node.permissions import make_private, worker_unit
from os_update_agent.runtime.context import Site

# A worker that is neither at work nor has been after this time is given up, and another one is started.
START_SECONDS = 20.0
WORKER_STARTS = 5
POLL_SECONDS = 0.005
GOING_DOWN_SECONDS = 1.0
SYSTEM_PYTHON = "/usr/bin/python3"
LAUNCHER = Path(__file__).parents[1] / "launch.py"


class Workers:
    """Starts workers, and gives up where they keep dying."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.starts = 0

    def start_where_none_is(self, is_over: Callable[[], bool]) -> bool:
        """Start a worker unless one is at work. Return when a worker is at work or ``is_over`` returns True.

        Returns False if a worker was at work already or another caller starts one. Raises CommandFailed, AgentError.
        """
        settings = self.site.settings
        if is_at_work(settings):
            return False
        from os_update_agent.node.transient_unit import is_going_down  # late: most deliveries find nothing to do

        if is_going_down():
            # It goes on after the boot; a worker that is started now would die in the middle.
            time.sleep(GOING_DOWN_SECONDS)
            return True
        with starting(settings) as other:
            if (other is not None and other.age < STARTING_SECONDS) or is_at_work(settings):
                return False
            if not is_over():
                self._start(is_over)
        return True

    def _start(self, is_over: Callable[[], bool]) -> None:
        """Start a worker, and wait until it is at work or has been. Raises CommandFailed, AgentError."""
        settings = self.site.settings
        if self.starts == WORKER_STARTS:
            raise AgentError(f"the worker ended {self.starts} times without a result; see {settings.worker_log}")
        self.starts += 1
        # A worker that cannot open it would end at once, and nobody would know why.
        check_lock(settings.worker_lock)
        name = _started(self.site)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and not (is_at_work(settings) or is_over() or has_been_at_work(settings, name)):
            time.sleep(POLL_SECONDS)


def _started(site: Site) -> str:
    """Returns the worker's name."""
    from os_update_agent.node import transient_unit
    from os_update_agent.node.child_environment import inherited
    from os_update_agent.node.reboot import own_unit

    settings = site.settings
    for directory in (settings.log, settings.run):
        # After a boot there is nothing in /run.
        make_private(directory)
    transient_unit.forget_environments(settings.run)
    environment = inherited(os.environ)
    if settings.source is not None:
        environment[ENVIRONMENT] = str(settings.source)
    environment[transient_unit.CALLER_UNIT] = own_unit() or ""
    name = os.urandom(16).hex()
    # The package manager may have removed this process's own interpreter.
    python = sys.executable if os.access(sys.executable, os.X_OK) else SYSTEM_PYTHON
    argv = [python, "-I", str(LAUNCHER), "os_update_agent.worker", name]
    transient_unit.start(
        argv, unit=worker_unit(name), output=settings.worker_log, environment=environment, work=settings.run
    )
    return name
