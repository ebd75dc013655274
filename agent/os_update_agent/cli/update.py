"""os-update-agent update: update the packages and record the state under a value."""

import argparse

from os_update_agent.cli.keys import key_of, policy_of, refuse_now, refuse_state_name, warn_of_new_key
from os_update_agent.cli.manual_run import watched_run
from os_update_agent.config.options import is_unset
from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import UsageError
from os_update_agent.runtime.context import open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Update to VALUE, or restore it if it was reached before. Returns the exit status."""
    if is_unset(arguments.value):
        # Heat may deliver such a value, which does nothing; on a command line it is an empty variable of a script.
        raise UsageError(
            f"VALUE is {arguments.value!r}, which stands for no value; it must be a name for the state that is reached"
        )
    refuse_now(arguments.value)
    site = open_site(settings)
    key = key_of(site, arguments.key, may_begin=True)
    refuse_state_name(site, key, arguments.value)
    warn_of_new_key(site, key)
    return watched_run(site, arguments, policy_of(site, arguments, key))
