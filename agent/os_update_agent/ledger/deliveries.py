"""Deliveries and their results."""

import json
import sqlite3
from dataclasses import replace
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.decision.shared_keys import Claim, claim_of
from os_update_agent.ledger.database import Database, next_number
from os_update_agent.ledger.kinds import REQUEST, TARGET
from os_update_agent.model.deliveries import ACTIVE_ACTIONS, Delivery, Request, SignalTarget
from os_update_agent.model.documents import parsed
from os_update_agent.model.errors import Damaged
from os_update_agent.model.field_types import Unreadable, row_of
from os_update_agent.model.policy import POLICY, Policy

_DELIVERY = "turn, config_id, key, value, action, received, restore, started, finished, run, body, policy, request"
_OVERTAKEN = (
    "SELECT 1 FROM deliveries AS mine JOIN deliveries AS other USING (address) WHERE mine.config_id = ? AND other.turn"
    " > mine.turn"
)


class _Row(NamedTuple):
    config_id: str
    key: str
    value: str
    action: str
    received: float
    restore: Optional[int]
    started: Optional[float]
    finished: Optional[float]
    run: Optional[int]
    body: Optional[str]


class DeliveryProgress(NamedTuple):
    """How far a delivery has come: whether it has its result, whether a worker has taken it up, and its run."""

    is_answered: bool
    is_taken_up: bool
    run: Optional[int]


