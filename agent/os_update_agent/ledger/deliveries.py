"""Deliveries, their answers, and the outbox of what is owed to Heat."""

import dataclasses
import json
import sqlite3
from typing import Any, Dict, FrozenSet, Optional, Sequence, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.deliveries import Delivery, Output, OwedSignal, Request, SignalTarget

_DELIVERY = "config_id, key, value, action, received, policy, restore, started, finished, run, body, request"
_OVERTAKEN = (
    "SELECT 1 FROM deliveries AS mine JOIN deliveries AS other USING (address) WHERE mine.config_id = ? AND other.turn"
    " > mine.turn"
)


class Deliveries(Database):
    """The tables of deliveries and of owed signals."""

    def receive(self, delivery: Delivery) -> Delivery:
        """Write a delivery down before anything is done for it; one that is there already stays as it is.

        Whom to answer goes with it, so that a crash cannot lose it; finish() wipes these secrets. A signal is addressed
        by resource name (heat: ResourceController.signal), so with a new delivery an older result that Heat has not
        taken under the same name is superseded: it would finish this one, whether we send it or, where it was refused,
        an operator does by hand.
        """
        with self._transaction() as db:
            self._receive(db, delivery)
        return self.delivery(delivery.config_id) or delivery

    def receive_answered(self, delivery: Delivery, body: str, target: Optional[SignalTarget]) -> bool:
        """A delivery that comes with its answer: nobody can see it without. False where it was there already."""
        with self._transaction() as db:
            is_new = self._receive(db, delivery)
            if is_new:
                self._finish(db, delivery.config_id, body, target, delivery.received, unless_started=False)
        return is_new

    def _receive(self, db: sqlite3.Connection, delivery: Delivery) -> bool:
        request = None if delivery.request is None else json.dumps(_request_as_json(delivery.request))
        address = None if delivery.request is None else _address(delivery.request.signal)
        is_new = db.execute(
            "INSERT OR IGNORE INTO deliveries (config_id, key, value, action, received, policy, restore, address,"
            " request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(delivery.config_id, delivery.key, delivery.value, delivery.action, delivery.received),
                *(json.dumps(delivery.policy), delivery.restore, address, request),
            ),
        ).rowcount
        if is_new and address is not None:
            db.execute(
                "UPDATE outbox SET standing = 'superseded', target = NULL, updated = ?"
                " WHERE address = ? AND standing IN ('owed', 'refused')",
                (delivery.received, address),
            )
        return bool(is_new)

    def delivery(self, config_id: str) -> Optional[Delivery]:
        row = self._row(f"SELECT {_DELIVERY} FROM deliveries WHERE config_id = ?", config_id)
        return _as_delivery(row) if row else None

    def unfinished(self) -> Tuple[Delivery, ...]:
        """Deliveries that have no answer yet, in the order in which they came."""
        rows = self._rows(f"SELECT {_DELIVERY} FROM deliveries WHERE finished IS NULL ORDER BY turn")
        return tuple(map(_as_delivery, rows))

    def last_policy(self, key: str, *, besides: str = "") -> Optional[Dict[str, Any]]:
        """The policy of the key's delivery that came last, as it was written down; None where there was none.

        Deliveries whose id begins with ``besides`` do not count.
        """
        row = self._row(
            "SELECT policy FROM deliveries WHERE key = ? AND policy != '{}' AND (? = '' OR substr(config_id, 1,"
            " length(?)) != ?) ORDER BY turn DESC LIMIT 1",
            *(key, besides, besides, besides),
        )
        return json.loads(row[0]) if row else None

    def start(self, config_id: str, now: float) -> bool:
        """A worker takes the delivery up. False where it has its answer already."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE deliveries SET started = coalesce(started, ?) WHERE config_id = ? AND finished IS NULL",
                    (now, config_id),
                ).rowcount
            )

    def is_overtaken(self, config_id: str) -> bool:
        """Has a newer delivery under the same resource name come?"""
        return bool(self._rows(_OVERTAKEN, config_id))

    def finish(
        self, config_id: str, body: str, target: Optional[SignalTarget], now: float, *, unless_started: bool = False
    ) -> bool:
        """The answer of a delivery, and with ``target`` the duty to send it: both or neither. The first answer stays.

        ``unless_started``: only where no worker has taken it up. Returns whether this is the answer now.

        Where a newer delivery under the same name has come meanwhile, the answer is superseded from the start.
        """
        with self._transaction() as db:
            return self._finish(db, config_id, body, target, now, unless_started=unless_started)

    def _finish(
        self,
        db: sqlite3.Connection,
        config_id: str,
        body: str,
        target: Optional[SignalTarget],
        now: float,
        *,
        unless_started: bool,
    ) -> bool:
        changed = db.execute(
            "UPDATE deliveries SET finished = ?, body = ?, request = NULL WHERE config_id = ? AND finished IS NULL"
            " AND (started IS NULL OR NOT ?)",
            (now, body, config_id, unless_started),
        ).rowcount
        if changed and target is not None:
            newer = db.execute(_OVERTAKEN, (config_id,)).fetchone()
            secret = None if newer else json.dumps(target.as_json())
            db.execute(
                "INSERT OR REPLACE INTO outbox (config_id, address, target, body, standing, tries, updated,"
                " last_answer) VALUES (?, ?, ?, ?, ?, 0, ?, '')",
                (config_id, _address(target) or "", secret, body, "superseded" if newer else "owed", now),
            )
        return bool(changed)

    def settle(self, config_id: str, standing: str, answer: str, now: float) -> None:
        """Note one try: "owed" keeps the target, every other standing ("delivered", "refused", "superseded") wipes its
        secrets.

        What is no longer owed stays as it is: somebody else may have sent or superseded it while this try was on its
        way.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET standing = ?, last_answer = ?, updated = ?, tries = tries + 1,"
                " target = CASE WHEN ? = 'owed' THEN target END WHERE config_id = ? AND standing = 'owed'",
                (standing, answer, now, standing, config_id),
            )

    def owed(self) -> Tuple[OwedSignal, ...]:
        return tuple(signal for signal in self.signals() if signal.standing == "owed")

    def superseded(self) -> FrozenSet[str]:
        """The deliveries whose result a newer one has overtaken. Their bodies stay unread: each delivery asks, and
        there may be many.
        """
        return frozenset(row[0] for row in self._rows("SELECT config_id FROM outbox WHERE standing = 'superseded'"))

    def signals(self, config_id: Optional[str] = None) -> Tuple[OwedSignal, ...]:
        """Every result that was to be sent, the oldest first."""
        rows = self._rows(
            "SELECT config_id, body, standing, tries, updated, target, last_answer FROM outbox"
            " WHERE ? IS NULL OR config_id = ? ORDER BY updated",
            config_id,
            config_id,
        )
        return tuple(_as_signal(*row) for row in rows)


