"""After a crash, a boot, a lost connection: finish what is open, and send what is owed. Called under the node's lock."""

import logging
from typing import Tuple

from os_update_agent.model import OwedSignal
from os_update_agent.outbox import ONE_TRY, Patience, send_owed
from os_update_agent.site import Site

log = logging.getLogger(__name__)


def resume(site: Site, patience: Patience = ONE_TRY) -> Tuple[OwedSignal, ...]:
    """Send what is owed; returns what stays owed. One try each by default: a lost connection must not hold up the work that has come."""
    return send_owed(site, patience)
