"""One delivery, from the moment it comes to its answer: written down, done at once or given to a worker, waited for,
sent.

The hook and the command line come here.
"""

import json
import logging
from typing import Optional

from os_update_agent.config import policy as policies
from os_update_agent.config.policy import Policy, signal_patience
from os_update_agent.config.settings import Settings
from os_update_agent.decision import table
from os_update_agent.delivery.outbox import Patience, Sending, deliver_signal
from os_update_agent.delivery.result import aftermath, encoded, readable_run, request_of, store
from os_update_agent.delivery.supervise import Watch, give_up, see_through
from os_update_agent.heat.deployed_files import forget_signal
from os_update_agent.heat.metadata import overtaken_on_arrival
from os_update_agent.heat.outcome import encode
from os_update_agent.heat.signal import DELIVERED, get_ready, send
from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, Output, Request, SignalTarget
from os_update_agent.model.errors import AgentError, BadDeployment, Bug, LedgerError, NoLongerWatched, bug
from os_update_agent.node.locks import shared_lock
from os_update_agent.runtime.context import Site, note_told, open_site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import NOTHING_CHANGED, OUTPUTS, outcome_of_error, outcome_of_nothing

log = logging.getLogger(__name__)

# How the id of a delivery begins that no Heat made.
BY_HAND = "by-hand-"


def deliver(
    settings: Settings,
    deployment: Deployment,
    *,
    signals: bool = True,
    watch: Optional[Watch] = None,
    sending: Optional[Sending] = None,
) -> str:
    """Take one delivery to its end and answer Heat. Returns the body that was, or will be, signalled.

    Nothing that can go wrong is raised: it becomes a failure that is told to Heat. ``signals`` False only returns the
    body. ``watch`` is shown the run while it is at work, and ``sending`` what the tries to send its result come to.
    """
    try:
        site = open_site(settings)
    except AgentError as error:
        return _without_ledger(settings, deployment, error, signals)
    try:
        policy = _policy(site, deployment)
    except BadDeployment as error:
        return _answer(site, deployment, outcome_of_error(error), signals, signal_patience(settings.defaults), sending)
    except LedgerError as error:
        return _without_ledger(settings, deployment, error, signals)
    newer = overtaken_on_arrival(deployment.id) if signals else None
    if newer is not None:
        log.warning(
            logged(
                deployment=deployment.id, run="none", why=f"the newer deployment {newer} of the same resource has come"
            )
        )
        forget_signal(deployment.id)
        return encoded(
            request_of(deployment), outcome_of_nothing("a newer deployment of the same resource has come", policy.value)
        )
    request = _request(deployment, signals)
    try:
        superseded = site.ledger.superseded()
        site.ledger.receive(
            Delivery(
                deployment.id,
                policy.key,
                policy.value,
                deployment.action,
                site.clock(),
                policy.as_json(),
                request=request,
            )
        )
        for overtaken in site.ledger.superseded() - superseded:
            forget_signal(overtaken)
        with shared_lock(site.settings.callers_lock):
            see_through(
                site,
                deployment.id,
                policy,
                watch,
                meanwhile=(lambda: get_ready(deployment.signal)) if signals else None,
            )
            return _answer(site, deployment, None, signals, policy.signal_timeout, sending)
    except LedgerError as error:
        return _without_ledger(settings, deployment, error, signals, changed=True)
    except AgentError as error:
        outcome = outcome_of_error(error, aftermath(site, deployment.id))
    except Exception as error:
        # A bug must still reach Heat, which waits.
        log.critical(logged(deployment=deployment.id, bug=bug(error)))
        outcome = outcome_of_error(Bug(bug(error)), aftermath(site, deployment.id))
    return _answer(site, deployment, outcome, signals, policy.signal_timeout, sending)


def _request(deployment: Deployment, signals: bool) -> Request:
    # One that nobody waits for overtakes nobody.
    return (
        request_of(deployment)
        if signals
        else Request(SignalTarget("NO_SIGNAL", resource_name=deployment.id), deployment.outputs)
    )


def _policy(site: Site, deployment: Deployment) -> Policy:
    """The policy of a delivery: the one that was written down when it came first, whatever has become of agent.conf
    since.

    Raises BadDeployment, LedgerError.
    """
    known = site.ledger.delivery(deployment.id)
    if known is not None and known.policy:
        return Policy.from_json(known.policy)
    try:
        return policies.read(deployment, site.settings.defaults)
    except BadDeployment:
        if deployment.action in table.ACTIVE_ACTIONS:
            raise
        # Nothing is done on DELETE and its like, so a wrong option does not matter: the stack must be able to go.
        return Policy(key=deployment.key)


