"""Every delivery that has no answer is taken to its end, and every answer that is owed is sent.

This is what the worker does, and what happens after a crash, a boot, or a lost connection: there is no other way
through a delivery that changes packages. It can be called by anybody at any time; twice is as good as once.
"""

import logging
import os
import time
from dataclasses import replace
from typing import Callable, Collection, Optional, Set, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.decision import table
from os_update_agent.decision.table import Decision
from os_update_agent.delivery.decide import check_rivals, what_would_happen
from os_update_agent.delivery.locks import Wakes, is_waited_for, only_sender, take_up_work, wake
from os_update_agent.delivery.node_facts import drift_of, facts_now
from os_update_agent.delivery.outbox import CALLER_SECONDS, Patience, forget_copy, only_logged, send_owed
from os_update_agent.delivery.result import aftermath, encoded, nobody_waits, outcome_of, store
from os_update_agent.delivery.suitability import check_suitable
from os_update_agent.model import phases
from os_update_agent.model.deliveries import ACTIVE_ACTIONS, Delivery, Outcome, OwedSignal, Request, SignalTarget
from os_update_agent.model.errors import AgentError, Damaged, LedgerError, RivalDeployment, known
from os_update_agent.model.runs import Progress, Run
from os_update_agent.node.locks import node_lock
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import outcome_of_baseline, outcome_of_error, outcome_of_nothing, with_node
from os_update_agent.text.outputs import drift_output

log = logging.getLogger(__name__)

# The node's lock is held by somebody else than a worker only for moments.
LOCK_SECONDS = 600.0
CALLER_POLL_SECONDS = 0.02
NOBODY = Request(SignalTarget("NO_SIGNAL"))
NOT_KNOWN = "what this delivery has done to the packages is not known: 'os-update-agent status' shows the node"


def resume(
    site: Site,
    patience: Optional[Patience] = None,
    *,
    name: str = "",
    before_sending: Callable[[], object] = lambda: None,
    until_exit: bool = False,
) -> Tuple[OwedSignal, ...]:
    """Work through the unfinished deliveries, unless a worker is already at it, then send what is owed, unless a worker
    is already at that.

    So there are at most two workers: one that works, and one that only sends. ``name`` is the one that this worker's
    caller knows. ``before_sending`` releases what only working needs. With ``until_exit`` this process ends afterwards:
    if it does not become the sender, it stays "at work" until then, so that no other worker is started beside it.
    Returns what stays owed. Raises LedgerError, Busy.
    """
    settings = site.settings
    lock, is_sender, is_through = take_up_work(settings, name), False, False
    try:
        if lock is not None:
            _work_through(site)
        # Sending may take long.
        before_sending()
        # The present sender may be about to end: it looks again.
        wake(settings)
        wakes = Wakes(settings)
        while True:
            with only_sender(settings) as mine:
                if not mine:
                    break
                is_sender = True
                if lock is not None:
                    os.close(lock)
                    lock = None
                _leave_to_callers(site)
                send_owed(site, patience, None, wakes)
            if not wakes.came():
                break
        if settings.metrics is not None:
            with only_logged("metrics", ""):
                from os_update_agent.delivery.metrics import publish  # late: most nodes have no collector

                publish(site)
        is_through = True
        return site.ledger.owed()
    finally:
        if lock is not None and not (until_exit and is_through and not is_sender):
            os.close(lock)


def _work_through(site: Site) -> None:
    """Take every delivery without an answer to its end. Raises LedgerError, Busy."""
    taken: Set[str] = set()
    while True:
        _close_damaged(site)
        # First: what they have left half-done is what a newer run would take for the state before.
        _finish_orphans(site)
        delivery = _next_of(site, taken)
        if delivery is None:
            return
        taken.add(delivery.config_id)
        doing = f"deployment {delivery.config_id} ({delivery.action})"
        with node_lock(site.settings.lock, doing=doing, timeout=LOCK_SECONDS):
            work(site, delivery)


