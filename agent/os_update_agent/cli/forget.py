"""os-update-agent forget: forget all that is recorded under a key whose stack is gone."""

import argparse
import sys
from typing import Tuple

from os_update_agent.cli.keys import HAND_KEY, recorded_keys
from os_update_agent.cli.output import answer, complain
from os_update_agent.cli.progress import Doing
from os_update_agent.config.policy import Policy, by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.ledger.forgetting import Holdings
from os_update_agent.model.errors import AgentError, BadOption, Unrecorded, UsageError
from os_update_agent.node.locks import node_lock
from os_update_agent.runs.retention import defaults_now, idle_limit, prune
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.phrases import amount


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Forget the key, then drop the package files that nobody else needs. Returns the exit status; raises Busy."""
    site, key = open_site(settings), arguments.forgotten
    _check(site, key, site.ledger.holdings(key), arguments)
    policy = _policy(settings)
    doing = Doing(site, "waiting")
    doing.start()
    try:
        with node_lock(settings.lock, doing=f"forget {key!r} by hand", timeout=policy.lock_timeout):
            doing.end()
            # Asked again: a delivery may have come meanwhile.
            found = site.ledger.holdings(key)
            _check(site, key, found, arguments, is_confirmed=True)
            site.ledger.forget(key)
            files, size = _pruned(site, policy)
    finally:
        doing.end()
    document = {
        "key": key,
        "values": found.values,
        "runs": found.runs,
        "undelivered": sorted(found.undelivered),
        "files": files,
        "bytes": size,
    }
    text = f"{key!r} is forgotten: {_counted(found)}; {files} files, {amount(size)} dropped"
    return answer(arguments, document, text)


def _check(site: Site, key: str, found: Holdings, arguments: argparse.Namespace, *, is_confirmed: bool = False) -> None:
    """Raises Unrecorded for an unknown key, UsageError without the consent that is needed.

    The ledger itself refuses a key whose run or delivery is not finished.
    """
    if not key or not found.is_known:
        raise Unrecorded(f"nothing is recorded under {key!r}; {recorded_keys(site)}")
    if found.undelivered and not arguments.force:
        raise UsageError(
            f"Heat has not taken the result of {', '.join(sorted(found.undelivered))} yet: 'os-update-agent resume'"
            " sends it again; --force drops it"
        )
    if not (arguments.yes or is_confirmed or _is_confirmed(key, found)):
        raise UsageError(f"{key!r} is not forgotten without consent: give --yes, or answer yes at a terminal")


def _is_confirmed(key: str, found: Holdings) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    complain(
        f"{key!r}: {_counted(found)}. No installed package is touched, but no value of this key can be restored any"
        " more. Forget it? [y/N]"
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _counted(found: Holdings) -> str:
    lost = f", {len(found.undelivered)} results that Heat has not taken" if found.undelivered else ""
    return f"{found.values} values, {found.runs} runs{lost}"


def _policy(settings: Settings) -> Policy:
    try:
        return by_hand("", HAND_KEY, settings.defaults)
    except BadOption:
        return Policy()


def _pruned(site: Site, policy: Policy) -> Tuple[int, int]:
    try:
        archive = site.archive(site.backend(policy))
        return prune(site.ledger, archive, defaults_now(site), idle=idle_limit(site))
    except (AgentError, OSError) as error:
        complain(
            f"the key is forgotten, but its package files could not be dropped: {error}\nnext: os-update-agent prune"
        )
        return 0, 0
