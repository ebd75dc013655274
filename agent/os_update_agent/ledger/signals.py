"""The outbox: results that are to be sent to Heat."""

from typing import Any, FrozenSet, Optional, Sequence, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.ledger.kinds import TARGET
from os_update_agent.model.deliveries import OwedSignal
from os_update_agent.model.field_types import row_of


class Signals(Database):
    """The outbox. A delivery's row is made together with its result (ledger/deliveries.py)."""

    def settle(self, config_id: str, standing: str, answer: str, now: float) -> None:
        """Store the outcome of one try: "owed" keeps the target, every other standing wipes its secrets.

        A result that is no longer owed stays as it is: another process may have sent or superseded it meanwhile.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET standing = ?, last_answer = ?, updated = ?, tries = tries + 1,"
                " target = CASE WHEN ? = 'owed' THEN target END WHERE config_id = ? AND standing = 'owed'",
                (standing, answer, now, standing, config_id),
            )

    def owed(self) -> Tuple[OwedSignal, ...]:
        """Return the results that are still to be sent and can be read, the oldest first."""
        return tuple(signal for signal in self.signals() if signal.standing == "owed")

    def superseded(self) -> FrozenSet[str]:
        """Return the ids of the deliveries whose result is superseded. Their bodies stay unread: every delivery asks,
        and there may be many.
        """
        rows = self._rows("SELECT config_id FROM outbox WHERE standing = 'superseded'")
        return frozenset(row[0] for row in rows if isinstance(row[0], str))

    def reclaim_owed(self, now: float) -> None:
        """Give each owed result whose id cannot be read back to its delivery: to the only one that has this answer and
        no other record of it. Otherwise the result can never be sent, and is refused.
        """
        for config_id, address, body in self._rows("SELECT config_id, address, body FROM outbox WHERE standing='owed'"):
            if isinstance(config_id, str):
                continue
            owners = self._rows(
                "SELECT config_id FROM deliveries WHERE coalesce(address, '') = ? AND body = ? AND config_id NOT IN"
                " (SELECT config_id FROM outbox)",
                *(address, body),
            )
            owner = owners[0][0] if len(owners) == 1 else None
            with self._transaction() as db:
                if isinstance(owner, str):
                    db.execute("UPDATE outbox SET config_id = ? WHERE CAST(config_id AS BLOB) = ?", (owner, config_id))
                else:
                    db.execute(
                        "UPDATE outbox SET standing = 'refused', target = NULL, updated = ?, last_answer = ?"
                        " WHERE CAST(config_id AS BLOB) = ?",
                        (now, "its id cannot be read", config_id),
                    )

    def signals(self, config_id: Optional[str] = None) -> Tuple[OwedSignal, ...]:
        """Return every result that was to be sent and whose record can be read, the oldest first."""
        rows = self._rows(
            "SELECT config_id, body, standing, tries, updated, last_answer, target FROM outbox"
            " WHERE ? IS NULL OR config_id = ? ORDER BY updated",
            config_id,
            config_id,
        )
        return tuple(self._readable(rows, self._signal_of))

    def _signal_of(self, row: Sequence[Any]) -> OwedSignal:
        *columns, target = row
        name = f"the result of delivery {row[0]!r:.80}"
        signal = self._read(name, lambda: row_of(OwedSignal, columns))
        if target is None:
            return signal
        return signal._replace(target=self._read(f"{name}, its target,", lambda: TARGET.decode(target)))
