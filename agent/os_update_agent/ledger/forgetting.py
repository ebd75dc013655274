"""Forgetting a key by hand, and the age of a key."""

import json
from typing import FrozenSet, NamedTuple, Optional

from os_update_agent.ledger.database import Database
from os_update_agent.model.documents import parsed
from os_update_agent.model.errors import Busy
from os_update_agent.model.field_types import Unreadable

# Seconds since the epoch: 2026-01-01. A node whose battery is empty boots in 1970, or in the year of its firmware.
_FIRST_VERSION = 1767225600.0
# The key of runs and deliveries whose own one was forgotten.
NO_KEY = ""


class Holdings(NamedTuple):
    """The number of records of one key. ``undelivered`` are the ids of deliveries whose result Heat has not accepted.

    ``is_busy``: a run is open, or a delivery has no result yet.
    """

    values: int
    runs: int
    deliveries: int
    undelivered: FrozenSet[str]
    is_busy: bool

    @property
    def is_known(self) -> bool:
        return bool(self.values or self.runs or self.deliveries)


class Forgetting(Database):
    """The end of a key. The runs stay without it: what they have changed on the node counts for other keys."""

    def last_received(self, key: str, *, besides: str = "") -> Optional[float]:
        """Return when the key received its last delivery, the one with the id ``besides`` left out; None for never, and
        if it is not known.

        A time before the first version of the agent is that of a wrong clock, and so is not known.
        """
        row = self._row(
            "SELECT max(received) FROM deliveries WHERE key = ? AND config_id != ? AND typeof(received) = 'real'"
            " AND abs(received) < 1e12",
            *(key, besides),
        )
        received = float(row[0]) if row and row[0] is not None else None
        return received if received is not None and received >= _FIRST_VERSION else None

    def holdings(self, key: str) -> Holdings:
        """Return what the ledger has under the key."""
        counts = [
            self._rows(f"SELECT count(*) FROM {table} WHERE key = ?", key)[0][0]
            for table in ("records", "runs", "deliveries")
        ]
        known = self._rows("SELECT count(*) FROM histories WHERE key = ?", key)[0][0]
        owed = self._rows(
            "SELECT config_id FROM outbox JOIN deliveries USING (config_id) WHERE key = ? AND standing = 'owed'", key
        )
        busy = self._rows(
            "SELECT 1 FROM runs WHERE key = ? AND finished IS NULL UNION ALL"
            " SELECT 1 FROM deliveries WHERE key = ? AND finished IS NULL",
            *(key, key),
        )
        return Holdings(counts[0] or known, counts[1], counts[2], frozenset(row[0] for row in owed), bool(busy))

    def forget(self, key: str) -> None:
        """Forget the values of the key, its options, and the results that Heat has not accepted.

        The stored result of each delivery stays: it answers the same delivery if that comes again (law 1). Raises Busy
        if a run is open or a delivery has no result.
        """
        with self._transaction() as db:
            if self.holdings(key).is_busy:
                raise Busy(f"a run or a delivery of {key!r} is not finished: 'os-update-agent resume' finishes it")
            db.execute("DELETE FROM outbox WHERE config_id IN (SELECT config_id FROM deliveries WHERE key = ?)", (key,))
            db.execute("UPDATE deliveries SET key = ?, policy = '{}', restore = NULL WHERE key = ?", (NO_KEY, key))
            for number, document in db.execute("SELECT id, document FROM runs WHERE key = ?", (key,)).fetchall():
                db.execute("UPDATE runs SET key = ?, document = ? WHERE id = ?", (NO_KEY, _keyless(document), number))
            for table in ("records", "histories"):
                db.execute(f"DELETE FROM {table} WHERE key = ?", (key,))

    def drop_refused(self, config_id: str) -> None:
        """Drop a result that Heat has refused: it counts no more."""
        with self._transaction() as db:
            db.execute("DELETE FROM outbox WHERE config_id = ? AND standing = 'refused'", (config_id,))


def _keyless(document: object) -> object:
    """Return the document of a run without its key. A damaged one stays as it is, for whoever looks into it."""
    try:
        fields = parsed(document)
    except Unreadable:
        return document
    # The field is the same in every version.
    return json.dumps({**fields, "key": NO_KEY}, separators=(",", ":")) if isinstance(fields, dict) else document