def _next_of(site: Site, taken: Collection[str]) -> Optional[Delivery]:
    """Return the oldest delivery without an answer that this worker has not taken up yet.

    A damaged index of the ledger can list a delivery that no statement finds: its answer could never be stored.
    """
    unfinished = site.ledger.unfinished()
    for delivery in unfinished:
        if delivery.config_id not in taken:
            return delivery
        log.error(logged(deployment=delivery.config_id, answered="no", why="the ledger stores no answer for it"))
    return None


def _leave_to_callers(site: Site) -> None:
    """Wait up to 1 s for callers that send their own results.

    Callers load the libraries for sending while they wait; a worker would spend 0.1 s of CPU time on loading them.
    """
    end = time.monotonic() + CALLER_SECONDS
    while time.monotonic() < end and any(
        is_waited_for(site.settings, signal.config_id) for signal in site.ledger.owed()
    ):
        time.sleep(CALLER_POLL_SECONDS)


def _close_damaged(site: Site) -> None:
    """End the open runs and answer the deliveries whose records cannot be read. Give the results whose id cannot be
    read back to their deliveries.

    Such a record cannot be continued. Its run counts as failed. The next run repairs the packages in its check. It ends
    with post-update.d, because the node may be out of service. Raises LedgerError, Busy.
    """
    ledger = site.ledger
    for damage in ledger.damaged_open_runs():
        with node_lock(site.settings.lock, doing=damage.record, timeout=LOCK_SECONDS):
            ledger.close_damaged_run(damage.row, site.clock())
        log.error(logged(run=damage.row, closed="yes", why=damage))
    for damage in ledger.damaged_unfinished():
        config_id, request = ledger.damaged_request(damage.row) or ("", NOBODY)
        outcome = with_node(outcome_of_error(damage, NOT_KNOWN), facts_now(site, Policy()))
        body = encoded(request, outcome)
        target = None if nobody_waits(site, config_id, request) else request.signal
        with node_lock(site.settings.lock, doing=damage.record, timeout=LOCK_SECONDS):
            ledger.finish_damaged(damage.row, body, target, site.clock())
        log.error(logged(deployment=config_id, answered="yes", why=damage))
    ledger.reclaim_owed(site.clock())


def _finish_orphans(site: Site) -> None:
    """Runs that are open though Heat has an answer already: the node must not be left half-done for that."""
    unfinished = {delivery.run for delivery in site.ledger.unfinished()}
    for run in site.ledger.open_runs():
        if run.id in unfinished:
            continue
        with node_lock(site.settings.lock, doing=f"run {run.id}", timeout=LOCK_SECONDS):
            newer = _gone_on(site, run)
            if newer is not None:
                # Before the run is closed: nobody would look again.
                if run.leads_to_value and run.progress.change_began and newer.key != run.key:
                    site.ledger.record_current(run.key, None)
                _close(site, run, f"it was cut off in phase {run.phase}, and run {newer.id} has gone on from there")
            elif run.progress.is_untouched:
                # Heat was told that nothing was changed, and so it stays.
                _close(site, run, "it was cut off")
            else:
                _finish_orphan(site, run)


def _gone_on(site: Site, run: Run) -> Optional[Run]:
    """The newest run that has reached its aim from where this one was cut off. The packages are those of the whole
    node, whatever the key: to finish or undo this one now would undo that one. The services of a stop or a start are
    its key's own.
    """
    others = site.ledger.runs(run.key if run.switches_services else None)
    return next(
        (other for other in others if other.id > run.id and other.goes_on_from(run) and other.progress.reached), None
    )


def _close(site: Site, run: Run, why: str) -> None:
    site.ledger.save_run(replace(run, phase=phases.FINISHED, finished=site.clock(), failure=run.failure or why))
    log.warning(logged(run=run.id, phase=run.phase, closed="yes", why=why))


def _finish_orphan(site: Site, run: Run) -> None:
    """What stands in its way stands in the way of no newer delivery: those tell Heat themselves. It stays open for the
    next start.
    """
    try:
        _to_its_end(site, run)
    except AgentError as error:
        if isinstance(error, LedgerError) and not isinstance(error, Damaged):
            raise
        log.error(logged(run=run.id, phase=run.phase, stopped=error))
    except Exception as error:
        log.critical(logged(run=run.id, phase=run.phase, bug=known(error)))


