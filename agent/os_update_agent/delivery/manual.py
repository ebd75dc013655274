"""One delivery that an operator makes at the command line: an update or a rollback, recorded like those of Heat."""

import json
import uuid
from typing import Optional

from os_update_agent.config.policy import Policy
from os_update_agent.delivery.supervise import Watch, give_up, see_through
from os_update_agent.model.deliveries import Delivery, Outcome, Output, Request, SignalTarget
from os_update_agent.model.errors import LedgerError, NoLongerWatched
from os_update_agent.runtime.context import Site
from os_update_agent.text.outcomes import NOTHING_CHANGED
from os_update_agent.text.outputs import OUTPUTS

# How the id of a delivery begins that no Heat made.
BY_HAND = "by-hand-"


def deliver_by_hand(
    site: Site, policy: Policy, *, state: Optional[int] = None, watch: Optional[Watch] = None
) -> Outcome:
    """Take a delivery of an operator to its end. No signal is sent for it.

    ``state`` is a state to restore whatever the table says. ``watch`` is called with the run while it is at work.
    Raises LedgerError, Busy, CommandFailed, NoLongerWatched; a run that fails is an outcome.
    """
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
    """Withdraw the delivery if no worker has begun it, else let its worker go on (law 4).

    Returns what the operator reads.
    """
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
