"""Which values a key has seen, which of them were reached, and at which the node stands."""

from typing import Optional, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.runs import History, Record


class Histories(Database):
    """The tables of keys and of their values."""

    def all_keys(self) -> Tuple[str, ...]:
        return tuple(row[0] for row in self._rows("SELECT key FROM histories ORDER BY key"))

    def history(self, key: str) -> History:
        """What is known under the key: the values in the order in which they were reached last, then those that never
        were.
        """
        row = self._row("SELECT current, first_state FROM histories WHERE key = ?", key) or (None, None)
        records = self._rows(
            "SELECT value, state, tried, reached, run, reached_run FROM records WHERE key = ? ORDER BY turn IS NULL,"
            " turn, run",
            key,
        )
        return History(key, row[0], row[1], tuple(Record(*record) for record in records))

    def record_reached(self, key: str, value: str, state: int, run: Optional[int], now: float) -> None:
        """The node stands at the value, and this is its state."""
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
        """Just before an update: the state under the value that the node leaves, which an operator may have changed
        since.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE records SET state = ? WHERE key = ? AND value = ? AND reached IS NOT NULL", (state, key, value)
            )

    def record_first_state(self, key: str, state: int) -> None:
        """The state before the first update of a key whose first value nobody told; the first one stays."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO histories (key, first_state) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET first_state = coalesce(first_state, excluded.first_state)",
                (key, state),
            )

    def record_current(self, key: str, value: Optional[str]) -> None:
        """Which value the node stands at without having been brought there anew; None where a run ended in between."""
        with self._transaction() as db:
            db.execute("UPDATE histories SET current = ? WHERE key = ?", (value, key))
