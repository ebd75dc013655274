"""The file behind the ledger: opened privately, checked, written in durable transactions."""

import errno
import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

from os_update_agent.ledger import reserve
from os_update_agent.model.errors import LedgerError

# 1: the first published schema.
SCHEMA = 1
# Hundreds of callers may ask at once on a node that has no time for them; who gives up tells Heat a failure.
BUSY_SECONDS = 240.0

_TABLES = """
CREATE TABLE states (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, backend TEXT NOT NULL, native TEXT NOT NULL,
                     install_only TEXT NOT NULL,
                     base INTEGER, depth INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX states_digest ON states (digest);
CREATE TABLE histories (key TEXT PRIMARY KEY, current TEXT, first_state INTEGER);
CREATE TABLE records (key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER, tried REAL NOT NULL, reached REAL,
                      run INTEGER, reached_run INTEGER, turn INTEGER, PRIMARY KEY (key, value)) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, config_id TEXT NOT NULL, finished REAL,
                   document TEXT NOT NULL);
CREATE INDEX runs_open ON runs (finished) WHERE finished IS NULL;
CREATE TABLE deliveries (turn INTEGER PRIMARY KEY AUTOINCREMENT, config_id TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
                         value TEXT NOT NULL, action TEXT NOT NULL, received REAL NOT NULL, policy TEXT NOT NULL,
                         restore INTEGER, started REAL, finished REAL, run INTEGER, body TEXT, address TEXT,
                         request TEXT);
CREATE INDEX deliveries_open ON deliveries (turn) WHERE finished IS NULL;
CREATE TABLE outbox (config_id TEXT PRIMARY KEY, address TEXT NOT NULL, target TEXT, body TEXT NOT NULL,
                     standing TEXT NOT NULL, tries INTEGER NOT NULL, updated REAL NOT NULL,
                     last_answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archive (name TEXT NOT NULL, arch TEXT NOT NULL, version TEXT NOT NULL, file TEXT NOT NULL,
                      sha256 TEXT NOT NULL, size INTEGER NOT NULL, installed_kb INTEGER NOT NULL, origin TEXT NOT NULL,
                      PRIMARY KEY (name, arch, version)) WITHOUT ROWID;
"""


class Database:
    """The file at ``path``; made when it is not there. With ``reading`` one on a disk that takes no writes will do.

    Raises LedgerError when it cannot be opened, is damaged or was written by a newer agent.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self.path = path
        with self._complaints():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                reserve.drop(path.parent)
            elif reserve.is_kept(path.parent) and not path.stat().st_size:
                # SQLite would take it for a new one. In this order: who has just made one keeps a reserve when it is
                # made.
                raise LedgerError(
                    f"the ledger {path} is empty, and was in use before: put its content back, or {self._afresh}"
                )
            if not _is_writable(path, reading):
                # A disk that went bad was mounted anew: what is recorded can still be told.
                self._db = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
                )
            else:
                self._db = sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None)
                # TRUNCATE with secure_delete: what is wiped (signal secrets) is gone from the file and from its
                # journal.
                self._db.executescript(
                    "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
                )
            self._prepare()

    @property
    def _afresh(self) -> str:
        return (
            f"move the whole directory {self.path.parent} away to start a new history, which touches no installed"
            " package; were the ledger moved alone, the kept package files would be nobody's, and pruned"
        )

    def _prepare(self) -> None:
        schema = self._db.execute("PRAGMA user_version").fetchone()[0]
        if schema == SCHEMA:
            return
        if schema > SCHEMA:
            raise LedgerError(
                f"the ledger {self.path} has schema {schema}; this os-update-agent knows schemas up to {SCHEMA}: "
                f"install the newer agent again, or {self._afresh}"
            )
        with self._transaction():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def keep_reserve(self) -> None:
        """Keep room on the disk for what a run has yet to write. Raises nothing: without it only a full disk is
        worse.
        """
        reserve.keep(self.path.parent)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            hint = "; the command is for root" if isinstance(error, PermissionError) and os.geteuid() else ""
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                hint = f"; it is damaged: {self._afresh}"
            raise LedgerError(f"the ledger {self.path} cannot be used: {error}{hint}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._complaints():
            reserve.give_up_if_needed(self.path.parent)
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


def _is_writable(path: Path, reading: bool) -> bool:
    """Can the file, which is there from now on, be written? Raises OSError where not, unless it is only for
    ``reading``.
    """
    try:
        # Made before SQLite opens it, so that the file never had a wider mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        if not (reading and error.errno == errno.EROFS and path.exists()):
            raise
        return False
    return True


def peek(path: Path, column: str) -> Tuple[str, ...]:
    """The values ("value") or the keys ("key") that a ledger knows, the latest first, without making, changing or
    waiting for anything.

    Nothing where there is no ledger, or none that can be read.
    """
    sql = {
        "value": "SELECT value FROM records GROUP BY value ORDER BY max(coalesce(turn, 0)) DESC, max(tried) DESC",
        "key": "SELECT key FROM histories ORDER BY key",
    }[column]
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)
        try:
            return tuple(row[0] for row in database.execute(sql))
        finally:
            database.close()
    except sqlite3.Error:
        return ()
