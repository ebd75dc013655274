"""One delivery from its arrival to its result: recorded, done at once or given to a worker, waited for, answered.

The hook and the command line call this module.
"""

import contextlib
import logging
from typing import TYPE_CHECKING, Optional

from os_update_agent.config import policy as policies
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.answer import Addressee, answer, answer_error, newer_than, plain
from os_update_agent.delivery.locks import waiting
from os_update_agent.delivery.outbox import Sending, forget_copy
from os_update_agent.heat.signal import get_ready
from os_update_agent.model.deliveries import ACTIVE_ACTIONS, INACTIVE_ACTIONS, Delivery, Deployment
from os_update_agent.model.errors import BadDeployment, LedgerError, UnsuitableNode
from os_update_agent.node.trusted_paths import Untrusted
from os_update_agent.runtime import imports
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import outcome_of_nothing, outcome_of_overtaken

if TYPE_CHECKING:
    from os_update_agent.delivery.supervise import Watch

log = logging.getLogger(__name__)

# The deployment of an input in which none can be recognized.
NOBODY = Deployment("", "", "", "", "", "")


def deliver(
    settings: Settings,
    deployment: Deployment,
    *,
    signals: bool = True,
    watch: "Optional[Watch]" = None,
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
        known = site.ledger.delivery(deployment.id)
        policy = _policy(site, deployment, known)
        to = to._replace(patience=policy.signal_timeout)
        newer = newer_than(deployment) if signals else None
        # Outside of a stack a deployment that the ledger knows is taken to its end: Heat waits for its own result.
        if newer is not None and (deployment.stack_id or known is None):
            return _overtaken(to, newer, policy.value)
        _receive(site, to, policy)
        is_received = True
        with waiting(settings, deployment.id):
            if known is None or known.finished is None:
                from os_update_agent.delivery.supervise import see_through  # late: an answered delivery needs no worker

                see_through(
                    site,
                    deployment.id,
                    policy,
                    watch,
                    meanwhile=lambda: _get_ready(deployment, signals=signals),
                )
            return answer(to)
    except Exception as error:
        if not is_received and _does_not_matter(error, deployment):
            return _not_touched(to, error)
        return answer_error(to, error if to.site is not None else _unusable(to, error), is_received=is_received)


def _does_not_matter(error: Exception, deployment: Optional[Deployment]) -> bool:
    """Return whether a delivery that touches no package can succeed in spite of the error: the stack must be able to
    go.
    """
    is_inactive = deployment is not None and deployment.action in INACTIVE_ACTIONS
    return is_inactive and isinstance(error, (Untrusted, LedgerError, BadDeployment))


def _not_touched(to: Addressee, error: Exception) -> str:
    """Answer a delivery of DELETE, SUSPEND or RESUME, and name the error."""
    log.error(logged(deployment=to.deployment.id, action=to.deployment.action, ignored=error))
    reason = f"packages are not touched on {to.deployment.action}, so this error does not matter: {error}"
    return answer(to, outcome_of_nothing(reason, ""))


def _unusable(to: Addressee, error: Exception) -> Exception:
    """Return why the node cannot be updated at all, where that may be why its ledger cannot be written."""
    if isinstance(error, LedgerError) and to.deployment.action in ACTIVE_ACTIONS:
        from os_update_agent.delivery.suitability import why_unsuitable  # late: hardly any node has this

        why = why_unsuitable(to.settings)
        return UnsuitableNode(why) if why else error
    return error


def refuse(settings: Optional[Settings], deployment: Optional[Deployment], error: Exception) -> str:
    """Answer a delivery that cannot be used. Without settings there is no ledger to keep the result in.

    Without a deployment not even the signal's target is known, and the result is only returned. Raises no Exception.
    """
    to = Addressee(settings or Settings(), deployment or NOBODY, signals=deployment is not None)
    to = to._replace(keeps_notes=settings is not None)
    if settings is not None:
        with contextlib.suppress(Exception):
            to = to._replace(site=open_site(settings))
    if _does_not_matter(error, deployment):
        return _not_touched(to, error)
    return answer_error(to, error)


def _get_ready(deployment: Deployment, *, signals: bool) -> None:
    """Load what is needed when the run has ended: it may be replacing Python."""
    imports.load_small()
    if signals:
        get_ready(deployment.signal)


def _overtaken(to: Addressee, newer: str, value: str) -> str:
    """A delivery that is superseded when it arrives is not run. Nobody waits for its result, except outside of a stack:
    there each deployment waits for its own, and one that was not run is no success.
    """
    same = "resource" if to.deployment.stack_id else "name"
    why = f"the newer deployment {newer} of the same {same} has come"
    log.warning(logged(deployment=to.deployment.id, run="none", why=why))
    if not to.deployment.stack_id:
        return answer(to, outcome_of_overtaken(value))
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


def _policy(site: Site, deployment: Deployment, known: Optional[Delivery]) -> Policy:
    """Return the policy of a delivery: the stored one of a ``known`` delivery, whatever agent.conf says now.

    Raises BadDeployment, LedgerError.
    """
    if known is not None and known.policy:
        return Policy.from_json(known.policy)
    try:
        return policies.read(deployment, site.settings.defaults)
    except BadDeployment:
        if deployment.action in ACTIVE_ACTIONS:
            raise
        # Nothing is done on DELETE and its like, so a wrong option does not matter: the stack must be able to go.
        return policies.of_defaults(deployment.key, site.settings.defaults)