def work(site: Site, delivery: Delivery) -> None:
    """Take one delivery to its answer, from wherever it stands. Called under the node's lock. Raises LedgerError."""
    if not site.ledger.start(delivery.config_id, site.clock()):
        return
    is_rival = False
    try:
        outcome = _outcome(site, delivery)
    except Exception as error:
        is_rival = isinstance(error, RivalDeployment)
        if isinstance(error, LedgerError) and not isinstance(error, Damaged):
            raise
        reason = known(error)
        if reason is not error:
            # A bug must still reach Heat, which waits.
            log.critical(logged(deployment=delivery.config_id, bug=reason))
        outcome = outcome_of_error(reason, aftermath(site, delivery.config_id))
    store(site, delivery.config_id, delivery.request or NOBODY, outcome, without_options=is_rival)
    if site.ledger.is_overtaken(delivery.config_id):
        # heat-config-notify would send it under the newer deployment's name.
        forget_copy(delivery.config_id)


def _outcome(site: Site, delivery: Delivery) -> Outcome:
    ledger = site.ledger
    run = ledger.run(delivery.run) if delivery.run is not None else None
    if run is not None:
        # A run that was begun is finished, also for a delivery that was overtaken: the node must not be left half-done.
        return outcome_of(site, run if run.finished else _to_its_end(site, run))
    if ledger.is_overtaken(delivery.config_id):
        return outcome_of_nothing("a newer deployment of the same resource has come", delivery.value)
    policy = Policy.from_json(delivery.policy)
    what = what_would_happen(ledger, policy, delivery.action, delivery.restore)
    log.info(
        logged(deployment=delivery.config_id, action=delivery.action, value=policy.value, do=what.do, why=what.reason)
    )
    if delivery.action in ACTIVE_ACTIONS and delivery.restore is None:
        check_rivals(ledger, policy, delivery.request or NOBODY, what)
    return carry_out(site, policy, what, delivery.config_id)


def _to_its_end(site: Site, run: Run) -> Run:
    from os_update_agent.runs import engine  # late: see carry_out

    return engine.perform(site, engine.taken_up(run))


def carry_out(site: Site, policy: Policy, what: Decision, config_id: str) -> Outcome:
    """Do what was decided. Raises LedgerError, UnsuitableNode, PendingBoot; a run that fails is an outcome."""
    ledger = site.ledger
    check_suitable(site.settings, policy, what)
    if what.do == table.NOTHING:
        return outcome_of_nothing(what.reason, policy.value)
    if what.do == table.STAY:
        return _stay(site, policy, what.reason)
    if what.do == table.BASELINE:
        state = site.backend(policy).capture()
        ledger.record_reached(policy.key, policy.value, ledger.put_state(state), None, site.clock())
        return outcome_of_baseline(policy.value, sum(package.is_present for package in state.packages))
    from os_update_agent.runs import engine  # late: what there is nothing to do for must not wait for it

    if what.do == table.BACK:
        run = engine.begin(site, policy, policy.operation, config_id=config_id)
        ledger.save_run(replace(run, phase=phases.FINISHED, finished=site.clock(), progress=Progress(reached=True)))
        return outcome_of_nothing(what.reason, policy.value)
    run = engine.begin(site, policy, what.do, config_id=config_id, state=what.state, is_first=what.is_first)
    return outcome_of(site, engine.perform(site, run))


def _stay(site: Site, policy: Policy, reason: str) -> Outcome:
    """Record the installed packages as the state of the value, and once more as that of the value that is left."""
    ledger, state = site.ledger, site.backend(policy).capture()
    history = ledger.history(policy.key)
    drift, number, current = drift_of(site, history, state), ledger.put_state(state), history.current
    if current is not None:
        ledger.record_departing(policy.key, current, number)
    ledger.record_reached(policy.key, policy.value, number, None, site.clock())
    # The drift until now: from here on the installed packages are the state of the value.
    return outcome_of_nothing(reason, policy.value)._replace(outputs=drift_output(drift))
