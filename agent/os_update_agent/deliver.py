"""One delivery, from its JSON to its answer: receive, lock, resume, decide, run, report. The one code path of hook and command line."""

import logging
import uuid
from typing import Optional

from os_update_agent import decision, update
from os_update_agent import policy as policies
from os_update_agent.conclusion import encoded, outcome_of, request_of, store
from os_update_agent.decision import Decision, decide
from os_update_agent.errors import BUG_STATUS, AgentError, BadDeployment, LedgerError, bug
from os_update_agent.heat.outcome import encode
from os_update_agent.heat.signal import send
from os_update_agent.model import Delivery, Deployment, Outcome
from os_update_agent.node.lock import node_lock
from os_update_agent.outbox import Patience, deliver_signal
from os_update_agent.policy import Policy
from os_update_agent.report import (
    outcome_of_baseline,
    outcome_of_error,
    outcome_of_nothing,
    shown,
)
from os_update_agent.resume import resume
from os_update_agent.settings import Settings
from os_update_agent.site import Site, open_site

log = logging.getLogger(__name__)

_RUNS = {
    decision.UPDATE: update.UPDATE,
    decision.RESTORE: update.RESTORE,
    decision.DOWNLOAD: update.DOWNLOAD,
    decision.ASSESS: update.ASSESS,
}


def deliver(settings: Settings, deployment: Deployment, *, signals: bool = True) -> str:
    """Take one delivery to its end and answer Heat. Returns the body that was, or will be, signalled.

    Nothing that can go wrong is raised: it becomes a failure that is told to Heat. ``signals`` False only returns the body.
    """
    try:
        site = open_site(settings)
    except AgentError as error:
        return _without_ledger(settings, deployment, error, signals)
    try:
        policy = policies.read(deployment, settings.defaults)
    except BadDeployment as error:
        policy = Policy(key=deployment.key)
        return _answer(site, deployment, policy, outcome_of_error(str(error), error.exit_status), signals)
    try:
        outcome = _locked(site, deployment, policy)
    except LedgerError as error:
        return _without_ledger(settings, deployment, error, signals)
    except AgentError as error:
        outcome = outcome_of_error(str(error), error.exit_status)
    except Exception as error:
        # A bug must still reach Heat, which waits.
        log.critical("deployment=%s: %s", deployment.id, bug(error))
        outcome = outcome_of_error(bug(error), BUG_STATUS)
    return _answer(site, deployment, policy, outcome, signals)


def by_hand(site: Site, policy: Policy, *, state: Optional[int] = None) -> Outcome:
    """The same for an operator at the command line, who is not signalled. ``state`` is one to restore whatever the table says.

    Raises LedgerError, Busy, PackageError; a run that fails is an outcome.
    """
    config_id = f"by-hand-{uuid.uuid4()}"
    with node_lock(site.settings.lock, doing="a run by hand", timeout=policy.lock_timeout):
        resume(site)
        what = decide(site.ledger.history(policy.key), "UPDATE", policy.value, operation=policy.operation)
        if state is not None:
            what = Decision(decision.RESTORE, "asked for by hand", state)
        site.ledger.receive(Delivery(config_id, policy.key, policy.value, "UPDATE", site.clock()))
        outcome = carry_out(site, policy, what, config_id)
        site.ledger.finish(config_id, encode(outcome, ()), None, site.clock())
    return outcome


def refuse(settings: Settings, error: BadDeployment) -> str:
    """The answer to a delivery that cannot be used, told to whoever can be told."""
    outcome = outcome_of_error(str(error), error.exit_status)
    if error.deployment is None:
        return encode(outcome, ())
    if not error.deployment.id:
        # The ledger keeps one answer for each id: what has none would get that of the one before it.
        return _without_ledger(settings, error.deployment, error, True)
    try:
        site = open_site(settings)
    except AgentError:
        return _without_ledger(settings, error.deployment, error, True)
    return _answer(site, error.deployment, Policy(key=error.deployment.key), outcome, True)


def _locked(site: Site, deployment: Deployment, policy: Policy) -> Optional[Outcome]:
    """The outcome of the delivery; None when it had one before."""
    doing = f"deployment {deployment.id} ({deployment.action})"
    with node_lock(site.settings.lock, doing=doing, timeout=policy.lock_timeout):
        delivery = _receive(site, deployment, policy)
        resume(site)
        delivery = site.ledger.delivery(deployment.id) or delivery
        what = decide(
            site.ledger.history(policy.key),
            deployment.action,
            policy.value,
            operation=policy.operation,
            is_finished=delivery.finished is not None,
        )
        log.info("deployment=%s action=%s value=%s do=%s: %s", deployment.id, deployment.action, shown(policy.value), what.do, what.reason)
        return None if what.do == decision.REPEAT else carry_out(site, policy, what, deployment.id)


def _receive(site: Site, deployment: Deployment, policy: Policy) -> Delivery:
    return site.ledger.receive(
        Delivery(deployment.id, policy.key, policy.value, deployment.action, site.clock(), request=request_of(deployment))
    )


def carry_out(site: Site, policy: Policy, what: Decision, config_id: str) -> Outcome:
    """Do what was decided. Raises LedgerError; a run that fails is an outcome."""
    ledger = site.ledger
    if what.do == decision.NOTHING:
        record = ledger.history(policy.key).record(policy.value)
        if record is None and policy.value and policy.operation != "update":
            ledger.record_tried(policy.key, policy.value, 0, site.clock())
        digest = ledger.digest(record.state) if record and record.state is not None else ""
        return outcome_of_nothing(what.reason, policy.value, digest)
    if what.do == decision.BASELINE:
        state = site.backend(policy).capture()
        ledger.record_reached(policy.key, policy.value, ledger.put_state(state), None, site.clock())
        return outcome_of_baseline(policy.value, state.digest, sum(package.is_present for package in state.packages))
    run = update.begin(site, policy, _RUNS[what.do], config_id=config_id, state=what.state, is_first=what.is_first)
    ledger.attach(config_id, run.id)
    return outcome_of(site, update.perform(site, run))


def _answer(site: Site, deployment: Deployment, policy: Policy, outcome: Optional[Outcome], signals: bool) -> str:
    """Store the answer with the duty to send it, then send it. A delivery that has an answer already keeps it."""
    ledger, config_id = site.ledger, deployment.id
    try:
        if outcome is not None:
            _receive(site, deployment, policy)
            store(site, config_id, request_of(deployment), outcome, signals=signals)
        stored = ledger.delivery(config_id)
        if signals:
            deliver_signal(site, config_id, Patience(policy.signal_timeout))
        return stored.body if stored and stored.body else encode(outcome_of_error("no result was stored", BUG_STATUS), deployment.outputs)
    except LedgerError as error:
        return _without_ledger(site.settings, deployment, error, signals, outcome)


def _without_ledger(settings: Settings, deployment: Deployment, error: AgentError, signals: bool, outcome: Optional[Outcome] = None) -> str:
    """No memory, no outbox: what is known is sent once, now. heat-config sends the returned body again."""
    body = encoded(request_of(deployment), outcome or outcome_of_error(str(error), error.exit_status))
    if signals:
        answer = send(deployment.signal, body, ca_certificate=settings.ca_certificate)
        log.error("%s; signal %s: %s", error, answer.verdict, answer.reason)
    return body