def by_hand(site: Site, policy: Policy, *, state: Optional[int] = None, watch: Optional[Watch] = None) -> Outcome:
    """The same for an operator at the command line, who is not signalled. ``state`` is one to restore whatever the
    table says.

    ``watch`` is shown the run while it is at work. Raises LedgerError, Busy, CommandFailed, NoLongerWatched; a run that
    fails is an outcome.
    """
    import uuid  # late: it looks for the platform's own way to make one

    config_id = f"{BY_HAND}{uuid.uuid4()}"
    request = Request(SignalTarget("NO_SIGNAL", resource_name=config_id), tuple(map(Output, OUTPUTS)))
    site.ledger.receive(
        Delivery(config_id, policy.key, policy.value, "UPDATE", site.clock(), policy.as_json(), state, request=request)
    )
    try:
        see_through(site, config_id, policy, watch)
    except KeyboardInterrupt:
        raise _no_longer_watched(site, config_id) from None
    delivery = site.ledger.delivery(config_id)
    body = json.loads(delivery.body) if delivery and delivery.body else {}
    outputs = {name: body.get(name) for name in OUTPUTS}
    return Outcome(body["deploy_status_code"], body["deploy_stdout"], body["deploy_stderr"], outputs)


def _no_longer_watched(site: Site, config_id: str) -> NoLongerWatched:
    """Law 4: the transaction outlives its caller. What nobody has begun yet is withdrawn."""
    if give_up(site, config_id, NoLongerWatched("given up at the terminal")):
        given_up = NoLongerWatched(f"given up before it was begun; {NOTHING_CHANGED}")
        given_up.advice = "'os-update-agent status' says how the node stands; give the command again when it suits"
        return given_up
    delivery = site.ledger.delivery(config_id)
    run = site.ledger.run(delivery.run) if delivery and delivery.run is not None else None
    if run is not None and run.finished:
        return NoLongerWatched(f"no longer watching; run {run.id} has just ended: {run.result}; log {run.log}")
    what = (
        f"run {run.id} goes on (phase {run.phase}; log {run.log or site.run_log(run.id)})"
        if run
        else "what was begun goes on"
    )
    return NoLongerWatched(f"no longer watching; {what}: 'os-update-agent status' tells how it ends")


def refuse(settings: Optional[Settings], error: BadDeployment) -> str:
    """The answer to a delivery that cannot be used, told to whoever can be told. Without settings there is no ledger to
    keep it in.
    """
    outcome = outcome_of_error(error)
    if error.deployment is None:
        return encode(outcome, ())
    if settings is None or not error.deployment.id:
        # The ledger keeps one answer for each id: what has none would get that of the one before it.
        return _without_ledger(settings or Settings(), error.deployment, error, True)
    try:
        site = open_site(settings)
    except AgentError:
        return _without_ledger(settings, error.deployment, error, True)
    return _answer(site, error.deployment, outcome, True, signal_patience(settings.defaults))


def _answer(
    site: Site,
    deployment: Deployment,
    outcome: Optional[Outcome],
    signals: bool,
    patience: float,
    sending: Optional[Sending] = None,
) -> str:
    """Store the answer with the duty to send it, then send it. A delivery that has an answer already keeps it."""
    ledger, config_id = site.ledger, deployment.id
    request = _request(deployment, signals)
    try:
        if outcome is not None and not store(site, config_id, request, outcome):
            delivery = Delivery(config_id, deployment.key, "", deployment.action, site.clock(), request=request)
            ledger.receive_answered(
                delivery, encoded(request, outcome), None if request.signal.transport == "NO_SIGNAL" else request.signal
            )
        stored = ledger.delivery(config_id)
        run = readable_run(site, stored.run) if stored else None
        if run is not None:
            log.info(logged(deployment=config_id, run=run.id, result=run.result, log=run.log))
        if signals:
            deliver_signal(site, config_id, Patience(patience), sending)
        if site.settings.metrics is not None:
            from os_update_agent.delivery.metrics import publish  # late: most nodes have no collector

            publish(site)
        return (
            stored.body
            if stored and stored.body
            else encode(outcome_of_error(Bug("no result was stored")), deployment.outputs)
        )
    except AgentError as error:
        # The ledger, or the lock of the signals: Heat waits in any case.
        return _without_ledger(site.settings, deployment, error, signals, outcome)


def _without_ledger(
    settings: Settings,
    deployment: Deployment,
    error: AgentError,
    signals: bool,
    outcome: Optional[Outcome] = None,
    *,
    changed: bool = False,
) -> str:
    """No memory, no outbox: what is known is sent once, now. heat-config sends the returned body again.

    ``changed``: a run may have begun, and the ledger cannot tell.
    """
    aftermath = (
        "what has become of the packages is not known before the ledger can be read again"
        if changed
        else NOTHING_CHANGED
    )
    body = encoded(request_of(deployment), outcome or outcome_of_error(error, aftermath))
    if signals and overtaken_on_arrival(deployment.id) is None:
        answer = send(deployment.signal, body, ca_certificate=settings.ca_certificate)
        if answer.verdict == DELIVERED and deployment.id:
            note_told(settings, deployment.id)
            forget_signal(deployment.id)
        log.error(logged(deployment=deployment.id, ledger=error, signal=answer.verdict, answer=answer.reason))
    return body
