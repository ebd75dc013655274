"""os-update-agent rollback: restore the state that is recorded under a value."""

import argparse

from os_update_agent.cli.keys import key_of, policy_of, record_of
from os_update_agent.cli.manual_run import watched_run
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import Unrecorded
from os_update_agent.runtime.context import open_site
from os_update_agent.text.outcomes import shown


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Restore the state of VALUE. Returns the exit status; raises Unrecorded."""
    site = open_site(settings)
    key = key_of(site, arguments.key)
    record = record_of(site.ledger.history(key), arguments.value)
    if not record.is_reached:
        raise Unrecorded(f"{shown(record.value)} was tried and never reached: there is no state to go back to")
    return watched_run(site, arguments, policy_of(site, arguments, key), record.state)
