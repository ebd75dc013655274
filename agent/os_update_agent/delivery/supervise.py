"""What a caller does while its delivery is at work: join the worker, start one where there is none, wait for the
answer.

A run that changes packages is never done in the caller's own process: it may be ended by the very transaction (an
update of os-collect-config restarts it, and systemd kills all that it had started), by a reboot, or by an operator.
"""

import contextlib
import logging
import time
from typing import Callable, Optional, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.decision import table
from os_update_agent.delivery.decide import what_would_happen
from os_update_agent.delivery.execute import work
from os_update_agent.delivery.locks import is_sending, wake
from os_update_agent.delivery.outbox import only_logged
from os_update_agent.delivery.result import store
from os_update_agent.delivery.suitability import why_unsuitable
from os_update_agent.delivery.workers import Workers
from os_update_agent.model import phases
from os_update_agent.model.errors import AgentError, Busy, Damaged
from os_update_agent.model.runs import Run
from os_update_agent.node.locks import node_holder, node_lock
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import outcome_of_error

log = logging.getLogger(__name__)

# The pause between two looks at the ledger's file, at first and after ten seconds.
POLL_SECONDS = 0.005
LONGEST_LOOK_SECONDS = 0.1
# The ledger is asked so often at least; more often where somebody watches the progress.
LONGEST_POLL_SECONDS = 1.0
WATCHED_SECONDS = 0.2
# A caller that waits longer than this logs which process is at work, and again whenever the time has doubled.
NOTED_SECONDS = 60.0
# A worker that has just ended, or has left the sending to another one, is at work for some milliseconds more.
ENDING_SECONDS = 2.0

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
    note = begun + NOTED_SECONDS
    workers = Workers(site)
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
        if time.monotonic() > note:
            holder = node_holder(site.settings.lock) or "a worker that is just starting or ending"
            log.info(logged(deployment=config_id, waits=f"{time.monotonic() - begun:.0f} s", why=f"at work: {holder}"))
            note = time.monotonic() + (time.monotonic() - begun)
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
    workers = Workers(site)
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
    the ledger is asked after a twentieth of the time that has passed as well. With looks ten times as often a caller
    took 0.70 s of processor time for an update of 27 s; with these it takes 0.27 s.
    """
    passed = time.monotonic() - begun
    longest = LONGEST_POLL_SECONDS if watch is None else WATCHED_SECONDS
    end = time.monotonic() + min(max(POLL_SECONDS, passed / 20), longest)
    while time.monotonic() < end and _ledger_mark(site) == seen:
        time.sleep(min(max(POLL_SECONDS, passed / 100), LONGEST_LOOK_SECONDS))


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

    workers = Workers(site)
    if _is_open(site):
        _start_one(workers, lambda: not _is_open(site))
    elif any(signal.standing in ("owed", "refused") for signal in site.ledger.signals()):
        # It only sends, and drops what was refused and is not waited for any more. It may have to try for long: nobody
        # waits for that.
        wake(site.settings)
        _start_one(workers, lambda: is_sending(site.settings))
    while until_whole and not is_whole():
        workers.start_where_none_is(is_whole)
        time.sleep(LONGEST_LOOK_SECONDS)


def _start_one(workers: Workers, is_over: Callable[[], bool]) -> None:
    """Start a worker unless ``is_over`` returns True or one is at work, which does the same and is not just ending.

    Raises CommandFailed, AgentError.
    """
    end = time.monotonic() + ENDING_SECONDS
    while not is_over() and not workers.start_where_none_is(is_over) and time.monotonic() < end:
        time.sleep(LONGEST_LOOK_SECONDS)


def _is_open(site: Site) -> bool:
    return bool(site.ledger.unfinished() or site.ledger.open_runs()) or _is_damaged_open(site)


def _is_damaged_open(site: Site) -> bool:
    """Is there an open run or an unanswered delivery that cannot be read? A worker closes it."""
    return bool(site.ledger.damaged_open_runs() or site.ledger.damaged_unfinished())


def is_half_done(run: Run) -> bool:
    """Is an open run in the middle of the packages?"""
    return run.progress.change_began and run.phase in (phases.TRANSACT, phases.VERIFY, phases.UNDO)


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
