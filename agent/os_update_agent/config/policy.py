"""What the user asks for: options from the file, the template and the inputs become one checked Policy, or a clear
error.
"""

import json
from dataclasses import replace
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple

from os_update_agent.config.options import READERS, SURROGATE, is_unset, nearest
from os_update_agent.model.deliveries import Deployment
from os_update_agent.model.errors import BadOption
from os_update_agent.model.policy import Policy as Policy  # most modules look for it here
from os_update_agent.text.outcomes import shown

DEFAULT_TRIGGER = "update_after_time"

# At the command line VALUE is the value itself, and --key says whose history it belongs to.
NOT_BY_HAND = ("trigger", "state_key")

Source = Tuple[str, Mapping[str, object]]

# The sources of an option of a command, as a person and --json read them.
COMMAND_LINE = "the command line"
LAST_DELIVERY = "the last delivery"
# An older agent has stored the last delivery without the origins of its options.
LAST_DELIVERY_OR_FILE = "the last delivery, or agent.conf at that time"
FILE = "agent.conf"
DEFAULT = "default"
_DEFAULTS = f"[defaults] of {FILE}"


class Chosen(NamedTuple):
    """The policy of a command, and the source of each of its options, by the option's name."""

    policy: Policy
    origins: Mapping[str, str]


def read(deployment: Deployment, defaults: Mapping[str, str]) -> Policy:
    """The policy of a delivery. ``defaults`` are the strings of the [defaults] section of agent.conf.

    Weakest first: what is built in, defaults, the config's map, its options, the inputs of the same names. Everything
    is checked, also what a stronger source overrides. An unset value (None, '', 'None', blank, no glob at all) leaves
    the weaker source its say.

    Raises BadOption, which carries the deployment.
    """
    try:
        return _read(deployment, defaults)
    except BadOption as error:
        error.deployment = deployment
        raise


def by_hand(value: str, key: str, defaults: Mapping[str, str], /, **overrides: object) -> Policy:
    """The policy of a command: ``overrides`` (what may be an option's name to text or list, None is unset) are stronger
    than ``defaults``.

    ``key`` may be '': then the option ``state_key`` speaks. Raises BadOption.
    """
    return choose(value, key, defaults, None, overrides).policy


def choose(
    value: str,
    key: str,
    defaults: Mapping[str, str],
    last: Optional[Policy],
    command_line: Mapping[str, object],
    *,
    takes_operation: bool = False,
) -> Chosen:
    """Return the policy of a command, and the source of each option.

    The strongest source counts: the command line, the options that the ``last`` delivery by Heat itself gave,
    agent.conf (``defaults``) as it is now, the defaults. Options that the last delivery had from agent.conf do not
    count, because agent.conf may have changed since. ``takes_operation``: the operation of the last delivery counts,
    too. Raises BadOption.
    """
    delivered = last.own_options() if last is not None else {}
    if not takes_operation:
        delivered.pop("operation", None)
    from_delivery = LAST_DELIVERY_OR_FILE if last is not None and last.given is None else LAST_DELIVERY
    sources = (
        (FILE, _settings((_DEFAULTS, defaults))),
        (from_delivery, _settings((LAST_DELIVERY, delivered))),
        (COMMAND_LINE, _settings((COMMAND_LINE, command_line))),
    )
    settings: Dict[str, Any] = {}
    origins = {name: DEFAULT for name in READERS if name not in NOT_BY_HAND}
    for origin, found in sources:
        settings.update(found)
        origins.update({name: origin for name in found if name not in NOT_BY_HAND})
    settings.pop("trigger", None)
    state_key = settings.pop("state_key", "")
    given = (*sources[1][1], *sources[2][1])
    return Chosen(_policy(as_text(value), key or state_key, settings, given), origins)


def of_defaults(key: str, defaults: Mapping[str, str]) -> Policy:
    """Return the policy of a delivery whose own options cannot be used: that of agent.conf, or that of those options in
    it that can be used. Raises nothing.
    """
    usable = {name: value for name, value in defaults.items() if _is_usable(name, value)}
    for found in (defaults, usable):
        try:
            return by_hand("", key, found)
        except BadOption:
            continue
    # Each option is right, and two do not go together, such as a stop without units.
    return by_hand("", key, {name: value for name, value in usable.items() if name == "signal_timeout"})


def _is_usable(name: str, value: str) -> bool:
    try:
        _settings(("", {name: value}))
    except BadOption:
        return False
    return True


def signal_patience(defaults: Mapping[str, str]) -> float:
    """Return signal_timeout, in seconds, for a delivery whose own options cannot be used. Raises nothing.

    It counts also if another option of agent.conf is wrong, which may be why.
    """
    name = "signal_timeout"
    return of_defaults("", {name: defaults[name]} if name in defaults else {}).signal_timeout


def as_text(value: object) -> str:
    """The value of an input as the text that keys the history: '' for an unset one, canonical JSON for what is not
    text.

    Raises BadOption when the text holds half a surrogate pair.
    """
    if is_unset(value):
        return ""
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )
    if SURROGATE.search(text):
        raise BadOption(f"the value {shown(text)} is no valid Unicode")
    return text


def _read(deployment: Deployment, defaults: Mapping[str, str]) -> Policy:
    options = {name: value for name, value in deployment.inputs.items() if name in READERS}
    others = {name: value for name, value in deployment.inputs.items() if name not in READERS}
    node = _settings((_DEFAULTS, defaults))
    own = _settings(
        ("the config", deployment.config),
        ("the options of the config", deployment.options),
        ("the inputs", options),
    )
    settings = {**node, **own}
    trigger = settings.pop("trigger", None)
    key = settings.pop("state_key", deployment.key)
    return _policy(_trigger_value(trigger, others), key, settings, own)


def _policy(value: str, key: str, settings: Dict[str, Any], given: Iterable[str]) -> Policy:
    """Return the checked policy. ``given`` are the names of the settings that agent.conf has not given."""
    own = tuple(sorted(set(given).difference(NOT_BY_HAND)))
    policy = Policy(**{**settings, "value": value, "key": key, "given": own})
    if policy.operation in ("stop", "start") and not policy.units:
        raise BadOption(
            f"option units is missing; operation {policy.operation} needs the names of the services, such as"
            " nginx.service"
        )
    undo_only_ours = policy.is_restricted and "restore" not in settings
    return replace(policy, restore="changes") if undo_only_ours else policy


def _settings(*sources: Source) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for source, given in sources:
        for name, value in given.items():
            if name not in READERS:
                raise BadOption(f"{source}: there is no option {shown(name)}{nearest(name, READERS)}")
            if is_unset(value):
                continue
            try:
                setting = READERS[name](value)
            except ValueError as error:
                raise BadOption(f"{source}: option {name} is {shown(value)}; right is {error}") from error
            # A parameter of type comma_delimited_list that is left empty arrives as [].
            if setting != ():
                found[name] = setting
    return found


def _trigger_value(trigger: Optional[str], others: Mapping[str, object]) -> str:
    """The value of the trigger among the inputs that are no options; None is a trigger that nobody has named."""
    name = trigger or DEFAULT_TRIGGER
    if name not in others and trigger is None and others:
        if len(others) > 1:
            names = ", ".join(shown(other) for other in sorted(others))
            raise BadOption(
                f"the inputs: any of {names} could hold the value of this update; say which one with the option trigger"
            )
        (name,) = others
    for other in sorted(set(others) - {name}):
        hint = nearest(other, (*READERS, name))
        raise BadOption(f"the inputs: {shown(other)} is neither an option nor the trigger ({shown(name)}){hint}")
    return as_text(others.get(name))
