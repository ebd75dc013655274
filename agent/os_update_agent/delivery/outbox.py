"""The results that Heat has not accepted yet: send each until it is accepted, and drop superseded ones (law 5)."""

import logging
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from os_update_agent.config.policy import signal_patience
from os_update_agent.delivery.locks import SENDING_SECONDS, Wakes, is_waited_for, sending_claim
from os_update_agent.delivery.rounds import Patience as Patience  # most modules look for it here
from os_update_agent.delivery.rounds import Tried, Turn, take_turns
from os_update_agent.heat.alternate_targets import other_targets
from os_update_agent.heat.deployed_files import forget_signal
from os_update_agent.heat.metadata import COLLECT_SECONDS, address_of, is_current, listed_ids
from os_update_agent.heat.signal import CONNECT_SECONDS, GRACE, READ_SECONDS, send
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, NEVER, Answer
from os_update_agent.heat.signal_target import server_of
from os_update_agent.heat.stored_objects import APART_SECONDS
from os_update_agent.model.deliveries import OwedSignal, SignalTarget
from os_update_agent.model.errors import Damaged, LedgerError, known
from os_update_agent.node.locks import Claim, process_name
from os_update_agent.runtime.context import Site, note_told, was_told
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

# Stacks time out after an hour, unless their owner says otherwise.
REFUSED_SECONDS = 7 * 24 * 3600.0
# The longest that one try takes: Heat's list, and one signal. The alternative targets get what is left of it.
TRY_SECONDS = COLLECT_SECONDS + CONNECT_SECONDS + READ_SECONDS + GRACE
# With less left than this no alternative target is tried.
SHORTEST_SECONDS = GRACE + 5.0
# A caller that is there sends its own result; after that it is helped.
CALLER_SECONDS = 1.0
# A claim that another process holds for so long is worth a line in the log.
NOTED_SECONDS = 1.0

# Is shown that a result is being sent, and what the last try came to: '' before the first one.
Sending = Callable[[str], None]


def send_owed(
    site: Site, patience: Optional[Patience] = None, sending: Optional[Sending] = None, wakes: Optional[Wakes] = None
) -> Tuple[OwedSignal, ...]:
    """Send every result that is owed, in turn: one that cannot be sent delays the others by one try. Returns what is
    still owed.

    Each is tried as long as its own delivery asks for, unless ``patience`` is given. With ``wakes`` the results that
    become owed meanwhile are sent as well, and all are tried anew when somebody asks for that. Raises LedgerError.
    """
    turns: Dict[str, Turn] = {}

    def patience_with(config_id: str) -> Patience:
        return patience or _own_patience(site, config_id)

    def new_turns() -> List[Turn]:
        if wakes is not None and wakes.came():
            for name, turn in list(turns.items()):
                if turn.is_over:
                    del turns[name]
                else:
                    turn.end = patience_with(name).clock() + patience_with(name).total
        found = {
            signal.config_id: _turn(site, signal, patience_with(signal.config_id), sending)
            for signal in site.ledger.owed()
            if signal.config_id not in turns
        }
        turns.update(found)
        return list(found.values())

    take_turns(new_turns(), patience or Patience(), new_turns if wakes is not None else None)
    with only_logged("refused", ""):
        end_refused(site)
    return site.ledger.owed()


def _turn(site: Site, signal: OwedSignal, patience: Patience, sending: Optional[Sending]) -> Turn:
    """Return the turn of a result; whatever fails in it is logged."""
    attempt = _Attempts(site, signal.config_id)

    def one() -> Tried:
        with only_logged("signal", signal.config_id):
            return attempt()
        return Tried()

    turn = _turn_of(site, signal.config_id, one, patience, sending)
    turn.server = server_of(signal.target) if signal.target is not None else ""
    if is_waited_for(site.settings, signal.config_id):
        turn.due += CALLER_SECONDS
    return turn


def _turn_of(
    site: Site, config_id: str, attempt: Callable[[], Tried], patience: Patience, sending: Optional[Sending]
) -> Turn:
    now = patience.clock()
    if sending is not None:
        sending("")
    due = now + _too_early(site, config_id)
    return Turn(attempt, now + patience.total, due, sending or (lambda _: None), partial(_note_owed, config_id))


def _too_early(site: Site, config_id: str) -> float:
    """Return the seconds until the result may be sent: an object that is stored too soon after the delivery's arrival
    is lost (heat.stored_objects). Raises LedgerError.
    """
    owed = _owed(site, config_id)
    if owed is None or owed.target is None or owed.target.transport != "TEMP_URL_SIGNAL":
        return 0.0
    delivery = None
    with suppress(Damaged):
        delivery = site.ledger.delivery(config_id)
    age = site.clock() - delivery.received if delivery is not None else 0.0
    # A clock that was put back must not delay it for hours.
    return min(max(APART_SECONDS - age, 0.0), APART_SECONDS)


