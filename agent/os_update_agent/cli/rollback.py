"""os-update-agent rollback: restore a recorded state."""

import argparse
from dataclasses import replace

from os_update_agent.cli.keys import key_of, named_state, policy_of
from os_update_agent.cli.manual_run import watched_run
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import Unrecorded, UsageError
from os_update_agent.runtime.context import open_site
from os_update_agent.text.outcomes import shown


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Restore the state that VALUE names. Returns the exit status; raises Unrecorded."""
    if (arguments.value is None) != arguments.last:
        raise UsageError("give either VALUE, the name of a recorded state, or --last")
    site = open_site(settings)
    key = key_of(site, arguments.key)
    named = named_state(site, key, arguments.value)
    if named.state is None:
        raise Unrecorded(f"{shown(named.name)} was tried and never reached: there is no state to go back to")
    return watched_run(site, arguments, replace(policy_of(site, arguments, key), value=named.name), named.state)
