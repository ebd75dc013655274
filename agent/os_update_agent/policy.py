"""What the user asks for: options from the file, the template and the inputs become one checked Policy, or a clear error."""

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from os_update_agent.errors import BadOption
from os_update_agent.model import Deployment

DEFAULT_TRIGGER = "update_after_time"

# A reader turns one value, as Heat or a file delivers it, into the type of the option; its ValueError says what would be right.
Reader = Callable[[object], object]
Source = Tuple[str, Mapping[str, object]]

# Larger numbers are mistakes, and overflow the clocks that they would be given to; of nan nothing is true.
_LARGEST = 1_000_000_000
_SHOWN_LENGTH = 80

# 600   5.0   0.5
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# Half of a pair, as JSON's "\\ud800" leaves it: no file and no database takes it.
_SURROGATE = re.compile("[\ud800-\udfff]")
# nginx   libc6:amd64   linux-image-*   mod_ssl   [ab]*   lib?.so~
_GLOB = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9+._\-:~*?\[\]!]*")

# nginx.service   httpd.socket   getty@tty1.service   dev-disk\\x2dby.path
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@\-]{0,254}")
_UNIT_KINDS = (".service", ".socket", ".timer", ".path", ".target")
_LISTS = ("packages", "exclude", "units")


@dataclass(frozen=True)
class Policy:
    """The answer to every question that an update asks about what is wanted. The defaults are the built-in ones.

    ``value`` is the trigger's value as text ('' is: none given), ``key`` says whose history it belongs to. ``keep`` counts states;
    ``lock_timeout``, ``deadline``, ``script_timeout`` (each step) and ``signal_timeout`` (all tries of one signal) are seconds.
    """

    value: str = ""
    key: str = ""
    operation: str = "update"
    select: str = "all"
    packages: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    removals: str = "allow"
    config_files: str = "keep"
    archive: str = "best-effort"
    keep: int = 5
    restore: str = "exact"
    on_failure: str = "restore"
    reboot: str = "never"
    services: str = "report"
    units: Tuple[str, ...] = ()
    lock_timeout: float = 600
    deadline: Optional[float] = None
    script_timeout: float = 600
    signal_timeout: float = 600

    @property
    def is_restricted(self) -> bool:
        """Does the policy leave out a part of the updates that the node could have?"""
        return bool(self.packages or self.exclude or self.select == "security")

    def as_json(self) -> Dict[str, Any]:
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Policy":
        return cls(**{**data, **{name: tuple(data.get(name, ())) for name in _LISTS}})


def read(deployment: Deployment, defaults: Mapping[str, str]) -> Policy:
    """The policy of a delivery. ``defaults`` are the strings of the [defaults] section of agent.conf.

    Weakest first: what is built in, defaults, the config's map, its options, the inputs of the same names. Everything is checked, also
    what a stronger source overrides. An unset value (None, '', 'None', blank, no glob at all) leaves the weaker source its say.

    Raises BadOption, which carries the deployment.
    """
    try:
        return _read(deployment, defaults)
    except BadOption as error:
        error.deployment = deployment
        raise


def by_hand(value: str, key: str, defaults: Mapping[str, str], **overrides: object) -> Policy:
    """The policy of a command: ``overrides`` (option name to text or list, None is unset) are stronger than ``defaults``.

    ``key`` may be '': then the option ``state_key`` speaks. Raises BadOption.
    """
    settings = _settings(("[defaults] of agent.conf", defaults), ("the command line", overrides))
    settings.pop("trigger", None)
    state_key = settings.pop("state_key", "")
    return _policy(as_text(value), key or state_key, settings)


def signal_patience(defaults: Mapping[str, str]) -> float:
    """signal_timeout for a delivery whose own options cannot be used. Never raises: the built-in one where agent.conf is wrong too."""
    try:
        return by_hand("", "", defaults).signal_timeout
    except BadOption:
        return Policy().signal_timeout


def option_names() -> Tuple[str, ...]:
    """All options, in the order in which the documentation tells them."""
    return tuple(_READERS)


def as_text(value: object) -> str:
    """The value of an input as the text that keys the history: '' for an unset one, canonical JSON for what is not text.

    Raises BadOption when the text holds half a surrogate pair.
    """
    if _is_unset(value):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if _SURROGATE.search(text):
        raise BadOption(f"the value {_shown(text)} is no valid Unicode")
    return text


def _read(deployment: Deployment, defaults: Mapping[str, str]) -> Policy:
    options = {name: value for name, value in deployment.inputs.items() if name in _READERS}
    others = {name: value for name, value in deployment.inputs.items() if name not in _READERS}
    settings = _settings(
        ("[defaults] of agent.conf", defaults),
        ("the config", deployment.config),
        ("the options of the config", deployment.options),
        ("the inputs", options),
    )
    trigger = settings.pop("trigger", None)
    key = settings.pop("state_key", deployment.key)
    return _policy(_trigger_value(trigger, others), key, settings)


def _policy(value: str, key: str, settings: Dict[str, Any]) -> Policy:
    policy = Policy(**{**settings, "value": value, "key": key})
    if policy.operation in ("stop", "start") and not policy.units:
        raise BadOption(f"option units is missing; operation {policy.operation} needs the names of the services, such as nginx.service")
    undo_only_ours = policy.is_restricted and "restore" not in settings
    return replace(policy, restore="changes") if undo_only_ours else policy


