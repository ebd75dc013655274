"""The verbs that change packages or their kept files."""

import argparse
from typing import Optional

from os_update_agent.cli.asked import HAND_KEY, key_of, policy_of, record_of, refuse_now, tell, tell_of_new_key
from os_update_agent.cli.progress import Doing, Watcher
from os_update_agent.config.options import is_unset
from os_update_agent.config.policy import Policy
from os_update_agent.config.policy import by_hand as policy_by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.deliver import by_hand
from os_update_agent.model.errors import Unrecorded, UsageError
from os_update_agent.node.locks import node_lock
from os_update_agent.runs.retention import prune
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.outcomes import shown
from os_update_agent.text.phrases import amount


def update(settings: Settings, arguments: argparse.Namespace) -> int:
    """update the packages and record the state under VALUE; a VALUE that was reached before is restored"""
    if is_unset(arguments.value):
        # Heat may deliver that, and nothing is done then; here it is a variable of a script that is empty.
        raise UsageError(
            f"VALUE is {arguments.value!r}, which stands for no value; it must be a name for the state that is reached"
        )
    refuse_now(arguments.value)
    site = open_site(settings)
    key = key_of(site, arguments.key)
    tell_of_new_key(site, key)
    return _watched(site, arguments, policy_of(site, arguments, key))


def rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    """restore the state that is recorded under VALUE"""
    site = open_site(settings)
    key = key_of(site, arguments.key)
    record = record_of(site.ledger.history(key), arguments.value)
    if not record.is_reached:
        raise Unrecorded(f"{shown(record.value)} was tried and never reached: there is no state to go back to")
    return _watched(site, arguments, policy_of(site, arguments, key), record.state)


def _watched(site: Site, arguments: argparse.Namespace, policy: Policy, state: Optional[int] = None) -> int:
    watcher = None if arguments.quiet else Watcher(site)
    try:
        outcome = by_hand(site, policy, state=state, watch=watcher)
    finally:
        if watcher is not None:
            watcher.close()
    return tell(arguments, outcome)


def prune_now(settings: Settings, arguments: argparse.Namespace) -> int:
    """drop package files that nobody needs: not those of kept values, of an open run, or downloaded for an update that
    is still to come
    """
    site = open_site(settings)
    policy = policy_by_hand("", HAND_KEY, settings.defaults, keep=arguments.keep)
    doing = Doing(site, "waiting")
    doing.start()
    try:
        with node_lock(settings.lock, doing="prune by hand", timeout=policy.lock_timeout):
            doing.end()
            files, size = prune(site.ledger, site.archive(site.backend(policy)), policy, keep=arguments.keep)
    finally:
        doing.end()
    print(f"{files} files, {amount(size)} dropped")
    return 0
