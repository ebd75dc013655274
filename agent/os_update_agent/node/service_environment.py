"""The environment of a systemd service as text: of the file that we write for one, and of what systemd shows. Pure.

systemd does not start a service whose EnvironmentFile= holds one value that is not UTF-8 ("Failed to load environment
files: Invalid argument"), or one that is too long ("Argument list too long"). It writes a variable whose name it does
not take to the journal, with its value. So such variables are left out here.
"""

import re
from typing import Dict, List, Mapping, Tuple

# What systemd tells one service about itself (systemd.exec(5)).
_OF_THE_CALLER = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "MAINPID",
    }
)
# How programs reach a server, and whom they trust: requests, keystoneauth1, apt, dnf, and the operator's steps.
NETWORK = frozenset(
    {
        *(
            name
            for word in ("http", "https", "ftp", "all", "no")
            for name in (f"{word}_proxy", f"{word}_proxy".upper())
        ),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The kernel's limit for one variable is 128 KiB, and that for all of them and the arguments 2 MiB as a rule.
_LONGEST, _LARGEST = 100_000, 1_000_000


def usable(environment: Mapping[str, str]) -> Tuple[Dict[str, str], Tuple[str, ...]]:
    """Return the variables that a service can get, and the names of the others that its caller has."""
    kept: Dict[str, str] = {}
    left: List[str] = []
    room = _LARGEST
    # The small ones first: a proxy matters more than what fills the room.
    for name, value in sorted(environment.items(), key=lambda item: (len(item[1]), item[0])):
        if name in _OF_THE_CALLER:
            continue
        room -= len(name) + len(value) + 2
        if (
            _NAME.fullmatch(name)
            and _is_text(value)
            and not _CONTROL.search(value)
            and room >= 0 > len(value) - _LONGEST
        ):
            kept[name] = value
        else:
            left.append(name)
    return kept, tuple(sorted(left))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def environment_text(environment: Mapping[str, str]) -> str:
    """Return the usable variables as systemd reads them from a file (systemd.exec(5), EnvironmentFile=)."""
    lines = []
    for name, value in sorted(usable(environment)[0].items()):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def read_file(text: str) -> Dict[str, str]:
    """Return the variables of a file as systemd reads it; the last one of a name counts."""
    found: Dict[str, str] = {}
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            break
        at = line.end()
        if line["name"] is not None:
            value, at = _value(text, at)
            if _NAME.fullmatch(line["name"].strip()):
                found[line["name"].strip()] = value
    return found


# A comment, which goes on after a backslash at its end; the name of a variable; or a line that is neither.
_LINE = re.compile(r"\s*(?:[#;](?:\\.|[^\\\n])*(?:\n|\\?\Z)|(?P<name>[^\n=]+)=|[^\n]*(?:\n|\Z))", re.DOTALL)
# The parts of a value: up to the first other character each may be quoted; from there on only a backslash counts.
_QUOTED = re.compile(r"""[ \t\r]*(?:'(?P<single>[^']*)(?:'|\Z)|"(?P<double>(?:\\.|[^"\\])*)(?:"|\\?\Z))""", re.DOTALL)
_PLAIN = re.compile(r"[ \t\r]*(?P<plain>(?:\\.|[^\n\\])*)(?:\n|\\?\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _value(text: str, at: int) -> Tuple[str, int]:
    """Return the value that begins there, and the place behind its line."""
    value = ""
    while True:
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            break
        at = quoted.end()
        if quoted["single"] is not None:
            value += quoted["single"]
        else:
            value += _ESCAPED.sub(_in_quotes, quoted["double"])
    plain = _PLAIN.match(text, at)
    if plain is None:
        return value, len(text)
    return value + _ESCAPED.sub(lambda found: found[1].strip("\n"), plain["plain"].rstrip(" \t\r")), plain.end()


def _in_quotes(found: "re.Match[str]") -> str:
    """Return what a backslash and the character behind it stand for in double quotes, as in the shell."""
    return found[1].strip("\n") if found[1] in '"\\`$\n' else found[0]


# "NAME=a value with \"quotes\"", or NAME=value; systemd before version 240 quotes nothing.
_SHOWN = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)', re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def read_shown(text: str) -> Dict[str, str]:
    """Return the variables in what ``systemctl show --property=Environment --value`` prints."""
    words: List[str] = []
    for quoted, plain in _SHOWN.findall(text):
        word = _ESCAPED.sub(lambda found: _CONTROLS.get(found[1], found[1]), quoted) or plain
        if _NAME.match(word.partition("=")[0]) and "=" in word:
            words.append(word)
        elif words:
            words[-1] += f" {word}"
    return dict((word.partition("=")[0], word.partition("=")[2]) for word in words)


def read_files_shown(text: str) -> Tuple[str, ...]:
    """Return the patterns in what ``systemctl show --property=EnvironmentFiles --value`` prints."""
    # /etc/sysconfig/network (ignore_errors=yes)
    return tuple(line.rpartition(" (ignore_errors=")[0] for line in text.splitlines() if " (ignore_errors=" in line)
