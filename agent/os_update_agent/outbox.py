"""What is owed to Heat: send it until it is taken, drop what is superseded, keep the rest for the next time (law 5)."""

import logging
import random
import time
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

from os_update_agent.heat.signal import AGAIN, DELIVERED, Answer, send
from os_update_agent.model import OwedSignal
from os_update_agent.node.lock import short_lock
from os_update_agent.site import Site

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Patience:
    """How long to try one signal: ``total`` seconds for all tries; 0 is one try. Pauses double and are jittered."""

    total: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


ONE_TRY = Patience(0.0)


def send_owed(site: Site, patience: Patience = ONE_TRY) -> Tuple[OwedSignal, ...]:
    """Try everything that is owed; returns what is still owed."""
    for signal in site.ledger.owed():
        deliver_signal(site, signal.config_id, patience)
    return site.ledger.owed()


def deliver_signal(site: Site, config_id: str, patience: Patience) -> bool:
    """Send one result until it is taken, refused for good, superseded, or the patience is at its end. Is it taken?"""
    end = patience.clock() + patience.total
    pause = FIRST_PAUSE
    while True:
        answer = _try(site, config_id)
        if answer is None:
            return False
        if answer.verdict != AGAIN:
            return answer.verdict == DELIVERED
        # Full jitter on the upper half: a thousand nodes must not come back in the same second.
        wait = pause * (0.5 + patience.jitter() / 2)
        if patience.clock() + wait > end:
            log.warning(
                "signal config=%s owed: %s; it is kept and sent by the next run or by 'os-update-agent resume'", config_id, answer.reason
            )
            return False
        patience.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _try(site: Site, config_id: str) -> Optional[Answer]:
    """One try, unless the result is no longer owed: somebody else may have sent or superseded it meanwhile.

    One sender at a time on the node: the caller of a delivery and its worker both try, and Heat is to get each result once.
    """
    with short_lock(site.settings.outbox_lock):
        owed = next((signal for signal in site.ledger.signals(config_id) if signal.standing == "owed"), None)
        if owed is None or owed.target is None:
            return None
        answer = send(owed.target, owed.body, ca_certificate=site.settings.ca_certificate)
        standing = {DELIVERED: "delivered", AGAIN: "owed"}.get(answer.verdict, "refused")
        site.ledger.settle(config_id, standing, answer.reason, site.clock())
    log.info("signal config=%s transport=%s %s: %s", config_id, owed.target.transport, standing, answer.reason)
    return answer
