"""The only memory: deliveries, runs, package states, kept files and owed signals, in one SQLite file that is durable at each commit.

States form a delta chain with a full state now and then; each is checked against its digest when it is read.
"""

import dataclasses
import json
import os
import sqlite3
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from os_update_agent.errors import LedgerError
from os_update_agent.model import (
    ArchiveEntry,
    Delivery,
    HeldBack,
    History,
    Identity,
    Output,
    OwedSignal,
    PackageState,
    Record,
    Request,
    Run,
    SignalTarget,
)

# 1: the first published schema.
SCHEMA = 1
FULL_EVERY = 32
BUSY_SECONDS = 60.0
_GONE, _COME = "-", "+"

_TABLES = """
CREATE TABLE states (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, backend TEXT NOT NULL, native TEXT NOT NULL,
                     install_only TEXT NOT NULL,
                     base INTEGER, depth INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX states_digest ON states (digest);
CREATE TABLE histories (key TEXT PRIMARY KEY, current TEXT, first_state INTEGER);
CREATE TABLE records (key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER, tried REAL NOT NULL, reached REAL, run INTEGER,
                      reached_run INTEGER, turn INTEGER, PRIMARY KEY (key, value)) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, config_id TEXT NOT NULL, finished REAL,
                   document TEXT NOT NULL);
CREATE INDEX runs_open ON runs (finished) WHERE finished IS NULL;
CREATE TABLE deliveries (turn INTEGER PRIMARY KEY AUTOINCREMENT, config_id TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
                         value TEXT NOT NULL, action TEXT NOT NULL, received REAL NOT NULL, policy TEXT NOT NULL, restore INTEGER,
                         started REAL, finished REAL, run INTEGER, body TEXT, address TEXT, request TEXT);
CREATE INDEX deliveries_open ON deliveries (turn) WHERE finished IS NULL;
CREATE TABLE outbox (config_id TEXT PRIMARY KEY, address TEXT NOT NULL, target TEXT, body TEXT NOT NULL, standing TEXT NOT NULL,
                     tries INTEGER NOT NULL, updated REAL NOT NULL, last_answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archive (name TEXT NOT NULL, arch TEXT NOT NULL, version TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL,
                      size INTEGER NOT NULL, installed_kb INTEGER NOT NULL, origin TEXT NOT NULL,
                      PRIMARY KEY (name, arch, version)) WITHOUT ROWID;
"""

_DELIVERY = "config_id, key, value, action, received, policy, restore, started, finished, run, body, request"
_OVERTAKEN = "SELECT 1 FROM deliveries AS mine JOIN deliveries AS other USING (address) WHERE mine.config_id = ? AND other.turn > mine.turn"