class Deliveries(Database):
    """The table of deliveries. A result that is to be sent also gets a row in the outbox (ledger/signals.py)."""

    def receive(self, delivery: Delivery) -> Delivery:
        """Store a delivery before anything is done for it, and return what is stored: a known delivery stays as it is.

        The request is stored too, so that a crash cannot lose it; finish() wipes its secrets. A signal is addressed by
        resource name (heat: ResourceController.signal). An older result that Heat has not accepted under the same name
        is superseded: it would finish the new delivery, also if an operator sent it by hand.
        """
        with self._transaction() as db:
            self._receive(db, delivery)
        return self.delivery(delivery.config_id) or delivery

    def receive_answered(self, delivery: Delivery, body: str, target: Optional[SignalTarget]) -> bool:
        """Store a delivery together with its result. Returns False, and stores nothing, if the delivery is known."""
        with self._transaction() as db:
            is_new = self._receive(db, delivery)
            if is_new:
                self._finish(db, delivery.config_id, body, target, delivery.received, unless_started=False)
        return is_new

    def _receive(self, db: sqlite3.Connection, delivery: Delivery) -> bool:
        request = None if delivery.request is None else REQUEST.encode(delivery.request)
        address = None if delivery.request is None else address_of(delivery.request.signal)
        is_new = db.execute(
            "INSERT OR IGNORE INTO deliveries (turn, config_id, key, value, action, received, policy, restore, address,"
            f" request) VALUES ({next_number('deliveries', 'turn')}, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        """Return the delivery with the id, None where there is none. Raises Damaged."""
        row = self._row(f"SELECT {_DELIVERY} FROM deliveries WHERE config_id = ?", config_id)
        return self._delivery_of(row) if row else None

    def progress(self, config_id: str) -> DeliveryProgress:
        """Return how far the delivery has come. An unknown one counts as answered.

        A caller asks this many times a second while it waits, so the rest of the row stays unread.
        """
        row = self._row(
            "SELECT finished IS NOT NULL, started IS NOT NULL, run FROM deliveries WHERE config_id = ?", config_id
        )
        if row is None:
            return DeliveryProgress(is_answered=True, is_taken_up=False, run=None)
        return DeliveryProgress(bool(row[0]), bool(row[1]), row[2] if isinstance(row[2], int) else None)

    def unfinished(self) -> Tuple[Delivery, ...]:
        """Return the deliveries that have no answer yet and can be read, in the order in which they came."""
        return tuple(self._readable(self._unfinished_rows(), self._delivery_of))

    def damaged_unfinished(self) -> Tuple[Damaged, ...]:
        """Return the errors that name the unanswered deliveries that cannot be read; ``row`` is what
        ``damaged_request`` and ``finish_damaged`` take.
        """
        found = []
        for row in self._unfinished_rows():
            try:
                self._delivery_of(row)
            except Damaged as damage:
                found.append(damage)
        return tuple(found)

    def damaged_request(self, turn: int) -> Optional[Tuple[str, Request]]:
        """Return the id of a delivery that cannot be read, and whom to answer, if these can be read."""
        row = self._row("SELECT config_id, request FROM deliveries WHERE turn = ?", turn)
        try:
            return (row[0], REQUEST.decode(row[1])) if row and isinstance(row[0], str) else None
        except Unreadable:
            return None

    def finish_damaged(self, turn: int, body: str, target: Optional[SignalTarget], now: float) -> None:
        """Answer a delivery that cannot be read. Its other columns become readable: the first answer stays, and is
        what this delivery gets when it comes again.
        """
        row = self._row("SELECT config_id, key, value, action FROM deliveries WHERE turn = ?", turn)
        # The turn keeps an id of its own for each of them.
        texts = [one if isinstance(one, str) else f"{one!r} of delivery {turn}" for one in row or ()]
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE deliveries SET config_id = ?, key = ?, value = ?, action = ?, policy = '{}', restore = NULL,"
                " started = NULL, body = NULL, run = CASE WHEN typeof(run) = 'integer' THEN run END,"
                " received = CASE WHEN abs(received) < 1e12 THEN abs(received) ELSE ? END"
                " WHERE turn = ? AND finished IS NULL",
                (*texts, now, turn),
            ).rowcount
            if changed:
                self._finish(db, texts[0], body, target, now, unless_started=False)

    def _unfinished_rows(self) -> Sequence[Any]:
        return self._rows(f"SELECT {_DELIVERY} FROM deliveries WHERE finished IS NULL ORDER BY turn")

    def last_policy(self, key: str, *, besides: str = "") -> Optional[Policy]:
        """Return the policy of the key's delivery that came last, as it was stored; None where there was none.

        Only deliveries that may touch packages count, and none whose id begins with ``besides``. Raises Damaged: older
        options may not hold any more.
        """
        rows = self._policy_rows(key, besides, 1)
        return self._policy_of(rows[0]) if rows else None

    def last_readable_policy(self, key: str, *, besides: str = "") -> Optional[Policy]:
        """Return the same as last_policy(), without the deliveries whose policy is damaged."""
        return next(self._readable(self._policy_rows(key, besides, -1), self._policy_of), None)

    def _policy_rows(self, key: str, besides: str, limit: int) -> Sequence[Any]:
        return self._rows(
            "SELECT config_id, policy FROM deliveries WHERE key = ? AND policy != '{}' AND action IN"
            f" {ACTIVE_ACTIONS} AND (? = '' OR substr(config_id, 1, length(?)) != ?) ORDER BY turn DESC LIMIT ?",
            *(key, besides, besides, besides, limit),
        )

    def _policy_of(self, row: Sequence[Any]) -> Policy:
        return self._read(_called(row[0]), lambda: POLICY.decode(row[1]))

    def claims(self, key: str) -> Tuple[Claim, ...]:
        """Return the deliveries of updates that were carried out under the key, the newest first, if they came from
        several deployments; nothing if all came from one. Those by hand and those that cannot be read are left out.
        """
        where = f"key = ? AND address IS NOT NULL AND value != '' AND action IN {ACTIVE_ACTIONS}"
        if len(self._rows(f"SELECT DISTINCT address FROM deliveries WHERE {where} LIMIT 2", key)) < 2:
            return ()
        rows = self._rows(
            f"SELECT config_id, address, value, policy, run, body FROM deliveries WHERE {where}"
            " ORDER BY turn DESC LIMIT 500",
            key,
        )
        return tuple(claim for claim in self._readable(rows, self._claim_of) if claim is not None)

    def _claim_of(self, row: Sequence[Any]) -> Optional[Claim]:
        config_id, address, value, policy, run, body = row
        found = self._read(_called(config_id), lambda: POLICY.decode(policy))
        if found.operation != "update" or (run is None and not _is_success(body)):
            return None
        return claim_of(str(address), replace(found, value=str(value)))

    def start(self, config_id: str, now: float) -> bool:
        """Store that a worker has taken the delivery up. Returns False if the delivery has its result already."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE deliveries SET started = coalesce(started, ?) WHERE config_id = ? AND finished IS NULL",
                    (now, config_id),
                ).rowcount
            )

    def is_overtaken(self, config_id: str) -> bool:
        """Return whether a newer delivery under the same resource name is stored."""
        return bool(self._rows(_OVERTAKEN, config_id))

    def finish(
        self,
        config_id: str,
        body: str,
        target: Optional[SignalTarget],
        now: float,
        *,
        unless_started: bool = False,
        without_options: bool = False,
    ) -> bool:
        """Store the result of a delivery and, with a ``target``, the duty to send it: both or neither.

        The first result stays. With ``unless_started`` nothing is stored once a worker has taken the delivery up. If a
        newer delivery under the same name is stored, the result is superseded from the start. With ``without_options``
        last_policy() leaves the delivery out from now on. Returns whether ``body`` is the result now.
        """
        with self._transaction() as db:
            if without_options:
                db.execute("UPDATE deliveries SET policy = '{}' WHERE config_id = ? AND finished IS NULL", (config_id,))
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
            secret = None if newer else TARGET.encode(target)
            db.execute(
                "INSERT OR REPLACE INTO outbox (config_id, address, target, body, standing, tries, updated,"
                " last_answer) VALUES (?, ?, ?, ?, ?, 0, ?, '')",
                (config_id, address_of(target) or "", secret, body, "superseded" if newer else "owed", now),
            )
        return bool(changed)

    def _delivery_of(self, row: Sequence[Any]) -> Delivery:
        """Return the delivery of a row. Raises Damaged, NewerDocument."""
        turn, config_id, policy, request = row[0], row[1], row[-2], row[-1]
        name = _called(config_id)
        fields = self._read(name, lambda: row_of(_Row, row[1:-2]), turn)
        options = self._read(f"{name}, its policy,", lambda: _policy(policy), turn)
        found = Delivery(**fields._asdict(), policy=options)
        if request is None:
            return found
        return found._replace(request=self._read(f"{name}, its request,", lambda: REQUEST.decode(request), turn))


def address_of(target: SignalTarget) -> Optional[str]:
    """Return the name under which Heat takes the signal; None outside of any stack, where each URL stands alone."""
    if not (target.stack_id and target.resource_name):
        return None
    return json.dumps([target.stack_id, target.resource_name])


def _policy(text: Any) -> Dict[str, Any]:
    """Return the stored policy; an empty one is that of a delivery without options. Raises Unreadable."""
    data: Dict[str, Any] = parsed(text)
    if data != {}:
        POLICY.check(data)
    return data


def _is_success(body: Any) -> bool:
    try:
        return bool(json.loads(body)["deploy_status_code"] == 0)
    except (TypeError, ValueError, LookupError):
        return False


def _called(config_id: Any) -> str:
    return f"delivery {config_id!r:.80}"
