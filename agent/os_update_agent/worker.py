"""The worker: a process of its own that finishes the deliveries that are not finished. The process that waits for one
starts it.

This module imports only what starting dnf's worker needs. All other imports are late: they run while that process
imports dnf.
"""

import logging
import sys
from contextlib import suppress
from typing import Optional, Sequence

from os_update_agent.config.settings import Settings, load
from os_update_agent.model.errors import AgentError
from os_update_agent.node import journal
from os_update_agent.node.inheritance import PRIVATE, correct_inheritance
from os_update_agent.node.locks import is_held
from os_update_agent.node.permissions import worker_unit
from os_update_agent.node.trusted_paths import check_paths
from os_update_agent.packages.dnf.client import end_early, start_early

log = logging.getLogger(__name__)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Work until nothing is unfinished. Returns 0, or 1 when the ledger cannot be used. ``argv``, by default the
    arguments of the process, may name this worker for its caller.
    """
    argv = sys.argv[1:] if argv is None else argv
    correct_inheritance(PRIVATE)
    logging.basicConfig(level=logging.INFO, handlers=journal.handlers())
    try:
        settings = load()
        if argv:
            # It may hold a proxy's password, and it has been read. Where /run is sick, the next start removes it.
            with suppress(OSError):
                (settings.run / f"{worker_unit(argv[0])}.env").unlink(missing_ok=True)
        # Another worker may be replacing dnf just now, which must not be loaded then.
        if not is_held(settings.worker_lock):
            check_paths(settings)
            start_early(settings.backend, settings.root, settings.work)
        _resume(settings, argv)
    except AgentError as error:
        from os_update_agent.text.log_lines import logged

        log.error(logged(worker="ended", why=error))
        _note_end(argv)
        return 1
    return 0


def _note_end(argv: Sequence[str]) -> None:
    """Let the caller see that this worker has been there: it would wait for one that is slow to start."""
    from os_update_agent.delivery.locks import at_work

    with suppress(AgentError), at_work(load(), argv[0] if argv else ""):
        pass


def _resume(settings: Settings, argv: Sequence[str]) -> None:
    from os_update_agent.delivery.execute import resume
    from os_update_agent.runtime.context import open_site

    resume(open_site(settings), name=argv[0] if argv else "", before_sending=end_early, until_exit=True)


if __name__ == "__main__":
    sys.exit(main())