def _settings(*sources: Source) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for source, given in sources:
        for name, value in given.items():
            if name not in _READERS:
                raise BadOption(f"{source}: there is no option {_shown(name)}{_nearest(name, _READERS)}")
            if _is_unset(value):
                continue
            try:
                setting = _READERS[name](value)
            except ValueError as error:
                raise BadOption(f"{source}: option {name} is {_shown(value)}; right is {error}") from error
            # A parameter of type comma_delimited_list that is left empty arrives as [].
            if setting != ():
                found[name] = setting
    return found


def _trigger_value(trigger: Optional[str], others: Mapping[str, object]) -> str:
    """The value of the trigger among the inputs that are no options; None is a trigger that nobody has named."""
    name = trigger or DEFAULT_TRIGGER
    if name not in others and trigger is None and others:
        if len(others) > 1:
            names = ", ".join(_shown(other) for other in sorted(others))
            raise BadOption(f"the inputs: any of {names} could hold the value of this update; say which one with the option trigger")
        (name,) = others
    for other in sorted(set(others) - {name}):
        nearest = _nearest(other, (*_READERS, name))
        raise BadOption(f"the inputs: {_shown(other)} is neither an option nor the trigger ({_shown(name)}){nearest}")
    return as_text(others.get(name))


def _is_unset(value: object) -> bool:
    """heat-config's str() makes 'None' of a null."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def _nearest(name: object, known: Iterable[str]) -> str:
    import difflib  # late: only a mistake needs it

    near = difflib.get_close_matches(str(name).replace("-", "_")[:_SHOWN_LENGTH], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."


def _words(*known: str, aliases: Optional[Mapping[str, str]] = None) -> Reader:
    def word(value: object) -> str:
        text = str(value).strip() if isinstance(value, (str, bool)) else ""
        text = (aliases or {}).get(text, text)
        if text not in known:
            raise ValueError(f"a word that this version knows: {', '.join(known)}")
        return text

    return word


def _number(right: str, accepts: Callable[[float], bool]) -> Callable[[object], float]:
    def number(value: object) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST or not accepts(value):
            raise ValueError(right)
        return value

    return number


def _count(value: object) -> int:
    return int(_number("a whole number, 1 or more", lambda number: number >= 1 and number == int(number))(value))


def _seconds(value: object) -> float:
    return float(_number("a number of seconds greater than 0", lambda number: number > 0)(value))


def _seconds_or_zero(value: object) -> float:
    return float(_number("a number of seconds, 0 or more", lambda number: number >= 0)(value))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or _SURROGATE.search(str(value)):
        raise ValueError("a text (in quotes, where YAML would make something else of it)")
    return str(value)


def _input(value: object) -> str:
    name = _text(value).strip()
    if name in _READERS:
        raise ValueError("the name of an input that is not itself the name of an option")
    return name


def _globs(value: object) -> Tuple[str, ...]:
    globs = []
    for item in _items(value, "package names or globs"):
        glob = item.strip() if isinstance(item, str) else ""
        if glob and _GLOB.fullmatch(glob) and glob.count("[") == glob.count("]"):
            globs.append(glob)
        elif item != "":
            raise ValueError(
                "a list of package names or globs of letters, digits and + . _ - : ~ * ? [ ] !, "
                f"each beginning with a letter, a digit, * ? or [ (not {_shown(item)})"
            )
    return tuple(globs)


def _units(value: object) -> Tuple[str, ...]:
    """The names of units, each once; as for systemctl, a name without a kind is that of a service."""
    units = []
    for item in _items(value, "the names of systemd services"):
        unit = item.strip() if isinstance(item, str) else ""
        if item == "":
            continue
        if not _UNIT.fullmatch(unit):
            raise ValueError(f"a list of the names of systemd services, such as nginx.service, no globs (not {_shown(item)})")
        units.append(unit if unit.endswith(_UNIT_KINDS) else f"{unit}.service")
    return tuple(dict.fromkeys(units))


def _items(value: object, what: str) -> List[Any]:
    """The members of a list that comes as a list, as JSON, as Python's repr of a list (heat-config's str()), or as plain text."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str):
        raise ValueError(f"a list of {what}, or a text that separates them by commas or blanks")
    text = value.strip()
    if text.startswith("["):
        import ast  # late: few lists come like this

        for parse in (json.loads, ast.literal_eval):
            try:
                return list(parse(text))
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue  # a glob may begin with [ as well
    return [item for item in re.split(r"[,\s]+", text) if item]


_READERS: Dict[str, Reader] = {
    "trigger": _input,
    "state_key": _text,
    "operation": _words("update", "download", "assess", "stop", "start"),
    "select": _words("all", "security"),
    "packages": _globs,
    "exclude": _globs,
    "removals": _words("allow", "refuse"),
    "config_files": _words("keep", "replace"),
    # YAML reads a bare off as false.
    "archive": _words("best-effort", "required", "off", aliases={"False": "off", "false": "off"}),
    "keep": _count,
    "restore": _words("exact", "changes"),
    "on_failure": _words("restore", "keep"),
    "reboot": _words("never", "if-needed", "always"),
    "services": _words("report", "restart"),
    "units": _units,
    "lock_timeout": _seconds_or_zero,
    "deadline": _seconds,
    "script_timeout": _seconds,
    "signal_timeout": _seconds,
}
