"""The locks between the callers of deliveries and their worker: each is a byte of a file in the run directory.

A lock goes with the process that holds it, so nobody waits for a dead one. ``worker.lock`` has a byte for the worker
and one for the caller that starts it. ``outbox.lock`` has two for each delivery: one for its callers, and one for
whoever sends its result. The node's own lock, under which packages change, is in node/locks.py.
"""

import logging
from contextlib import ExitStack, contextmanager
from typing import ContextManager, Iterator
from zlib import crc32

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import AgentError, Busy
from os_update_agent.node.locks import bounded_lock, is_held, note_in, shared_lock, try_lock
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

WORKER, STARTER = 0, 1
# Longer than one try may take: the list of Heat, the signal, and two alternative targets.
SENDING_SECONDS = 300.0


def at_work(settings: Settings, name: str) -> ContextManager[bool]:
    """Hold the worker's lock; yield False if another worker holds it. ``name`` is for has_been_at_work()."""
    return try_lock(settings.worker_lock, WORKER, note=name)


def is_at_work(settings: Settings) -> bool:
    """Return whether a worker is at work."""
    return is_held(settings.worker_lock, WORKER)


def has_been_at_work(settings: Settings, name: str) -> bool:
    """Return whether this worker was the last to hold the lock."""
    return note_in(settings.worker_lock) == name


def starting(settings: Settings) -> ContextManager[bool]:
    """Hold the starter's lock; yield False if another caller holds it. It keeps callers from starting a worker each."""
    return try_lock(settings.worker_lock, STARTER)


def waiting(settings: Settings, config_id: str) -> ContextManager[None]:
    """Hold the caller's lock: the worker leaves the sending to this process."""
    return shared_lock(settings.outbox_lock, 2 * _number(config_id))


def is_waited_for(settings: Settings, config_id: str) -> bool:
    """Return whether a caller is going to send the result."""
    return is_held(settings.outbox_lock, 2 * _number(config_id))


@contextmanager
def sending_lock(settings: Settings, config_id: str) -> Iterator[None]:
    """Be the only sender of the result on this node: its caller and the worker both try. Raises Busy.

    In a run directory that cannot be written there is no lock, and the result is sent without one: Heat ignores a
    second signal, and waits for the first.
    """
    byte, what = 2 * _number(config_id) + 1, f"another sender of {config_id}"
    with ExitStack() as stack:
        try:
            stack.enter_context(bounded_lock(settings.outbox_lock, byte, timeout=SENDING_SECONDS, what=what))
        except Busy:
            raise
        except AgentError as error:
            log.warning(logged(deployment=config_id, lock="none", why=error))
        yield


def _number(config_id: str) -> int:
    """Two deliveries of one number share their locks, which costs them time only."""
    return crc32(config_id.encode("utf-8", "surrogatepass"))
