"""The locks between the callers of deliveries and their worker: each is a byte of a file in the run directory.

A lock goes with the process that holds it, so nobody waits for a dead one. ``worker.lock`` has a byte for the worker
that works and one for the worker that only sends. ``outbox.lock`` has one for the callers of each delivery.
``claims.lock`` has the claims: who starts a worker, and who sends a result. A claim is never waited for while it is
held, and it ends with its time. The node's own lock, under which packages change, is in node/locks.py.
"""

import logging
import os
import time
from contextlib import ExitStack, contextmanager
from typing import ContextManager, Iterator, Optional
from zlib import crc32

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import AgentError
from os_update_agent.node.locks import Claim, claim, is_held, note_in, shared_lock, take, try_lock
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

WORKER, SENDER = 0, 1
# One try takes at most 110 s (delivery/outbox.py: TRY_SECONDS). An older claim is that of a stopped process: the result
# is sent in spite of it, because Heat ignores a second signal and waits for the first.
SENDING_SECONDS = 120.0
# A caller starts a worker, and waits for it, in at most 20 s (delivery/workers.py: START_SECONDS) and the time that
# systemd needs to answer.
STARTING_SECONDS = 60.0
# Two deliveries of one number share their claims, which costs them time only.
_STARTER, _NUMBERS = 0, 1 << 14


def at_work(settings: Settings, name: str) -> ContextManager[bool]:
    """Hold the worker's lock; yield False if another worker holds it. ``name`` is for has_been_at_work()."""
    return try_lock(settings.worker_lock, WORKER, note=name)


def take_up_work(settings: Settings, name: str) -> Optional[int]:
    """Do the same without an end: return the descriptor that holds the lock. Raises AgentError."""
    return take(settings.worker_lock, WORKER, note=name)


def is_at_work(settings: Settings) -> bool:
    """Return whether a worker is at work."""
    return is_held(settings.worker_lock, WORKER)


def has_been_at_work(settings: Settings, name: str) -> bool:
    """Return whether this worker was the last to hold the lock."""
    return note_in(settings.worker_lock) == name


def only_sender(settings: Settings) -> ContextManager[bool]:
    """Hold the lock of the worker that only sends; yield False if another one holds it."""
    return try_lock(settings.worker_lock, SENDER)


def is_sending(settings: Settings) -> bool:
    """Return whether a worker that only sends is there. It looks at the ledger again after it has let its lock go."""
    return is_held(settings.worker_lock, SENDER)


class Wakes:
    """Says whether somebody wants results to be sent: a new worker, or wake()."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.worker_lock
        self._seen = self._mark()

    def came(self) -> bool:
        """Return whether that has happened since the last question, or since this object was made."""
        before, self._seen = self._seen, self._mark()
        return self._seen != before

    def _mark(self) -> int:
        try:
            return os.stat(self._path).st_mtime_ns
        except OSError:
            return 0


def wake(settings: Settings) -> None:
    """Have the worker that only sends try every owed result again. Done before is_sending() or only_sender() is asked,
    it is not lost: that worker looks again after it has let its lock go. Raises nothing.
    """
    # A time of our own: the kernel's is the same for several changes within some milliseconds.
    now = time.time_ns()
    try:
        os.utime(settings.worker_lock, ns=(now, now))
    except OSError as error:
        log.warning(logged(sender="not woken", why=error))


def starting(settings: Settings) -> ContextManager[Optional[Claim]]:
    """Claim the start of a worker, which keeps callers from starting one each. Yields the claim of another caller."""
    return claim(settings.claims, _STARTER, stale=STARTING_SECONDS)


def waiting(settings: Settings, config_id: str) -> ContextManager[None]:
    """Hold the caller's lock: the worker leaves the sending to this process at first."""
    return shared_lock(settings.outbox_lock, _number(config_id))


def is_waited_for(settings: Settings, config_id: str) -> bool:
    """Return whether a caller is going to send the result."""
    return is_held(settings.outbox_lock, _number(config_id))


@contextmanager
def sending_claim(settings: Settings, config_id: str) -> Iterator[Optional[Claim]]:
    """Claim the next try to send a result: yield None if it is ours, else the claim of the process that is at it.

    In a run directory that cannot be written there are no claims, and the result is sent without one.
    """
    number = 1 + _number(config_id) % _NUMBERS
    with ExitStack() as stack:
        found = None
        try:
            found = stack.enter_context(claim(settings.claims, number, stale=SENDING_SECONDS))
        except AgentError as error:
            log.warning(logged(deployment=config_id, lock="none", why=error))
        yield found


def _number(config_id: str) -> int:
    return crc32(config_id.encode("utf-8", "surrogatepass"))
