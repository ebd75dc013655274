"""Gives a process that systemd's timer, or an operator, has started the way to Heat that os-collect-config has.

The proxy and the certificates of a node are often set in the unit of os-collect-config, which the hook inherits. The
unit that resumes work would not have them, and could send no result.
"""

import logging
import os
from typing import Dict, Mapping

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.service_environment import NETWORK, usable
from os_update_agent.node.systemctl import environment_of
from os_update_agent.node.transient_unit import SYSTEMD
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

COLLECTOR = "os-collect-config.service"


def adopt_network(settings: Settings) -> None:
    """Set the variables of this process that name proxies and certificates as they are set in the unit of
    os-collect-config. A variable that is set already stays. A failure is logged.
    """
    if settings.services is None or not SYSTEMD.is_dir():
        return
    try:
        found = missing(os.environ, environment_of(settings.services, COLLECTOR))
    except CommandFailed as error:
        log.warning(logged(environment="not that of os-collect-config", why=error))
        return
    os.environ.update(found)


def missing(own: Mapping[str, str], others: Mapping[str, str]) -> Dict[str, str]:
    """Return the variables for the network that only the other one has. http_proxy and HTTP_PROXY are one."""
    known = {name.lower() for name in own}
    return {name: value for name, value in usable(others)[0].items() if name in NETWORK and name.lower() not in known}