def _note_owed(config_id: str, reason: str) -> None:
    log.warning(logged(deployment=config_id, signal="owed", why=reason, next="os-update-agent resume"))


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
    """Send one result until it is taken, refused for good, superseded, or the patience is at its end. Is it taken?

    Raises LedgerError, AgentError.
    """
    turn = _turn_of(site, config_id, _Attempts(site, config_id), patience, sending)
    take_turns([turn], patience)
    return turn.last is not None and turn.last.verdict == DELIVERED


class _Attempts:
    """The tries to send one result, by this process or another one: no two of them send it at the same time, and a try
    of another process counts. No lock is held while this process waits.
    """

    def __init__(self, site: Site, config_id: str) -> None:
        self._site, self._config_id = site, config_id
        # The other process, when it was first seen, and the number of tries at that time.
        self._other = Claim(0, 0.0)
        self._since = 0.0
        self._tries: Optional[int] = None
        self._is_noted = False

    def __call__(self) -> Tried:
        """Make one try, unless the result is no longer owed or another process is at it.

        Raises LedgerError, AgentError.
        """
        owed = _owed(self._site, self._config_id)
        if owed is None:
            return Tried()
        tries, self._tries = self._tries, None
        if tries is not None and owed.tries > tries:
            return Tried(Answer(AGAIN, owed.last_answer))
        with sending_claim(self._site.settings, self._config_id) as other:
            if other is None or self._is_too_old(other):
                return Tried(_try(self._site, self._config_id))
            self._tries = owed.tries
            return Tried(is_claimed=True)

    def _is_too_old(self, other: Claim) -> bool:
        """Return whether the claim counts no more, because the process that holds it was probably stopped."""
        now = time.monotonic()
        if other.pid != self._other.pid or not self._since:
            self._other, self._since, self._is_noted = other, now, False
        age = max(other.age, now - self._since)
        holder = f"{process_name(other.pid)} (process {other.pid})"
        if age >= SENDING_SECONDS:
            why = f"{holder} has been sending it for {age:.0f} s, and is probably stopped"
            log.warning(logged(deployment=self._config_id, signal="sent without a claim", why=why))
            return True
        if now - self._since >= NOTED_SECONDS and not self._is_noted:
            self._is_noted = True
            log.info(logged(deployment=self._config_id, signal="waits", why=f"{holder} is sending it"))
        return False


def _owed(site: Site, config_id: str) -> Optional[OwedSignal]:
    """Return the result if it is still to be sent: another process may have sent it. Raises LedgerError."""
    signals = site.ledger.signals(config_id)
    owed = next((signal for signal in signals if signal.standing == "owed"), None)
    if owed is not None and owed.target is not None:
        return owed
    if any(signal.standing in ("delivered", "superseded") for signal in signals):
        # heat-config, which has run the hook once more, has written its copy anew.
        forget_copy(config_id)
    return None


def _try(site: Site, config_id: str) -> Optional[Answer]:
    """Make one try, with the claim in hand; None if the result is no longer owed. Raises LedgerError, AgentError."""
    ledger, begun = site.ledger, time.monotonic()
    owed = _owed(site, config_id)
    if owed is None or owed.target is None:
        return None
    if was_told(site.settings, config_id):
        # Heat accepted this result when the ledger could not record it.
        ledger.settle(config_id, "delivered", "Heat has accepted it before", site.clock())
        return None
    if _is_given_up(site, config_id, owed.target):
        ledger.settle(config_id, "superseded", "Heat lists another deployment in its place", site.clock())
        log.warning(logged(deployment=config_id, signal="superseded", why="Heat lists another deployment in its place"))
        forget_copy(config_id)
        return None
    answer = _sent(site, owed, owed.target, begun + TRY_SECONDS)
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
        return is_current(config_id, address_of(config_id, target), site.settings.collect_config) is False
    return False


def _sent(site: Site, owed: OwedSignal, target: SignalTarget, end: float) -> Answer:
    """Send the result; try the alternative targets of this node for a CFN_SIGNAL that is refused.

    Heat refuses one 15 minutes after it made the URL. Without time for an alternative target until ``end`` the result
    stays owed.
    """
    certificate = site.settings.ca_certificate
    answer = send(target, owed.body, ca_certificate=certificate)
    if answer.verdict == NEVER:
        with only_logged("alternative", owed.config_id):
            for other in other_targets(target, site.settings.collect_config):
                left = end - time.monotonic()
                if left < SHORTEST_SECONDS:
                    return Answer(AGAIN, f"{answer.reason}; there was no time left for {other.transport} instead")
                second = send(other, owed.body, ca_certificate=certificate, limit=left)
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
