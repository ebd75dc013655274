"""The worker: a process of its own that takes unfinished deliveries to their end. Started by deliver; its output is a log file."""

import logging
import sys

from os_update_agent.errors import AgentError
from os_update_agent.resume import resume
from os_update_agent.settings import load
from os_update_agent.site import open_site

log = logging.getLogger(__name__)


def main() -> int:
    """Work until nothing is unfinished. Returns 0, or 1 when the ledger cannot be used."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        resume(open_site(load()))
    except AgentError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
