"""Which values a key has seen, which of them were reached, and which one is current."""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.field_types import checked, row_of
from os_update_agent.model.runs import History, Record


class _Key(NamedTuple):
    current: Optional[str] = None
    first_state: Optional[int] = None


class Histories(Database):
    """The tables of keys and of their values."""

    def all_keys(self) -> Tuple[str, ...]:
        """Return every key that can be read, in order."""
        rows = self._rows("SELECT rowid, key FROM histories ORDER BY key")
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
        row = self._row("SELECT current, first_state FROM histories WHERE key = ?", key) or ()
        known = self._read(f"key {key!r:.80}", lambda: row_of(_Key, row))
        rows = self._rows(
            "SELECT value, state, tried, reached, run, reached_run FROM records WHERE key = ? ORDER BY turn IS NULL,"
            " turn, run",
            key,
        )
        return History(key, known.current, known.first_state, tuple(self._record_of(key, one) for one in rows))

    def _record_of(self, key: str, row: Sequence[Any]) -> Record:
        return self._read(f"value {row[0]!r:.80} of key {key!r:.80}", lambda: row_of(Record, row))

    def record_reached(self, key: str, value: str, state: int, run: Optional[int], now: float) -> None:
        """Store that the value is reached and current, with its state. ``run`` is None for a baseline."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO histories (key, current) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET current ="
                " excluded.current",
                (key, value),
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

    def record_first_state(self, key: str, state: int) -> None:
        """Store the state before the first update of a key that began without a baseline. The first one stays."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO histories (key, first_state) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET first_state = coalesce(first_state, excluded.first_state)",
                (key, state),
            )

    def record_current(self, key: str, value: Optional[str]) -> None:
        """Store which value is current; None if a run has left the node between two values."""
        with self._transaction() as db:
            db.execute("UPDATE histories SET current = ? WHERE key = ?", (value, key))