class Ledger:
    """The ledger at ``path``; made when it is not there. Every public method that writes is one durable transaction.

    Raises LedgerError when the file cannot be opened, is damaged or was written by a newer agent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: Optional[Tuple[int, PackageState]] = None
        with self._complaints():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made before SQLite opens it, so that the file never had a wider mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None)
            # TRUNCATE with secure_delete: what is wiped (signal secrets) is gone from the file and from its journal.
            self._db.executescript("PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
            self._prepare()

    def _prepare(self) -> None:
        schema = self._db.execute("PRAGMA user_version").fetchone()[0]
        if schema == SCHEMA:
            return
        if schema > SCHEMA:
            raise LedgerError(
                f"the ledger {self.path} has schema {schema}; this os-update-agent knows schemas up to {SCHEMA}: "
                "install the newer agent again, or move the ledger away to start a new history"
            )
        with self._transaction():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            hint = ""
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                hint = "; it is damaged: move it away to start a new history, the packages themselves are not touched by this"
            raise LedgerError(f"the ledger {self.path} cannot be used: {error}{hint}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._complaints():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, *parameters: Any) -> List[Any]:
        with self._complaints():
            return self._db.execute(sql, parameters).fetchall()

    def _row(self, sql: str, *parameters: Any) -> Optional[Any]:
        rows = self._rows(sql, *parameters)
        return rows[0] if rows else None

    # --- states

    def put_state(self, state: PackageState) -> int:
        """Keep the state; the same rows are kept once. Returns its number."""
        with self._transaction():
            known = self._db.execute("SELECT max(id) FROM states WHERE digest = ?", (state.digest,)).fetchone()[0]
            if known is not None:
                return int(known)
            number = self._insert_state(state)
        self._last = number, state
        return number

    def _insert_state(self, state: PackageState) -> int:
        latest = self._db.execute("SELECT id, depth FROM states ORDER BY id DESC LIMIT 1").fetchone()
        lines = frozenset(state.lines)
        base: Optional[int] = None
        depth = 0
        content: List[str] = []
        if latest is not None and latest[1] + 1 < FULL_EVERY:
            base, depth = latest[0], latest[1] + 1
            content = _delta(self._lines(latest[0]), lines)
        if base is None or len(content) >= len(lines):
            base, depth, content = None, 0, _delta(frozenset(), lines)
        body = zlib.compress("\n".join(content).encode(), 6)
        cursor = self._db.execute(
            "INSERT INTO states (digest, backend, native, install_only, base, depth, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (state.digest, state.backend, state.native, " ".join(sorted(state.install_only)), base, depth, body),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def state(self, number: int) -> PackageState:
        """The state with that number. Raises LedgerError when it is not there or differs from its digest."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        digest, backend, native, install_only, _, _ = self._state_row(number)
        try:
            state = PackageState.of_lines(backend, native, self._lines(number), install_only.split())
        except TypeError as error:
            raise self._damaged(f"state {number} has a row that is none") from error
        if state.digest != digest:
            raise self._damaged(f"state {number} does not match its digest")
        self._last = number, state
        return state

    def _lines(self, number: int) -> FrozenSet[str]:
        """The lines of a state, put together along its chain of deltas; not checked against the digest."""
        if self._last is not None and self._last[0] == number:
            return frozenset(self._last[1].lines)
        chain: List[str] = []
        base: Optional[int] = number
        while base is not None:
            *_, base, body = self._state_row(base)
            try:
                chain.append(zlib.decompress(body).decode())
            except (zlib.error, ValueError) as error:
                raise self._damaged(f"state {number} cannot be unpacked: {error}") from error
        lines: Set[str] = set()
        for content in reversed(chain):
            marked = content.split("\n")
            lines.difference_update(line[1:] for line in marked if line[:1] == _GONE)
            lines.update(line[1:] for line in marked if line[:1] == _COME)
        return frozenset(lines)

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError(f"the ledger {self.path} is damaged: {what}")

    def _state_row(self, number: int) -> Any:
        row = self._row("SELECT digest, backend, native, install_only, base, body FROM states WHERE id = ?", number)
        if row is None:
            raise self._damaged(f"state {number} is missing")
        return row

    def digest(self, number: int) -> str:
        return str(self._state_row(number)[0])

    # --- histories

    def all_keys(self) -> Tuple[str, ...]:
        return tuple(row[0] for row in self._rows("SELECT key FROM histories ORDER BY key"))

    def history(self, key: str) -> History:
        """What is known under the key: the values in the order in which they were reached last, then those that never were."""
        row = self._row("SELECT current, first_state FROM histories WHERE key = ?", key) or (None, None)
        records = self._rows(
            "SELECT value, state, tried, reached, run, reached_run FROM records WHERE key = ? ORDER BY turn IS NULL, turn, run", key
        )
        return History(key, row[0], row[1], tuple(Record(*record) for record in records))

    def record_reached(self, key: str, value: str, state: int, run: Optional[int], now: float) -> None:
        """The node stands at the value, and this is its state."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO histories (key, current) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET current = excluded.current",
                (key, value),
            )
            db.execute(
                "INSERT INTO records (key, value, state, tried, reached, run, reached_run, turn)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM records)) ON CONFLICT (key, value) DO UPDATE"
                " SET state = excluded.state, reached = excluded.reached, run = excluded.run, reached_run = excluded.reached_run,"
                " turn = excluded.turn",
                (key, value, state, now, now, run, run),
            )

    def record_departing(self, key: str, value: str, state: int) -> None:
        """Just before an update: the state under the value that the node leaves, which an operator may have changed since."""
        with self._transaction() as db:
            db.execute("UPDATE records SET state = ? WHERE key = ? AND value = ? AND reached IS NOT NULL", (state, key, value))

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

    # --- runs

    def open_run(self, run: Run) -> Run:
        """Begin a run: gives it its number, and to its delivery the run. A run that leads to a value makes it known as tried."""
        with self._transaction() as db:
            cursor = db.execute("INSERT INTO runs (key, config_id, document) VALUES (?, ?, '{}')", (run.key, run.config_id))
            assert cursor.lastrowid is not None
            run = replace(run, id=cursor.lastrowid)
            self._write_run(run)
            db.execute("UPDATE deliveries SET run = ? WHERE config_id = ?", (run.id, run.config_id))
            if run.leads_to_value:
                db.execute("INSERT OR IGNORE INTO histories (key) VALUES (?)", (run.key,))
                db.execute(
                    "INSERT INTO records (key, value, tried, run) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (key, value) DO UPDATE SET tried = excluded.tried, run = excluded.run",
                    (run.key, run.value, run.started, run.id),
                )
        return run

    def begin_change(self, run: Run) -> None:
        """Write ahead that packages change from now on: the run says so, and the key stands at no value until a run's end says which."""
        with self._transaction() as db:
            self._write_run(run)
            db.execute("UPDATE histories SET current = NULL WHERE key = ?", (run.key,))

    def save_run(self, run: Run) -> None:
        """Write ahead: after this returns, the run is at ``run.phase`` whatever happens."""
        with self._transaction():
            self._write_run(run)

    def _write_run(self, run: Run) -> None:
        document = json.dumps({k: v for k, v in dataclasses.asdict(run).items() if k != "id"}, separators=(",", ":"))
        self._db.execute("UPDATE runs SET finished = ?, document = ? WHERE id = ?", (run.finished, document, run.id))

    def run(self, number: int) -> Optional[Run]:
        row = self._row("SELECT id, document FROM runs WHERE id = ?", number)
        return _as_run(*row) if row else None

    def runs(self, key: Optional[str] = None, limit: int = -1) -> Tuple[Run, ...]:
        """Runs, the newest first."""
        rows = self._rows("SELECT id, document FROM runs WHERE ? IS NULL OR key = ? ORDER BY id DESC LIMIT ?", key, key, limit)
        return tuple(_as_run(*row) for row in rows)

    def open_runs(self) -> Tuple[Run, ...]:
        return tuple(_as_run(*row) for row in self._rows("SELECT id, document FROM runs WHERE finished IS NULL ORDER BY id"))

    # --- deliveries and the outbox

    def receive(self, delivery: Delivery) -> Delivery:
        """Write a delivery down before anything is done for it; one that is there already stays as it is.

        Whom to answer goes with it, so that a crash cannot lose it; finish() wipes these secrets. A signal is addressed by resource
        name (heat: ResourceController.signal), so with a new delivery an older result that is still owed under the same name is
        superseded: it would finish this one.
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
            "INSERT OR IGNORE INTO deliveries (config_id, key, value, action, received, policy, restore, address, request)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(delivery.config_id, delivery.key, delivery.value, delivery.action, delivery.received),
                *(json.dumps(delivery.policy), delivery.restore, address, request),
            ),
        ).rowcount
        if is_new and address is not None:
            db.execute(
                "UPDATE outbox SET standing = 'superseded', target = NULL, updated = ? WHERE address = ? AND standing = 'owed'",
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
            "SELECT policy FROM deliveries WHERE key = ? AND policy != '{}' AND (? = '' OR substr(config_id, 1, length(?)) != ?)"
            " ORDER BY turn DESC LIMIT 1",
            *(key, besides, besides, besides),
        )
        return json.loads(row[0]) if row else None

    def start(self, config_id: str, now: float) -> bool:
        """A worker takes the delivery up. False where it has its answer already."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE deliveries SET started = coalesce(started, ?) WHERE config_id = ? AND finished IS NULL", (now, config_id)
                ).rowcount
            )

    def is_overtaken(self, config_id: str) -> bool:
        """Has a newer delivery under the same resource name come?"""
        return bool(self._rows(_OVERTAKEN, config_id))

    def finish(self, config_id: str, body: str, target: Optional[SignalTarget], now: float, *, unless_started: bool = False) -> bool:
        """The answer of a delivery, and with ``target`` the duty to send it: both or neither. The first answer stays.

        ``unless_started``: only where no worker has taken it up. Returns whether this is the answer now.

        Where a newer delivery under the same name has come meanwhile, the answer is superseded from the start.
        """
        with self._transaction() as db:
            return self._finish(db, config_id, body, target, now, unless_started=unless_started)

    def _finish(
        self, db: sqlite3.Connection, config_id: str, body: str, target: Optional[SignalTarget], now: float, *, unless_started: bool
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
                "INSERT OR REPLACE INTO outbox (config_id, address, target, body, standing, tries, updated, last_answer)"
                " VALUES (?, ?, ?, ?, ?, 0, ?, '')",
                (config_id, _address(target), secret, body, "superseded" if newer else "owed", now),
            )
        return bool(changed)

    def settle(self, config_id: str, standing: str, answer: str, now: float) -> None:
        """Note one try: "owed" keeps the target, every other standing ("delivered", "refused", "superseded") wipes its secrets.

        What is no longer owed stays as it is: somebody else may have sent or superseded it while this try was on its way.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET standing = ?, last_answer = ?, updated = ?, tries = tries + 1,"
                " target = CASE WHEN ? = 'owed' THEN target END WHERE config_id = ? AND standing = 'owed'",
                (standing, answer, now, standing, config_id),
            )

    def owed(self) -> Tuple[OwedSignal, ...]:
        return tuple(signal for signal in self.signals() if signal.standing == "owed")

    def signals(self, config_id: Optional[str] = None) -> Tuple[OwedSignal, ...]:
        """Every result that was to be sent, the oldest first."""
        rows = self._rows(
            "SELECT config_id, body, standing, tries, updated, target, last_answer FROM outbox"
            " WHERE ? IS NULL OR config_id = ? ORDER BY updated",
            config_id,
            config_id,
        )
        return tuple(_as_signal(*row) for row in rows)

    # --- kept package files

    def archive_entries(self) -> Dict[Identity, ArchiveEntry]:
        rows = self._rows("SELECT file, name, arch, version, sha256, size, installed_kb, origin FROM archive")
        return {entry.identity: entry for entry in (ArchiveEntry(*row) for row in rows)}

    def add_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO archive (file, name, arch, version, sha256, size, installed_kb, origin)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [dataclasses.astuple(entry) for entry in entries],
            )

    def drop_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM archive WHERE name = ? AND arch = ? AND version = ?", [entry.identity for entry in entries])


def _address(target: SignalTarget) -> str:
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
        config_id, key, value, action, received, json.loads(policy), restore, started, finished, run, body, _as_request(request)
    )


def _as_signal(config_id: str, body: str, standing: str, tries: int, updated: float, target: Optional[str], answer: str) -> OwedSignal:
    where = SignalTarget.from_json(json.loads(target)) if target else None
    return OwedSignal(config_id, body, standing, tries, updated, where, answer)


def _delta(base: FrozenSet[str], lines: FrozenSet[str]) -> List[str]:
    """What goes and what comes from ``base`` to ``lines``; from nothing that is the full state."""
    return [_GONE + line for line in sorted(base - lines)] + [_COME + line for line in sorted(lines - base)]


def _as_run(number: int, document: str) -> Run:
    known = {field.name for field in dataclasses.fields(Run)}
    data = {name: value for name, value in json.loads(document).items() if name in known}
    data["held_back"] = tuple(HeldBack(**item) for item in data.get("held_back", ()))
    for name in ("not_restorable", "repacked", "removes_foreign", "notes", "complaints"):
        data[name] = tuple(data.get(name, ()))
    return Run(id=number, **data)
