"""dnf 4's own record (history.sqlite), read without starting dnf: why each package is installed, and whether a
transaction has no end.

The queries are libdnf's (RPMItem::resolveTransactionItemReason): reading the file costs 4 ms, asking dnf 220 ms, and a
run asks several times. A test compares the answers with the API's.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.dnf.answers import UNKNOWN

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
_PATIENCE = 30.0


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


def rows(record: Path, query: str) -> List[Tuple[Any, ...]]:
    if not record.exists():
        return []
    # Not immutable, and writable if necessary: after a kill the truth is in the journal beside the file, which SQLite
    # merges.
    for mode in ("ro", "rw"):
        try:
            with closing(sqlite3.connect(f"{record.as_uri()}?mode={mode}", uri=True, timeout=_PATIENCE)) as db:
                return list(db.execute(query))
        except sqlite3.Error as error:
            failure = error
    raise PackageError(f"the record of dnf, {record}, cannot be read: {failure}")