def _address(target: SignalTarget) -> Optional[str]:
    """Under which name Heat takes the signal. None outside of any stack: such a deployment has a URL of its own."""
    if not (target.stack_id and target.resource_name):
        return None
    return json.dumps([target.stack_id, target.resource_name])


def _request_as_json(request: Request) -> Dict[str, Any]:
    return {"signal": request.signal.as_json(), "outputs": [dataclasses.asdict(output) for output in request.outputs]}


def _as_request(text: Optional[str]) -> Optional[Request]:
    if text is None:
        return None
    data = json.loads(text)
    return Request(SignalTarget.from_json(data["signal"]), tuple(Output(**output) for output in data["outputs"]))


def _as_delivery(row: Sequence[Any]) -> Delivery:
    config_id, key, value, action, received, policy, restore, started, finished, run, body, request = row
    return Delivery(
        config_id,
        key,
        value,
        action,
        received,
        json.loads(policy),
        restore,
        started,
        finished,
        run,
        body,
        _as_request(request),
    )


def _as_signal(
    config_id: str, body: str, standing: str, tries: int, updated: float, target: Optional[str], answer: str
) -> OwedSignal:
    where = SignalTarget.from_json(json.loads(target)) if target else None
    return OwedSignal(config_id, body, standing, tries, updated, where, answer)
