"""One road for the result of a delivery (law 11): store it, send it, return what the ledger holds.

The hook, the command line, and the stand-in for heat-config-notify use this road, whatever happened before. An
exception on the sending side never replaces a stored result: it is logged, and the signal stays owed. Without a usable
ledger the result is sent once, and returned.
"""

import json
import logging
import time
from typing import NamedTuple, Optional

from os_update_agent.config.policy import signal_patience
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.locks import is_at_work
from os_update_agent.delivery.node_facts import facts_without_ledger
from os_update_agent.delivery.outbox import Patience, Sending, deliver_signal, forget_copy, only_logged
from os_update_agent.delivery.result import aftermath, described, encoded, readable_run, request_of, store
from os_update_agent.heat.metadata import overtaken_on_arrival
from os_update_agent.heat.signal import send
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, Answer
from os_update_agent.heat.stored_objects import APART_SECONDS
from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, Request, SignalTarget
from os_update_agent.model.errors import Bug, LedgerError, known
from os_update_agent.runtime.context import Site, note_told, open_site, trusted_certificate
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import NOTHING_CHANGED, outcome_of_error, with_node

log = logging.getLogger(__name__)

# Between two looks at the ledger while a worker goes on although its caller has failed.
WAIT_SECONDS = 0.5
UNKNOWN = "the state of the packages is not known until the ledger can be read again"


class Addressee(NamedTuple):
    """The deployment that gets the result. Without ``signals`` the result is only returned.

    ``site`` is None where there is no usable ledger; ``patience`` is in seconds, None means the node's default.
    ``keeps_notes`` is False where the settings are only those that are built in.
    """

    settings: Settings
    deployment: Deployment
    signals: bool = True
    sending: Optional[Sending] = None
    site: Optional[Site] = None
    patience: Optional[float] = None
    keeps_notes: bool = True

    @property
    def request(self) -> Request:
        """Where the result goes. A delivery without a signal must not supersede another one."""
        if self.signals:
            return request_of(self.deployment)
        return Request(SignalTarget("NO_SIGNAL", resource_name=self.deployment.id), self.deployment.outputs)


def answer(to: Addressee, outcome: Optional[Outcome] = None) -> str:
    """Store the outcome unless the delivery has a result already, send the result, and return it.

    ``outcome`` None means that the ledger holds the result. Raises no Exception.
    """
    body: Optional[str] = None
    try:
        body = _stored(to, outcome)
    except Exception as error:
        log.error(logged(deployment=to.deployment.id, stored="no", why=known(error)))
        outcome = outcome or outcome_of_error(known(error), UNKNOWN)
    if body is None or to.site is None:
        outcome = outcome or outcome_of_error(Bug("no result was stored"), UNKNOWN)
        body = plain(with_node(outcome, facts_without_ledger(to.settings)), request_of(to.deployment))
        if to.signals:
            send_unstored(to, body)
        return body
    _finish(to.site, to)
    return body


def answer_error(to: Addressee, error: Exception, *, is_received: bool = False) -> str:
    """Answer a delivery that an error of its caller has ended. ``is_received``: a worker may have taken it up."""
    reason = known(error)
    if reason is not error:
        # A bug must still reach Heat as a failure.
        log.critical(logged(deployment=to.deployment.id, bug=reason))
    after = NOTHING_CHANGED
    if is_received and to.site is not None:
        if _has_result_of_worker(to.site, to.deployment.id):
            return answer(to)
        after = UNKNOWN
        if not isinstance(error, LedgerError):
            with only_logged("aftermath", to.deployment.id):
                after = aftermath(to.site, to.deployment.id)
    return answer(to, outcome_of_error(reason, after))


def _has_result_of_worker(site: Site, config_id: str) -> bool:
    """Return whether the delivery has a result, once no worker is at work on it any more.

    The error is one of the caller: a worker that has taken the delivery up goes on, and its result is the true one.
    """
    while True:
        is_over = not is_at_work(site.settings)
        with only_logged("wait", config_id):
            delivery = site.ledger.delivery(config_id)
            if delivery is None or delivery.finished is not None:
                return delivery is not None
        if is_over:
            return False
        time.sleep(WAIT_SECONDS)


def plain(outcome: Outcome, request: Request) -> str:
    """The result as JSON, in its shortest form where encoding it fails: the caller always gets a status code."""
    try:
        return encoded(request, outcome)
    except Exception as error:
        reason = known(error)
        log.critical(logged(bug=reason))
        body = {"deploy_stdout": "", "deploy_stderr": f"{reason}\n", "deploy_status_code": reason.exit_status}
        return json.dumps(body)


