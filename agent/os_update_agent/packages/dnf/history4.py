"""dnf 4's own record (history.sqlite), read without starting dnf: why each package is installed, and whether a
transaction has no end.

The queries are libdnf's (RPMItem::resolveTransactionItemReason): reading the file costs 4 ms, asking dnf 220 ms, and a
run asks several times. A test compares the answers with the API's.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Identity
from os_update_agent.packages.dnf.answers import UNKNOWN
from os_update_agent.packages.dnf.protocol import COMPLETED
from os_update_agent.packages.rpm.parse import evr

# libdnf::TransactionItemReason; the agent's own words for the two that apt knows as well.
_REASONS = {0: UNKNOWN, 1: "auto", 2: "manual", 3: "clean", 4: "weak-dependency", 5: "group"}
_REMOVE = 8

# state 1 is "done"; the actions left out are the old sides of a change (Downgraded, Obsoleted, Upgraded, Reinstalled).
_ITEMS = """
SELECT i.name, i.arch, ti.action, ti.reason
FROM trans_item ti JOIN trans t ON ti.trans_id = t.id JOIN rpm i USING (item_id)
WHERE t.state = 1 AND ti.action NOT IN (3, 5, 7, 10)
ORDER BY ti.trans_id, ti.id DESC
"""
_LAST = "SELECT state, dt_end FROM trans ORDER BY id DESC LIMIT 1"
# Newest first: transactions that the agent adds to close a record may be in front of it.
_NEWEST = "SELECT id, dt_end, comment FROM trans ORDER BY id DESC LIMIT 20"
# Install, Downgrade, Obsolete, Upgrade, Reinstall, and what they or a removal take away.
_COMES, _GOES = (1, 2, 4, 6, 9), (3, 5, 7, 8)
_BEGUN = """
SELECT i.name, i.arch, i.epoch, i.version, i.release, ti.action
FROM trans_item ti JOIN rpm i USING (item_id)
WHERE ti.trans_id = ?
"""
_PATIENCE = 30.0

# A package of an unfinished transaction, and whether it is to be installed; else it is to be removed.
Begun = Tuple[Identity, bool]


def marks(record: Path) -> Callable[[str, str], str]:
    """Return the function that gives the mark of a name and an architecture, UNKNOWN for a package that dnf did not
    install itself. Raises PackageError.
    """
    found: Dict[Tuple[str, str], str] = {}
    for name, arch, action, reason in rows(record, _ITEMS):
        found[name, arch] = UNKNOWN if action == _REMOVE else _REASONS.get(reason, UNKNOWN)
    return lambda name, arch: found.get((name, arch), UNKNOWN)


def is_unfinished(record: Path) -> bool:
    """Has the last transaction no end? Then dnf is at work just now, or it was killed. Raises PackageError."""
    return any(state == 0 and not end for state, end in rows(record, _LAST))


def begun(record: Path) -> Sequence[Begun]:
    """Return the packages of the last transaction, if it has no end. Raises PackageError."""
    newest = [(number, end) for number, end, comment in rows(record, _NEWEST) if end or comment != COMPLETED]
    number, end = newest[0] if newest else (None, True)
    return [] if end else as_begun(rows(record, _BEGUN, number), _COMES, _GOES)


def as_begun(items: Sequence[Sequence[Any]], comes: Sequence[object], goes: Sequence[object]) -> Sequence[Begun]:
    """Return the packages of rows with name, architecture, epoch, version, release, and action."""
    return [
        ((name, arch, evr(str(epoch or ""), f"{version}-{release}")), action in comes)
        for name, arch, epoch, version, release, action in items
        if action in comes or action in goes
    ]


def rows(record: Path, query: str, *values: Any) -> List[Tuple[Any, ...]]:
    if not record.exists():
        return []
    # Not immutable, and writable if necessary: after a kill the truth is in the journal beside the file, which SQLite
    # merges.
    for mode in ("ro", "rw"):
        try:
            with closing(sqlite3.connect(f"{record.as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE)) as db:
                return list(db.execute(query, values))
        except sqlite3.Error as error:
            failure = error
    raise PackageError(f"the record of dnf, {record}, cannot be read: {failure}")
