"""The results that Heat has not accepted yet: send each until it is accepted, and drop superseded ones (law 5)."""

import logging
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Tuple

from os_update_agent.config.policy import signal_patience
from os_update_agent.delivery.locks import sending_lock
from os_update_agent.heat.alternate_targets import other_targets
from os_update_agent.heat.deployed_files import forget_signal
from os_update_agent.heat.metadata import is_current, listed_ids
from os_update_agent.heat.signal import send
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, NEVER, Answer
from os_update_agent.model.deliveries import OwedSignal, SignalTarget
from os_update_agent.model.errors import Damaged, LedgerError, known
from os_update_agent.runtime.context import Site, note_told, was_told
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
# Stacks time out after an hour, unless their owner says otherwise.
REFUSED_SECONDS = 7 * 24 * 3600.0

# Is shown that a result is being sent, and what the last try came to: '' before the first one.
Sending = Callable[[str], None]


def _chance() -> float:
    import random  # late: only a signal that is not taken at once needs it

    return random.random()


class Patience(NamedTuple):
    """How long to try one signal: ``total`` seconds for all tries; 0 is one try. Pauses double and are jittered."""

    total: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = _chance


def send_owed(
    site: Site, patience: Optional[Patience] = None, sending: Optional[Sending] = None
) -> Tuple[OwedSignal, ...]:
    """Send every result that is owed. Returns what is still owed.

    Each is tried as long as its own delivery asks for, unless ``patience`` is given. A result that cannot be sent stops
    no other one. Raises LedgerError.
    """
    with only_logged("refused", ""):
        end_refused(site)
    for signal in site.ledger.owed():
        with only_logged("signal", signal.config_id):
            deliver_signal(site, signal.config_id, patience or _own_patience(site, signal.config_id), sending)
    return site.ledger.owed()


def end_refused(site: Site) -> None:
    """Drop the refused results that nobody can wait for any more, so that status and metrics do not count them for
    ever: those of deployments that Heat does not list, and those older than any stack's timeout.
    """
    refused = [signal for signal in site.ledger.signals() if signal.standing == "refused"]
    listed = listed_ids(site.settings.collect_config) if refused else None
    for signal in refused:
        # A clock that was ahead must not keep it for years.
        is_late = abs(site.clock() - signal.updated) > REFUSED_SECONDS
        if is_late or (listed is not None and signal.config_id not in listed):
            why = "Heat refused it long ago" if is_late else "Heat does not list its deployment any more"
            site.ledger.drop_refused(signal.config_id)
            log.warning(logged(deployment=signal.config_id, refused=signal.last_answer, dropped="yes", why=why))


def _own_patience(site: Site, config_id: str) -> Patience:
    policy: Mapping[str, Any] = {}
    with suppress(Damaged):
        delivery = site.ledger.delivery(config_id)
        policy = delivery.policy if delivery else {}
    return Patience(float(policy.get("signal_timeout", signal_patience(site.settings.defaults))))


def deliver_signal(site: Site, config_id: str, patience: Patience, sending: Optional[Sending] = None) -> bool:
    """Send one result until it is taken, refused for good, superseded, or the patience is at its end. Is it taken?"""
    end = patience.clock() + patience.total
    pause = FIRST_PAUSE
    if sending is not None:
        sending("")
    while True:
        answer = _try(site, config_id)
        if answer is None:
            return False
        if answer.verdict != AGAIN:
            return answer.verdict == DELIVERED
        # Full jitter on the upper half: a thousand nodes must not come back in the same second.
        wait = pause * (0.5 + patience.jitter() / 2)
        if patience.clock() + wait > end:
            log.warning(logged(deployment=config_id, signal="owed", why=answer.reason, next="os-update-agent resume"))
            return False
        if sending is not None:
            sending(answer.reason)
        patience.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _try(site: Site, config_id: str) -> Optional[Answer]:
    """One try, unless the result is no longer owed: somebody else may have sent or superseded it meanwhile.

    Raises LedgerError, Busy, AgentError.
    """
    ledger = site.ledger
    with sending_lock(site.settings, config_id):
        signals = ledger.signals(config_id)
        owed = next((signal for signal in signals if signal.standing == "owed"), None)
        if owed is None or owed.target is None:
            if any(signal.standing in ("delivered", "superseded") for signal in signals):
                # heat-config, which has run the hook once more, has written its copy anew.
                forget_copy(config_id)
            return None
        if was_told(site.settings, config_id):
            # Heat accepted this result when the ledger could not record it.
            ledger.settle(config_id, "delivered", "Heat has accepted it before", site.clock())
            return None
        if _is_given_up(site, config_id, owed.target):
            ledger.settle(config_id, "superseded", "Heat lists another deployment in its place", site.clock())
            log.warning(
                logged(deployment=config_id, signal="superseded", why="Heat lists another deployment in its place")
            )
            forget_copy(config_id)
            return None
        answer = _sent(site, config_id, owed.target, owed.body)
        standing = {DELIVERED: "delivered", AGAIN: "owed"}.get(answer.verdict, "refused")
        _settle(site, config_id, standing, answer.reason)
    log.info(logged(deployment=config_id, signal=standing, transport=owed.target.transport, answer=answer.reason))
    return answer


def _settle(site: Site, config_id: str, standing: str, reason: str) -> None:
    """Record the answer to a try. Raises LedgerError."""
    try:
        site.ledger.settle(config_id, standing, reason, site.clock())
    except LedgerError:
        if standing == "delivered":
            # The next try would send the result a second time.
            note_told(site.settings, config_id)
        raise
    if standing == "delivered":
        forget_copy(config_id)


def _is_given_up(site: Site, config_id: str, target: SignalTarget) -> bool:
    """Does Heat list another deployment instead? False where the list cannot be read.

    Asked before every try, also for a delivery that has just arrived: Heat's shortest timeout is a minute, and the list
    may be as old.
    """
    with only_logged("list", config_id):
        return is_current(config_id, target.stack_id, target.resource_name, site.settings.collect_config) is False
    return False


def _sent(site: Site, config_id: str, target: SignalTarget, body: str) -> Answer:
    """Send the result; try the alternative targets of this node for a CFN_SIGNAL that is refused.

    Heat refuses one 15 minutes after it made the URL.
    """
    certificate = site.settings.ca_certificate
    answer = send(target, body, ca_certificate=certificate)
    if answer.verdict == NEVER:
        with only_logged("alternative", config_id):
            for other in other_targets(target, site.settings.collect_config):
                second = send(other, body, ca_certificate=certificate)
                log.info(logged(signal="refused", why=answer.reason, instead=other.transport, answer=second.reason))
                if second.verdict != NEVER:
                    return second
    return answer


def forget_copy(config_id: str) -> None:
    """Take the signal out of heat-config's copy. A copy that cannot be written does not fail a delivery."""
    with only_logged("copy", config_id):
        forget_signal(config_id)


@contextmanager
def only_logged(what: str, config_id: str) -> Iterator[None]:
    """Log an exception of the sending side: it must not replace a stored result."""
    try:
        yield
    except Exception as error:
        log.error(logged(deployment=config_id, failed=what, why=known(error), next="os-update-agent resume"))
