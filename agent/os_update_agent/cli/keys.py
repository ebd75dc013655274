"""Which key, record, state and policy the arguments of a verb mean."""

import argparse
import contextlib
from dataclasses import replace
from typing import Any, FrozenSet, Mapping, Optional, Tuple

from os_update_agent.cli.output import complain
from os_update_agent.cli.views.base import KeyAge
from os_update_agent.config.options import is_unset
from os_update_agent.config.policy import NOT_BY_HAND, Policy, by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.manual import BY_HAND
from os_update_agent.model.errors import Damaged, Unrecorded, UsageError
from os_update_agent.model.etc_files import Listing
from os_update_agent.model.packages import PackageState
from os_update_agent.model.runs import History, Record
from os_update_agent.node.etc_files import read_etc
from os_update_agent.runs.etc_history import recorded_etc
from os_update_agent.runs.retention import DAY, age_of, at_hand, keep_of, old_since
from os_update_agent.runtime.context import Site
from os_update_agent.text.outcomes import shown

HAND_KEY = "by-hand"
NOW = "now"
_OF_ONE_DELIVERY = ("value", "key", "operation")


def histories(site: Site, key: Optional[str]) -> Tuple[History, ...]:
    """Return the histories that can be read: that of the key, or those of all keys."""
    return tuple(known for known in site.ledger.histories() if key in (None, known.key))


def key_of(site: Site, asked: Optional[str]) -> str:
    """Return the key given with --key, else the only key of the node. Raises Unrecorded if there are several."""
    keys = site.ledger.all_keys()
    if asked is not None:
        if is_unset(asked):
            raise Unrecorded(f"--key {asked!r} is empty; give a recorded key; {recorded_keys(site)}")
        return asked
    if len(keys) > 1:
        raise Unrecorded(
            "this node has the histories of several deployments; say which with --key: " + ", ".join(map(repr, keys))
        )
    return keys[0] if keys else HAND_KEY


def recorded_keys(site: Site) -> str:
    """Return the end of a message that names the recorded keys."""
    return f"recorded keys: {', '.join(map(repr, site.ledger.all_keys())) or 'none'}"


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


def record_of(known: History, value: str) -> Record:
    """Return the record of a value. Raises Unrecorded, which names the recorded values."""
    record = known.record(value)
    if record is None:
        values = ", ".join(shown(other.value) for other in known.records) or "none"
        raise Unrecorded(f"{shown(value)} is not recorded under {known.key!r}; recorded values: {values}")
    return record


def state_of(site: Site, settings: Settings, key: Optional[str], name: str) -> PackageState:
    """Return the state recorded under a value, or the installed one for "now". Raises Unrecorded."""
    if name == NOW:
        return site.backend(by_hand("", HAND_KEY, settings.defaults)).capture()
    record = record_of(site.ledger.history(key_of(site, key)), name)
    if record.state is None:
        raise Unrecorded(f"{shown(name)} was tried and never reached: no state is recorded")
    return site.ledger.state(record.state)


def etc_of(site: Site, settings: Settings, key: Optional[str], name: str) -> Optional[Listing]:
    """Return the files below /etc in the state of a value, or the present ones for "now". Returns None for a state
    without a listing.
    """
    if name == NOW:
        return read_etc(settings.root, site.backend(by_hand("", HAND_KEY, settings.defaults)).packaged_texts())
    recorded = recorded_etc(site.ledger, key_of(site, key), name)
    return recorded.listing if recorded is not None else None


def kept_states(site: Site, known: History) -> FrozenSet[int]:
    """Return the ids of the states whose package files are kept."""
    keep = keep_of(site.ledger, known.key, site.settings.defaults, age_of(site))
    return at_hand(site.ledger, site.settings.archive, known, keep)


def age_of_key(site: Site, key: str) -> KeyAge:
    """Return how long ago the key has received its last delivery, and whether it is old for that."""
    received, age = site.ledger.last_received(key), age_of(site)
    idle = int((age.now - received) // DAY) if received is not None else 0
    return KeyAge(received, max(0, idle), old_since(site.ledger, key, age) is not None)


def policy_of_key(site: Site, key: str, value: str = "") -> Policy:
    """Return the policy under which a value of the key would arrive: that of the last delivery by Heat.

    A damaged one counts as none.
    """
    last: Mapping[str, Any] = {}
    with contextlib.suppress(Damaged):
        last = site.ledger.last_policy(key, besides=BY_HAND) or {}
    return replace(Policy.from_json(last), key=key, value=value)


def policy_of(site: Site, arguments: argparse.Namespace, key: str, *, operation: str = "") -> Policy:
    """Return the policy of the key's last delivery by Heat, overridden by this command line.

    A run by hand thus excludes the same packages as a run by Heat. ``operation`` is the one without --set operation;
    '' means an update. Raises UsageError.
    """
    last = _last_options(site, key)
    options = {name: value for name, value in last.items() if name not in _OF_ONE_DELIVERY and value not in (None, [])}
    if operation:
        options["operation"] = operation
    if arguments.select or arguments.packages or arguments.exclude:
        # A new restriction decides anew which kind of restore is the default.
        options.pop("restore", None)
    for name, globs in (("packages", arguments.packages or ()), ("exclude", arguments.exclude or ())):
        for empty in filter(_is_empty, globs):
            raise UsageError(f"--{name} {empty!r} names no package; leave it out to keep the last delivery's setting")
    for name in ("select", "packages", "exclude"):
        if getattr(arguments, name):
            options[name] = getattr(arguments, name)
    for assignment in arguments.set or ():
        name, value = _assigned(assignment)
        options[name] = value
    return by_hand(arguments.value or "", key, site.settings.defaults, **options)


def _last_options(site: Site, key: str) -> Mapping[str, Any]:
    """Return the options of the key's last delivery by Heat that can be read; warn if a newer one is damaged."""
    try:
        return site.ledger.last_policy(key, besides=BY_HAND) or {}
    except Damaged as damage:
        older = site.ledger.last_readable_policy(key, besides=BY_HAND)
        instead = "the defaults of this node" if older is None else "those of the newest delivery that can be read"
        complain(f"warning: the options of the last delivery by Heat cannot be read: {damage}; {instead} are used")
        return older or {}


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
        raise UsageError(f"--set {assignment!r}: the value is empty; leave it out to keep the last delivery's setting")
    return name, value


def _is_empty(text: str) -> bool:
    """Say whether an argument holds nothing, as an empty variable of a script does. Commas separate list members."""
    return is_unset(text) or not text.strip(", \t")