def _finish(site: Site, to: Addressee) -> None:
    """Send a stored result and publish the metrics. Whatever fails is logged."""
    config_id = to.deployment.id
    with only_logged("run", config_id):
        stored = site.ledger.delivery(config_id)
        run = readable_run(site, stored.run) if stored else None
        if run is not None:
            log.info(logged(deployment=config_id, run=run.id, result=run.result, log=run.log))
    if to.signals:
        with only_logged("signal", config_id):
            patience = signal_patience(site.settings.defaults) if to.patience is None else to.patience
            deliver_signal(site, config_id, Patience(patience), to.sending)
    if site.settings.metrics is not None:
        with only_logged("metrics", config_id):
            from os_update_agent.delivery.metrics import publish  # late: most nodes have no collector

            publish(site)


def send_unstored(to: Addressee, body: str) -> Answer:
    """Send a result that no ledger keeps, once and now. Raises nothing."""
    found = Answer(AGAIN, "the result was not sent")
    with only_logged("signal", to.deployment.id):
        if is_superseded(to.deployment):
            return Answer(DELIVERED, "a newer deployment of the same resource has come")
        if to.deployment.signal.transport == "TEMP_URL_SIGNAL":
            time.sleep(APART_SECONDS)
        found = send(to.deployment.signal, body, ca_certificate=trusted_certificate(to.settings))
        log.error(logged(deployment=to.deployment.id, kept="no", signal=found.verdict, answer=found.reason))
        if found.verdict == DELIVERED and to.deployment.id:
            if to.keeps_notes:
                note_told(to.settings, to.deployment.id)
            forget_copy(to.deployment.id)
    return found


def newer_than(deployment: Deployment) -> Optional[str]:
    """The config id of a newer deployment of the same resource, None where there is none or the list is unusable."""
    with only_logged("list", deployment.id):
        return overtaken_on_arrival(deployment.id)
    return None


def is_superseded(deployment: Deployment) -> bool:
    """Would Heat take the result for that of a newer deployment? Never outside of a stack, where each has its own
    URL.
    """
    return bool(deployment.stack_id) and newer_than(deployment) is not None


def stored_result(settings: Settings, config_id: str) -> Optional[str]:
    """The result that the ledger holds for a delivery, None where there is none yet. Raises LedgerError."""
    delivery = open_site(settings).ledger.delivery(config_id)
    return delivery.body if delivery is not None else None


def answer_with(to: Addressee, body: str) -> bool:
    """Take the road with a result that another hook has made. Returns whether Heat accepted it or no longer waits.

    Raises no Exception.
    """
    if to.site is None:
        return send_unstored(to, body).verdict == DELIVERED
    config_id, deployment = to.deployment.id, to.deployment
    delivery = Delivery(config_id, deployment.key, "", deployment.action, to.site.clock(), request=to.request)
    try:
        to.site.ledger.receive_answered(delivery, body, deployment.signal)
    except Exception as error:
        log.error(logged(deployment=config_id, stored="no", why=known(error)))
        return send_unstored(to, body).verdict == DELIVERED
    _finish(to.site, to)
    with only_logged("signal", config_id):
        left = [
            signal for signal in to.site.ledger.signals(config_id) if signal.standing not in ("delivered", "superseded")
        ]
        for signal in left:
            log.error(logged(deployment=config_id, signal=signal.standing, answer=signal.last_answer))
        return not left
    return False


def _stored(to: Addressee, outcome: Optional[Outcome]) -> Optional[str]:
    """The result that the ledger holds after ``outcome`` was stored. None where no ledger can hold it.

    Raises LedgerError.
    """
    site, config_id = to.site, to.deployment.id
    if site is None or not config_id:
        # The ledger keeps one result for each id: deliveries without an id would share one.
        return None
    if outcome is not None and not store(site, config_id, to.request, outcome):
        delivery = Delivery(config_id, to.deployment.key, "", to.deployment.action, site.clock(), request=to.request)
        target = None if to.request.signal.transport == "NO_SIGNAL" else to.request.signal
        outcome = described(site, delivery, outcome)
        site.ledger.receive_answered(delivery, encoded(to.request, outcome), target)
    stored = site.ledger.delivery(config_id)
    return stored.body if stored is not None else None
