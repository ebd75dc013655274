"""dnf 5's own record, read without starting dnf: why each package is installed, and whether a transaction has no end.

The reasons are in TOML files (dnf5-system-state(7)) that only libdnf5 writes, one entry a line or a table; Python 3.9
has no reader for them. A test compares the answers with the API's.
"""

import re
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Sequence, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text
from os_update_agent.model.errors import PackageError
from os_update_agent.packages.dnf.answers import UNKNOWN
from os_update_agent.packages.dnf.history4 import Begun, as_begun, rows
from os_update_agent.packages.dnf.protocol import COMPLETED, HALFWAY

_REASONS = {
    "User": "manual",
    "Dependency": "auto",
    "Weak Dependency": "weak-dependency",
    "Group": "group",
    "External User": UNKNOWN,
}
_GROUP = "group"
_WEAKER = ("auto", "weak-dependency", UNKNOWN)

# "app.x86_64" = {reason = "User"}
# [packages."a-very-long-name.noarch"]   and in a line of its own   reason = "Dependency"
_ENTRY = re.compile(r'^"(?P<name>[^"]+)\.(?P<arch>[^".]+)" *= *\{[^}]*\breason *= *"(?P<reason>[^"]*)"', re.MULTILINE)
_TABLE = re.compile(
    r'^\[packages\."(?P<name>[^"]+)\.(?P<arch>[^".]+)"\]\s+(?:\w+ *= *[^\n]*\n)*?reason *= *"(?P<reason>[^"]*)"',
    re.MULTILINE,
)
_GROUPED = re.compile(r"\bpackages *= *\[(?P<names>[^\]]*)\]")
_NAME = re.compile(r'"([^"]+)"')

_STARTED = 1
_LAST = "SELECT state_id, comment FROM trans ORDER BY id DESC LIMIT 1"
# Newest first: transactions that the agent adds to close a record may be in front of it.
_NEWEST = "SELECT id, state_id, comment FROM trans ORDER BY id DESC LIMIT 20"
_BEGUN = """
SELECT pkg_name.name, arch.name, i.epoch, i.version, i.release, trans_item_action.name
FROM trans_item ti JOIN rpm i USING (item_id)
JOIN pkg_name ON i.name_id = pkg_name.id JOIN arch ON i.arch_id = arch.id
JOIN trans_item_action ON ti.action_id = trans_item_action.id
WHERE ti.trans_id = ?
"""
_COMES, _GOES = ("Install", "Upgrade", "Downgrade", "Reinstall"), ("Remove", "Replaced")
_FILE = "transaction_history.sqlite"


def marks(state: Path) -> Callable[[str, str], str]:
    """Return the function that gives the mark of a name and an architecture, UNKNOWN for a package that dnf did not
    install itself. Raises PackageError.
    """
    text = _read(state / "packages.toml")
    grouped = _grouped(_read(state / "groups.toml"))
    found: Dict[Tuple[str, str], str] = {}
    for pattern in (_ENTRY, _TABLE):
        for match in pattern.finditer(text):
            found[match["name"], match["arch"]] = _REASONS.get(match["reason"], match["reason"].lower())

    def mark_of(name: str, arch: str) -> str:
        mark = found.get((name, arch), UNKNOWN)
        # A group's name counts for what has no stronger reason of its own.
        return _GROUP if name in grouped and mark in _WEAKER else mark

    return mark_of


def is_unfinished(history: Path) -> bool:
    """Has the last transaction no end? Then dnf is at work just now, or it was killed. Raises PackageError."""
    last = rows(history / _FILE, _LAST)
    return any(state == _STARTED or str(comment or "").startswith(HALFWAY) for state, comment in last)


def begun(history: Path) -> Sequence[Begun]:
    """Return the packages of the last transaction, if it has no end. Raises PackageError."""
    for number, state, comment in rows(history / _FILE, _NEWEST):
        if state != _STARTED:
            break
        if comment != COMPLETED and not str(comment or "").startswith(HALFWAY):
            return as_begun(rows(history / _FILE, _BEGUN, number), _COMES, _GOES)
    return []


def _grouped(text: str) -> FrozenSet[str]:
    """Return the names that groups have installed. packages.toml has them as dependencies, or not at all."""
    return frozenset(name for match in _GROUPED.finditer(text) for name in _NAME.findall(match["names"]))


def _read(path: Path) -> str:
    try:
        return read_text(path, RECORD_LIMIT)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"the record of dnf, {path}, cannot be read: {error}") from error
