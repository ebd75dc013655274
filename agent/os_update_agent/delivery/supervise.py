"""What a caller does while its delivery is at work: join the worker, start one where there is none, wait for the
answer.

A run that changes packages is never done in the caller's own process: it may be ended by the very transaction (an
update of os-collect-config restarts it, and systemd kills all that it had started), by a reboot, or by an operator.
"""

import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Callable, Optional, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import ENVIRONMENT
from os_update_agent.decision import table
from os_update_agent.delivery.decide import what_would_happen
from os_update_agent.delivery.execute import work
from os_update_agent.delivery.locks import has_been_at_work, is_at_work, starting
from os_update_agent.delivery.outbox import only_logged
from os_update_agent.delivery.result import store
from os_update_agent.delivery.suitability import why_unsuitable
from os_update_agent.model import phases
from os_update_agent.model.errors import AgentError, Busy, Damaged
from os_update_agent.model.runs import Run
from os_update_agent.node.locks import node_holder, node_lock
from os_update_agent.node.permissions import make_private, worker_unit
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import outcome_of_error

log = logging.getLogger(__name__)

# The pause between two looks at the ledger's file, at first and after a hundred seconds.
POLL_SECONDS = 0.005
LONGEST_LOOK_SECONDS = 0.1
# The ledger is asked so often at least; more often where somebody watches the progress.
LONGEST_POLL_SECONDS = 1.0
WATCHED_SECONDS = 0.2
# A worker that is neither at work nor has been after this time is given up, and another one is started.
START_SECONDS = 20.0
WORKER_STARTS = 5
GOING_DOWN_SECONDS = 1.0
SYSTEM_PYTHON = "/usr/bin/python3"
LAUNCHER = Path(__file__).parents[1] / "launch.py"


# Is shown the run while it is at work, many times in each phase.
Watch = Callable[[Run], None]


def see_through(
    site: Site,
    config_id: str,
    policy: Policy,
    watch: Optional[Watch] = None,
    meanwhile: Optional[Callable[[], None]] = None,
) -> None:
    """Return when the delivery has its answer in the ledger; join the worker that is at it, or start one.

    ``meanwhile`` is called once, when a worker is at work and there is nothing to do but wait.

    Raises Busy when no worker has taken it up within the policy's lock_timeout (it is withdrawn then), CommandFailed
    and AgentError when workers cannot be started or keep dying, LedgerError.
    """
    if _at_once(site, config_id):
        return
    begun = time.monotonic()
    end = begun + policy.lock_timeout
    workers = _Workers(site)
    while True:
        seen = _ledger_mark(site)
        progress = site.ledger.progress(config_id)
        if progress.is_answered:
            return
        if watch is not None and progress.run is not None:
            _show(site, progress.run, watch)
        if (
            not workers.start_where_none_is(lambda: site.ledger.progress(config_id).is_answered)
            and not progress.is_taken_up
            and time.monotonic() > end
        ):
            _withdraw(site, config_id, policy)
        if meanwhile is not None:
            with only_logged("preparation", config_id):
                meanwhile()
            meanwhile = None
        _pause(site, seen, begun, watch)


def _show(site: Site, number: int, watch: Watch) -> None:
    with contextlib.suppress(Damaged):
        run = site.ledger.run(number)
        if run is not None:
            watch(run)


def finish_open(site: Site, watch: Optional[Watch] = None) -> None:
    """Have a worker take everything that is open to its end, and wait for that. Raises AgentError, CommandFailed,
    LedgerError.
    """
    begun = time.monotonic()
    workers = _Workers(site)
    while True:
        seen = _ledger_mark(site)
        if not _is_open(site):
            return
        runs = site.ledger.open_runs() if watch is not None else ()
        if watch is not None and runs:
            watch(runs[0])
        workers.start_where_none_is(lambda: not _is_open(site))
        _pause(site, seen, begun, watch)


