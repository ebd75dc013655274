"""Which key, record, state and policy the arguments of a verb mean."""

import argparse
import contextlib
from dataclasses import replace
from typing import Dict, FrozenSet, Optional, Tuple

from os_update_agent.cli.output import complain
from os_update_agent.cli.views.base import KeyAge
from os_update_agent.config.options import is_unset
from os_update_agent.config.policy import NOT_BY_HAND, Chosen, Policy, by_hand, choose
from os_update_agent.config.settings import Settings
from os_update_agent.decision.state_names import (
    StateName,
    States,
    find_state,
    is_state_name,
    key_named,
    last_change,
    state_named,
)
from os_update_agent.delivery.manual import BY_HAND
from os_update_agent.model.errors import BadOption, Damaged, Unrecorded, UsageError
from os_update_agent.model.etc_files import Listing
from os_update_agent.model.packages import PackageState
from os_update_agent.model.runs import History
from os_update_agent.node.etc_files import read_etc
from os_update_agent.runs.etc_history import recorded_etc, recorded_etc_of_state
from os_update_agent.runs.retention import DAY, at_hand, defaults_now, idle_limit, keep_of, old_since
from os_update_agent.runtime.context import Site
from os_update_agent.text.outcomes import shown

HAND_KEY = "by-hand"
NOW = "now"


def histories(site: Site, key: Optional[str]) -> Tuple[History, ...]:
    """Return the histories that can be read: that of the key, or those of all keys."""
    return tuple(known for known in site.ledger.histories() if key in (None, known.key))


def key_of(site: Site, asked: Optional[str], *, may_begin: bool = False) -> str:
    """Return the key given with --key, also by its beginning, else the only key of the node.

    With ``may_begin`` the key may begin a history: the beginning of a recorded key is refused, because it may be meant
    as either. Raises Unrecorded, also if no key is given and there are several.
    """
    keys = site.ledger.all_keys()
    if asked is not None:
        if is_unset(asked):
            raise Unrecorded(f"--key {asked!r} is empty; give a recorded key; {recorded_keys(site)}")
        found = key_named(keys, asked)
        if found is None or found == asked:
            return asked
        if may_begin:
            raise Unrecorded(
                f"--key {asked!r} is not recorded, and {found!r} begins with it; give that, or another name"
            )
        complain(f"--key {asked!r} is taken as {found!r}")
        return found
    if len(keys) > 1:
        raise Unrecorded(
            "this node has the histories of several deployments; say which with --key: " + ", ".join(map(repr, keys))
        )
    return keys[0] if keys else HAND_KEY


def recorded_keys(site: Site) -> str:
    """Return the end of a message that names the recorded keys."""
    return f"recorded keys: {', '.join(map(repr, site.ledger.all_keys())) or 'none'}"


def refuse_state_name(site: Site, key: str, value: str) -> None:
    """Raise UsageError for a new value that has the form of a state's name, such as run:12."""
    if is_state_name(value) and site.ledger.history(key).record(value) is None:
        raise UsageError(
            f"VALUE is {shown(value)}, which has the form of a recorded state's name: 'os-update-agent rollback' leads"
            " to a state; a new value must be another name"
        )


def refuse_now(value: Optional[str]) -> None:
    """Raise UsageError for the value "now": "diff" could never compare it."""
    if value == NOW:
        raise UsageError(
            f"VALUE is {NOW!r}, which is what 'diff' calls the installed packages; it must be another name"
        )


def warn_of_new_key(site: Site, key: str) -> None:
    """Warn if nothing is recorded under the key. A mistyped key starts a new history, which knows no value."""
    keys = site.ledger.all_keys()
    if keys and key not in keys:
        complain(f"nothing is recorded under the key {key!r}: it begins a history of its own; {recorded_keys(site)}")


def states_of(site: Site, key: str) -> States:
    """Return what is recorded under a key."""
    return States(site.ledger.history(key), tuple(reversed(site.ledger.runs(key))))


def named_state(site: Site, key: str, name: Optional[str]) -> StateName:
    """Return the state of a key that a name means; None means the state before the last change. Raises Unrecorded."""
    known = states_of(site, key)
    return _told(name, last_change(known) if name is None else state_named(known, name, site.clock()))


def past_state(site: Site, key: str, name: str) -> Optional[StateName]:
    """Return the state that a name means; None for a name that may be a new value. Raises Unrecorded."""
    found = find_state(states_of(site, key), name, site.clock(), may_be_new=True)
    return None if found is None else _told(name, found)


def _told(name: Optional[str], found: StateName) -> StateName:
    """Tell the operator which state is meant if the name is no recorded value."""
    if found.meaning and found.name != name:
        complain(f"{'--last' if name is None else shown(name)} is taken as {shown(found.name)}: {found.meaning}")
    return found


def state_of(site: Site, settings: Settings, key: Optional[str], name: str) -> PackageState:
    """Return the state with a name, or the installed one for "now". Raises Unrecorded."""
    if name == NOW:
        return site.backend(by_hand("", HAND_KEY, settings.defaults)).capture()
    found = named_state(site, key_of(site, key), name)
    if found.state is None:
        raise Unrecorded(f"{shown(found.name)} was tried and never reached: no state is recorded")
    return site.ledger.state(found.state)


