"""Which values a key has seen, which of them were reached, and which one is current."""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.field_types import checked, row_of
from os_update_agent.model.runs import History, Record


class _Key(NamedTuple):
    current: Optional[str] = None
    first_state: Optional[int] = None
    began: Optional[str] = None
    moved_from: Optional[str] = None
    moved_by: Optional[int] = None


class Histories(Database):
    """The tables of keys and of their values."""

    def all_keys(self) -> Tuple[str, ...]:
        """Return every key that can be read, in order."""
        rows = self._rows("SELECT rowid, key FROM histories ORDER BY key")
        for (key,) in self._rows("SELECT DISTINCT key FROM records WHERE key NOT IN (SELECT key FROM histories)"):
            self._damaged(f"key {key!r:.80}", "has values, and no record of its own")
        return tuple(
            self._readable(rows, lambda row: self._read(f"key {row[0]}", lambda: str(checked(str, row[1], "its name"))))
        )

    def histories(self) -> Tuple[History, ...]:
        """Return the history of every key that can be read, in the order of the keys."""
        return tuple(self._readable(self.all_keys(), self.history))

    def history(self, key: str) -> History:
        """Return what is known under the key: the values in the order in which they were reached last, then those that
        never were.

        Raises Damaged if the record of the key or of one of its values cannot be read: without it an old value would
        count as a new one.
        """
        # A ledger of an older schema on a disk that takes no writes has no such columns.
        more = ", began, moved_from, moved_by" if self._schema() > 3 else ""
        row = self._row(f"SELECT current, first_state{more} FROM histories WHERE key = ?", key) or ()
        known = self._read(f"key {key!r:.80}", lambda: row_of(_Key, row))
        rows = self._rows(
            "SELECT value, state, tried, reached, run, reached_run FROM records WHERE key = ? ORDER BY turn IS NULL,"
            " turn, run",
            key,
        )
        records = tuple(self._record_of(key, one) for one in rows)
        return History(key, known.current, known.first_state, records, *known[2:])

    def _record_of(self, key: str, row: Sequence[Any]) -> Record:
        return self._read(f"value {row[0]!r:.80} of key {key!r:.80}", lambda: row_of(Record, row))

    def record_reached(self, key: str, value: str, state: int, run: Optional[int], now: float) -> None:
        """Store that the value is reached and current, with its state. ``run`` is None for a baseline.

        A baseline begins the history of a key that has reached no value yet.
        """
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO histories (key) VALUES (?)", (key,))
            if run is None:
                db.execute(
                    "UPDATE histories SET began = coalesce(began, ?) WHERE key = ? AND NOT EXISTS (SELECT 1 FROM"
                    " records WHERE records.key = histories.key AND reached IS NOT NULL)",
                    (value, key),
                )
            db.execute(
                "UPDATE histories SET current = ?, moved_from = NULL, moved_by = NULL WHERE key = ?", (value, key)
            )
            db.execute(
                "INSERT INTO records (key, value, state, tried, reached, run, reached_run, turn) VALUES (?, ?, ?, ?, ?,"
                " ?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM records)) ON CONFLICT (key, value) DO UPDATE SET state"
                " = excluded.state, reached = excluded.reached, run = excluded.run, reached_run = excluded.reached_run,"
                " turn = excluded.turn",
                (key, value, state, now, now, run, run),
            )

    def record_departing(self, key: str, value: str, state: int) -> None:
        """Store the state again under the reached value that an update leaves: an operator may have changed it."""
        with self._transaction() as db:
            db.execute(
                "UPDATE records SET state = ? WHERE key = ? AND value = ? AND reached IS NOT NULL", (state, key, value)
            )

    def record_first_state(self, key: str, state: int, value: str) -> None:
        """Store the state before the first update of a key that began without a baseline, and the value of that update.
        The first ones stay.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT INTO histories (key, first_state, began) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " began = CASE WHEN first_state IS NULL THEN coalesce(began, excluded.began) ELSE began END,"
                " first_state = coalesce(first_state, excluded.first_state)",
                (key, state, value),
            )

    def record_current(self, key: str, value: Optional[str]) -> None:
        """Store which value is current; None if a run has left the node between two values."""
        with self._transaction() as db:
            db.execute(
                "UPDATE histories SET current = ?, moved_from = NULL, moved_by = NULL WHERE key = ?", (value, key)
            )

    def record_moved_back(self, run: int) -> None:
        """Store that the keys whose packages the run had moved stand at their values again: the run was undone."""
        with self._transaction() as db:
            db.execute(
                "UPDATE histories SET current = moved_from, moved_from = NULL, moved_by = NULL WHERE moved_by = ?",
                (run,),
            )
