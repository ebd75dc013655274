"""One value of an option, as Heat or a file delivers it, in the type that the option has; its ValueError says what
would be right. Pure.
"""

import json
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, get_args

from os_update_agent.model.options import (
    ArchiveRule,
    ConfigFiles,
    EtcFilesRule,
    OnCreate,
    OnFailure,
    Operation,
    RebootRule,
    Removals,
    RestoreScope,
    Select,
    ServicesRule,
)
from os_update_agent.text.outcomes import SHOWN_VALUE, shown

Reader = Callable[[object], object]

# Larger numbers are mistakes, and overflow the clocks that they would be given to; of nan nothing is true.
_LARGEST = 1_000_000_000

# 600   5.0   0.5
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# Half of a pair, as JSON's "\\ud800" leaves it: no file and no database takes it.
SURROGATE = re.compile("[\ud800-\udfff]")
# nginx   libc6:amd64   linux-image-*   mod_ssl   [ab]*   lib?.so~
_GLOB = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9+._\-:~*?\[\]!]*")

# nginx.service   httpd.socket   getty@tty1.service   dev-disk\\x2dby.path
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.\\@\-]{0,254}")
_UNIT_KINDS = (".service", ".socket", ".timer", ".path", ".target")


def is_unset(value: object) -> bool:
    """heat-config's str() makes 'None' of a null."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def nearest(name: object, known: Iterable[str]) -> str:
    """A question for a sentence about a wrong name, '' where none of the known ones is near."""
    import difflib  # late: only a mistake needs it

    near = difflib.get_close_matches(str(name).replace("-", "_")[:SHOWN_VALUE], list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


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
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not abs(value) <= _LARGEST
            or not accepts(value)
        ):
            raise ValueError(right)
        return value

    return number


def _count(value: object) -> int:
    return int(_number("a whole number, 1 or more", lambda number: number >= 1 and number == int(number))(value))


def _seconds(value: object) -> float:
    return float(_number("a number of seconds greater than 0", lambda number: number > 0)(value))


def _seconds_or_zero(value: object) -> float:
    return float(_number("a number of seconds, 0 or more", lambda number: number >= 0)(value))


def _days(value: object) -> float:
    return float(_number("a number of days greater than 0", lambda number: number > 0)(value))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or SURROGATE.search(str(value)):
        raise ValueError("a text (in quotes, where YAML would make something else of it)")
    return str(value)


def _input(value: object) -> str:
    name = _text(value).strip()
    if name in READERS:
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
                f"each beginning with a letter, a digit, * ? or [ (not {shown(item)})"
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
            raise ValueError(
                f"a list of the names of systemd services, such as nginx.service, no globs (not {shown(item)})"
            )
        units.append(unit if unit.endswith(_UNIT_KINDS) else f"{unit}.service")
    return tuple(dict.fromkeys(units))


def _items(value: object, what: str) -> List[Any]:
    """The members of a list that comes as a list, as JSON, as Python's repr of a list (heat-config's str()), or as
    plain text.
    """
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


# The options whose values are words, those of each with the default first.
WORDS: Mapping[str, Tuple[str, ...]] = {
    "operation": get_args(Operation),
    "select": get_args(Select),
    "removals": get_args(Removals),
    "config_files": get_args(ConfigFiles),
    "etc_files": get_args(EtcFilesRule),
    "archive": get_args(ArchiveRule),
    "restore": get_args(RestoreScope),
    "on_create": get_args(OnCreate),
    "on_failure": get_args(OnFailure),
    "reboot": get_args(RebootRule),
    "services": get_args(ServicesRule),
}

READERS: Dict[str, Reader] = {
    "trigger": _input,
    "state_key": _text,
    "operation": _words(*WORDS["operation"]),
    "select": _words(*WORDS["select"]),
    "packages": _globs,
    "exclude": _globs,
    "removals": _words(*WORDS["removals"]),
    "config_files": _words(*WORDS["config_files"]),
    "etc_files": _words(*WORDS["etc_files"]),
    # YAML reads a bare off as false.
    "archive": _words(*WORDS["archive"], aliases={"False": "off", "false": "off"}),
    "keep": _count,
    "forget_after": _days,
    "restore": _words(*WORDS["restore"]),
    "on_create": _words(*WORDS["on_create"]),
    "on_failure": _words(*WORDS["on_failure"]),
    "reboot": _words(*WORDS["reboot"]),
    "services": _words(*WORDS["services"]),
    "units": _units,
    "lock_timeout": _seconds_or_zero,
    "deadline": _seconds,
    "script_timeout": _seconds,
    "signal_timeout": _seconds,
}
