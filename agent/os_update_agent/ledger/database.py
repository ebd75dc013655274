"""The file behind the ledger: opened privately, checked, written in durable transactions."""

import errno
import logging
import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union

from os_update_agent.ledger import reserve
from os_update_agent.ledger.tables import TABLES
from os_update_agent.model.documents import TooNew
from os_update_agent.model.errors import Damaged, LedgerError, NewerDocument
from os_update_agent.model.field_types import Unreadable
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

T = TypeVar("T")

# 1: the first published schema. 2: documents have a version; the agent of schema 1 fails on a document with one. 3: the
# archive holds several builds of one version. 4: a key knows the value with which it began, and who has moved it.
SCHEMA = 4


def _with_builds(db: sqlite3.Connection) -> None:
    """Make the table of kept files anew: SQLite cannot change a primary key."""
    db.execute("ALTER TABLE archive RENAME TO archive_2")
    db.execute(next(statement for statement in TABLES.split(";") if "CREATE TABLE archive " in statement))
    columns = "file, name, arch, version, sha256, size, installed_kb, origin"
    db.execute(f"INSERT INTO archive ({columns}, digest) SELECT {columns}, '' FROM archive_2")
    db.execute("DROP TABLE archive_2")


def _with_beginnings(db: sqlite3.Connection) -> None:
    """Add what a key began with: for a key whose only baseline is still recorded as one, that value."""
    for column in ("began TEXT", "moved_from TEXT", "moved_by INTEGER"):
        db.execute(f"ALTER TABLE histories ADD COLUMN {column}")
    baselines = "FROM records WHERE records.key = histories.key AND reached IS NOT NULL AND reached_run IS NULL"
    db.execute(
        f"UPDATE histories SET began = (SELECT min(value) {baselines})"
        f" WHERE first_state IS NULL AND (SELECT count(*) {baselines}) = 1"
    )


# A ledger from this schema on can be read as it is: a command that only reads, and a disk that takes no writes, leave
# it at its schema.
READABLE = 1
# For each schema the function that makes the next one of it, inside the transaction of all of them.
MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], object]] = {
    # The documents are upgraded when they are read.
    1: lambda db: db.execute("ALTER TABLE runs ADD COLUMN changes TEXT"),
    2: _with_builds,
    3: _with_beginnings,
}
# Hundreds of callers may ask at once on a node that has no time for them; who gives up tells Heat a failure.
BUSY_SECONDS = 240.0