def _pause(site: Site, seen: Optional[Tuple[int, int]], begun: float, watch: Optional[Watch]) -> None:
    """Wait until the ledger has changed since it was ``seen``, or until it is time to ask it anyway.

    A look at the file costs 5 us, a question to the ledger 24 us, and readers keep a writer of SQLite waiting: hundreds
    of callers may wait beside a transaction. A look misses two changes within one tick of the file system's clock, so
    the ledger is asked after a hundredth of the time that has passed as well.
    """
    passed = time.monotonic() - begun
    longest = LONGEST_POLL_SECONDS if watch is None else WATCHED_SECONDS
    end = time.monotonic() + min(max(POLL_SECONDS, passed / 100), longest)
    while time.monotonic() < end and _ledger_mark(site) == seen:
        time.sleep(min(max(POLL_SECONDS, passed / 1000), LONGEST_LOOK_SECONDS))


def _ledger_mark(site: Site) -> Optional[Tuple[int, int]]:
    """Another one after a change, as far as the clock of the file system can tell."""
    try:
        found = site.settings.ledger.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def leave_open(site: Site, *, until_whole: bool = False) -> None:
    """Have a worker take everything that is open to its end and send what is owed; with ``until_whole`` wait until no
    package is half-installed. Raises AgentError, CommandFailed, LedgerError.
    """

    def is_whole() -> bool:
        return not any(map(is_half_done, site.ledger.open_runs()))

    workers = _Workers(site)
    if _is_open(site):
        workers.start_where_none_is(lambda: not _is_open(site))
    elif any(signal.standing in ("owed", "refused") for signal in site.ledger.signals()):
        # It only sends, and drops what was refused and is not waited for any more. It may have to try for long: nobody
        # waits for that.
        _start_worker(site)
    while until_whole and not is_whole():
        workers.start_where_none_is(is_whole)
        time.sleep(LONGEST_LOOK_SECONDS)


def _is_open(site: Site) -> bool:
    return bool(site.ledger.unfinished() or site.ledger.open_runs()) or _is_damaged_open(site)


def _is_damaged_open(site: Site) -> bool:
    """Is there an open run or an unanswered delivery that cannot be read? A worker closes it."""
    return bool(site.ledger.damaged_open_runs() or site.ledger.damaged_unfinished())


def is_half_done(run: Run) -> bool:
    """Is an open run in the middle of the packages?"""
    return run.progress.change_began and run.phase in (phases.TRANSACT, phases.VERIFY, phases.UNDO)


class _Workers:
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
        with starting(settings) as mine:
            if not mine or is_at_work(settings):
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
        name = _start_worker(self.site)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and not (is_at_work(settings) or is_over() or has_been_at_work(settings, name)):
            time.sleep(POLL_SECONDS)


def _start_worker(site: Site) -> str:
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


def _at_once(site: Site, config_id: str) -> bool:
    """Do a delivery that changes no package here and now, when nobody is at work and nothing older is open. Is it
    done?
    """
    delivery = site.ledger.delivery(config_id)
    if delivery is None or delivery.finished is not None:
        return True
    try:
        with node_lock(site.settings.lock, doing=f"deployment {config_id}", timeout=0.0):
            if [other.config_id for other in site.ledger.unfinished()] != [config_id] or site.ledger.open_runs():
                return False
            if _is_damaged_open(site):
                return False
            policy = Policy.from_json(delivery.policy)
            what = what_would_happen(site.ledger, policy, delivery.action, delivery.restore)
            if what.do == table.BASELINE and why_unsuitable(site.settings):
                # The worker decides: it does not share what is mounted read-only for the service of its caller.
                return False
            if delivery.run is None and what.do in (table.NOTHING, table.BASELINE, table.BACK):
                work(site, delivery)
                return True
    except (Busy, Damaged):
        # Leave it to a worker: it answers deliveries with damaged records.
        pass
    return False


def _withdraw(site: Site, config_id: str, policy: Policy) -> None:
    """Give a delivery up for which no worker was to be had in time."""
    holder = node_holder(site.settings.lock) or "a worker that is just starting or ending"
    busy = Busy(f"another os-update-agent is at work: {holder}; waited {policy.lock_timeout:g} s")
    if give_up(site, config_id, busy):
        log.error(logged(deployment=config_id, withdrawn="yes", why=busy))


def give_up(site: Site, config_id: str, why: AgentError) -> bool:
    """Withdraw a delivery that no worker has taken up. False where one has: it goes on. Raises LedgerError."""
    delivery = site.ledger.delivery(config_id)
    if delivery is None or delivery.request is None:
        return False
    return store(site, config_id, delivery.request, outcome_of_error(why), unless_started=True)
