"""One delivery from its arrival to its result: recorded, done at once or given to a worker, waited for, answered.

The hook and the command line call this module.
"""

import contextlib
import json
import logging
from typing import Optional

from os_update_agent.config import policy as policies
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.decision import table
from os_update_agent.delivery.answer import Addressee, answer, answer_error, newer_than, plain
from os_update_agent.delivery.locks import waiting
from os_update_agent.delivery.outbox import Sending, forget_copy
from os_update_agent.delivery.supervise import Watch, give_up, see_through
from os_update_agent.heat.signal import get_ready
from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, Output, Request, SignalTarget
from os_update_agent.model.errors import BadDeployment, LedgerError, NoLongerWatched
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import NOTHING_CHANGED, OUTPUTS, outcome_of_nothing

log = logging.getLogger(__name__)

# How the id of a delivery begins that no Heat made.
BY_HAND = "by-hand-"
# The deployment of an input in which none can be recognized.
NOBODY = Deployment("", "", "", "", "", "")


def deliver(
    settings: Settings,
    deployment: Deployment,
    *,
    signals: bool = True,
    watch: Optional[Watch] = None,
    sending: Optional[Sending] = None,
) -> str:
    """Take one delivery to its end and answer Heat. Returns the body that was, or will be, signaled.

    Raises no Exception: each becomes a failure that is reported to Heat. ``signals`` False only returns the body.
    ``watch`` is called with the run. ``sending`` gets the server's answers to the tries to send.
    """
    to, is_received = Addressee(settings, deployment, signals, sending), False
    try:
        site = open_site(settings)
        to = to._replace(site=site)
        policy = _policy(site, deployment)
        to = to._replace(patience=policy.signal_timeout)
        newer = newer_than(deployment) if signals else None
        if newer is not None:
            return _overtaken(to, newer, policy.value)
        _receive(site, to, policy)
        is_received = True
        with waiting(settings, deployment.id):
            see_through(
                site,
                deployment.id,
                policy,
                watch,
                meanwhile=(lambda: get_ready(deployment.signal)) if signals else None,
            )
            return answer(to)
    except Exception as error:
        return answer_error(to, error, is_received=is_received)


def refuse(settings: Optional[Settings], deployment: Optional[Deployment], error: Exception) -> str:
    """Answer a delivery that cannot be used. Without settings there is no ledger to keep the result in.

    Without a deployment not even the signal's target is known, and the result is only returned. Raises no Exception.
    """
    to = Addressee(settings or Settings(), deployment or NOBODY, signals=deployment is not None)
    if settings is not None:
        with contextlib.suppress(Exception):
            to = to._replace(site=open_site(settings))
    return answer_error(to, error)


def _overtaken(to: Addressee, newer: str, value: str) -> str:
    """A delivery that is superseded when it arrives is not run, and nobody waits for its result."""
    why = f"the newer deployment {newer} of the same resource has come"
    log.warning(logged(deployment=to.deployment.id, run="none", why=why))
    forget_copy(to.deployment.id)
    return plain(outcome_of_nothing("a newer deployment of the same resource has come", value), to.request)


def _receive(site: Site, to: Addressee, policy: Policy) -> None:
    """Record the delivery. Raises LedgerError."""
    deployment, superseded = to.deployment, site.ledger.superseded()
    site.ledger.receive(
        Delivery(
            deployment.id,
            policy.key,
            policy.value,
            deployment.action,
            site.clock(),
            policy.as_json(),
            request=to.request,
        )
    )
    for overtaken in site.ledger.superseded() - superseded:
        forget_copy(overtaken)


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
    if delivery is None or delivery.body is None:
        raise LedgerError(f"the ledger holds no result of the run: 'os-update-agent history' may name it ({config_id})")
    body = json.loads(delivery.body)
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