def etc_of(site: Site, settings: Settings, key: Optional[str], name: str) -> Optional[Listing]:
    """Return the files below /etc in the state with a name, or the present ones for "now". Returns None for a state
    without a listing.
    """
    if name == NOW:
        return read_etc(settings.root, site.backend(by_hand("", HAND_KEY, settings.defaults)).packaged_texts())
    owner = key_of(site, key)
    found = state_named(states_of(site, owner), name, site.clock())
    if found.record is not None:
        recorded = recorded_etc(site.ledger, owner, found.name)
    else:
        recorded = None if found.state is None else recorded_etc_of_state(site.ledger, owner, found.state)
    return recorded.listing if recorded is not None else None


def kept_states(site: Site, known: History) -> FrozenSet[int]:
    """Return the ids of the states whose package files are kept."""
    keep = keep_of(site.ledger, known.key, defaults_now(site), idle_limit(site))
    return at_hand(site.ledger, site.settings.archive, known, keep)


def age_of_key(site: Site, key: str) -> KeyAge:
    """Return how long ago the key has received its last delivery, and whether it is old for that."""
    received, limit = site.ledger.last_received(key), idle_limit(site)
    idle = int((limit.now - received) // DAY) if received is not None else 0
    return KeyAge(received, max(0, idle), old_since(site.ledger, key, limit) is not None)


def policy_of_key(site: Site, key: str) -> Policy:
    """Return the policy under which a value of the key would arrive: the options that the last delivery by Heat itself
    gave, else agent.conf as it is now.

    A damaged delivery counts as none, a wrong agent.conf as the one at the time of the delivery.
    """
    last = None
    with contextlib.suppress(Damaged):
        last = site.ledger.last_policy(key, besides=BY_HAND)
    try:
        return choose("", key, site.settings.defaults, last, {}, takes_operation=True).policy
    except BadOption:
        return replace(last or Policy(), key=key, value="")


def policy_of(site: Site, arguments: argparse.Namespace, key: str) -> Policy:
    """Return the policy of an update or a rollback by hand. Raises UsageError, BadOption.

    It excludes the same packages as a run by Heat. The operation of the last delivery does not count.
    """
    return _chosen(site, arguments, key, _last_policy(site, key)).policy


def chosen_of(site: Site, arguments: argparse.Namespace, key: str) -> Tuple[Chosen, Optional[str]]:
    """Return the policy for ``plan``, the source of each option, and the value of the last delivery by Heat (None if
    there was none). The operation of that delivery counts. Raises UsageError, BadOption.
    """
    last = _last_policy(site, key)
    return _chosen(site, arguments, key, last, takes_operation=True), last.value if last is not None else None


def _chosen(
    site: Site, arguments: argparse.Namespace, key: str, last: Optional[Policy], *, takes_operation: bool = False
) -> Chosen:
    for name, globs in (("packages", arguments.packages or ()), ("exclude", arguments.exclude or ())):
        for empty in filter(_is_empty, globs):
            raise UsageError(
                f"--{name} {empty!r} names no package; leave it out for that of the last delivery or agent.conf"
            )
    options: Dict[str, object] = {name: getattr(arguments, name) for name in ("select", "packages", "exclude")}
    for assignment in arguments.set or ():
        name, value = _assigned(assignment)
        options[name] = value
    defaults = site.settings.defaults
    return choose(arguments.value or "", key, defaults, last, options, takes_operation=takes_operation)


def _last_policy(site: Site, key: str) -> Optional[Policy]:
    """Return the policy of the key's last delivery by Heat that can be read; warn if a newer one is damaged."""
    try:
        return site.ledger.last_policy(key, besides=BY_HAND)
    except Damaged as damage:
        older = site.ledger.last_readable_policy(key, besides=BY_HAND)
        instead = "the defaults of this node" if older is None else "those of the newest delivery that can be read"
        complain(f"warning: the options of the last delivery by Heat cannot be read: {damage}; {instead} are used")
        return older


def _assigned(assignment: str) -> Tuple[str, str]:
    """Return the option and the value of --set OPTION=VALUE. Raises UsageError."""
    name, sign, value = assignment.partition("=")
    name = name.strip().replace("-", "_")
    if not sign:
        raise UsageError(f"--set {assignment!r}: it must be OPTION=VALUE")
    if name in NOT_BY_HAND:
        raise UsageError(
            f"--set {assignment!r}: by hand the value is VALUE, and --key says whose history it belongs to"
        )
    if _is_empty(value):
        raise UsageError(
            f"--set {assignment!r}: the value is empty; leave it out for that of the last delivery or agent.conf"
        )
    return name, value


def _is_empty(text: str) -> bool:
    """Say whether an argument holds nothing, as an empty variable of a script does. Commas separate list members."""
    return is_unset(text) or not text.strip(", \t")