class Database:
    """The file at ``path``, made if it is not there. With ``reading`` a disk that takes no writes is enough, and an
    older schema stays as it is.

    Raises LedgerError if the file cannot be opened, is damaged or was written by a newer agent.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self.path = path
        # The damaged records that were met, each named once in the log.
        self._noted: Dict[str, Damaged] = {}
        self._is_reading = reading
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
        schema = self._schema()
        if schema == SCHEMA or (self._is_reading and READABLE <= schema < SCHEMA):
            return
        if schema > SCHEMA:
            raise LedgerError(
                f"the ledger {self.path} has schema {schema}; this os-update-agent knows schemas up to {SCHEMA}: "
                f"install the newer agent again, or {self._afresh}"
            )
        with self._transaction() as db:
            # Another process may have been faster.
            schema = self._schema()
            if schema == 0:
                for statement in TABLES.split(";"):
                    db.execute(statement)
            for number in range(schema or SCHEMA, SCHEMA):
                MIGRATIONS[number](db)
            if schema < SCHEMA:
                db.execute(f"PRAGMA user_version={SCHEMA}")

    def _schema(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

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
        except Unreadable as error:
            raise LedgerError(f"the ledger {self.path} takes no record that {error}") from error
        except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
            hint = "; the command is for root" if isinstance(error, PermissionError) and os.geteuid() else ""
            # UnicodeDecodeError: SQLite names what is damaged in bytes that are no UTF-8.
            is_damage = isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError))
            if is_damage and not isinstance(error, sqlite3.OperationalError):
                hint = f"; it is damaged: {self._afresh}"
            if "locked" in str(error):
                hint = f" by {_holders(self.path)}; waited {BUSY_SECONDS:g} s"
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
            try:
                return self._db.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "Could not decode" not in str(error):
                    raise
            # A damaged text must not hide the other rows.
            self._db.text_factory = _text_or_bytes
            return self._db.execute(sql, parameters).fetchall()

    def _row(self, sql: str, *parameters: Any) -> Optional[Any]:
        rows = self._rows(sql, *parameters)
        return rows[0] if rows else None

    def _read(self, record: str, read: Callable[[], T], row: int = 0) -> T:
        """Return what ``read`` makes of a record. ``record`` names it, "run 12"; ``row`` is its row's number.

        Raises Damaged, NewerDocument.
        """
        try:
            return read()
        except TooNew as error:
            raise NewerDocument(
                f"the ledger {self.path}: {record} {error}: install the newer agent again, or {self._afresh}"
            ) from error
        except Unreadable as error:
            raise self._damaged(record, str(error), row) from error

    def _damaged(self, record: str, why: str, row: int = 0) -> Damaged:
        """Return the error for a damaged record, after it was logged for the first time."""
        damage = Damaged(f"the ledger {self.path} is damaged: {record} {why}", record=record, row=row)
        if record not in self._noted:
            self._noted[record] = damage
            log.warning(logged(ledger=self.path, damaged=record, why=why))
        return damage

    def _readable(self, rows: Iterable[Any], read: Callable[[Any], T]) -> Iterator[T]:
        """Yield what ``read`` makes of each row; leave out the damaged ones, which are logged. Raises NewerDocument."""
        for row in rows:
            try:
                yield read(row)
            except Damaged:
                continue


def next_number(table: str, column: str) -> str:
    """Return the SQL for the number of a new row. SQLite takes no row behind one whose damaged number is the largest
    that there is.
    """
    return f"(SELECT coalesce(max({column}), 0) + 1 FROM {table} WHERE {column} < 1e15)"


def _text_or_bytes(text: bytes) -> Union[str, bytes]:
    """Return the text, or its bytes if it is no UTF-8: the check of the row refuses these.

    A readable substitute would count as another value or id, one that the ledger does not know.
    """
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _is_writable(path: Path, reading: bool) -> bool:
    """Can the file, which is there from now on, be written? Raises OSError where not, unless it is only for
    ``reading``.
    """
    _check_kind(path)
    # SQLite waits for ever for the writer of a FIFO.
    _check_kind(path.with_name(f"{path.name}-journal"))
    try:
        # Made before SQLite opens it, so that the file never had a wider mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        if not (reading and error.errno == errno.EROFS and path.exists()):
            raise
        return False
    return True


def _holders(path: Path) -> str:
    """Return the processes that hold locks on a file, in words. The file is not opened for that: a process loses its
    own record locks on a file as soon as it closes it anywhere.
    """
    pids = set()
    with suppress(OSError, ValueError, IndexError):
        inode = str(os.stat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as lines:
            # 3: POSIX  ADVISORY  WRITE 4711 fe:00:394871 1073741826 1073742335 (proc_locks(5))
            for line in lines:
                fields = line.split()
                if fields[1] == "POSIX" and fields[5].rpartition(":")[2] == inode:
                    pids.add(int(fields[4]))
    return " and ".join(f"process {pid}" for pid in sorted(pids - {os.getpid()})) or "another process"


def _check_kind(path: Path) -> None:
    """Raise OSError if something else than a regular file is at the path."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))


_PEEK = {
    "value": "SELECT value FROM records GROUP BY value ORDER BY max(coalesce(turn, 0)) DESC, max(tried) DESC",
    "before": "SELECT '(before ' || began || ')' FROM histories WHERE first_state IS NOT NULL AND began IS NOT NULL",
    "key": "SELECT key FROM histories ORDER BY key",
    "run": "SELECT 'run:' || id FROM runs ORDER BY id DESC LIMIT 20",
}


def peek(path: Path, *columns: str) -> Tuple[str, ...]:
    """Return what a ledger knows, without making, changing or waiting for anything: values ("value"), the latest first,
    the names of states before the first update ("before"), keys ("key"), or names of the last runs ("run").
    Nothing if there is no ledger, or none that can be read.
    """
    try:
        _check_kind(path)
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)
        try:
            rows = [row[0] for column in columns for row in _peeked(database, _PEEK[column])]
            return tuple(dict.fromkeys(text for text in rows if isinstance(text, str)))
        finally:
            database.close()
    except (sqlite3.Error, OSError, UnicodeError):
        return ()


def _peeked(database: sqlite3.Connection, sql: str) -> List[Any]:
    try:
        return database.execute(sql).fetchall()
    except sqlite3.OperationalError:
        # A ledger of an older schema does not have every column.
        return []
