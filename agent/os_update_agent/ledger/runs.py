"""Runs, written ahead of each of their steps."""

from dataclasses import replace
from itertools import islice
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple, Union

from os_update_agent.ledger.database import Database, next_number
from os_update_agent.ledger.kinds import CHANGES, RUN, PlannedChanges
from os_update_agent.model.errors import Damaged
from os_update_agent.model.field_types import checked
from os_update_agent.model.packages import Change, Package
from os_update_agent.model.policy import POLICY
from os_update_agent.model.runs import Run

_MISSING = "SELECT DISTINCT run FROM deliveries WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs)"


class Runs(Database):
    """The table of runs."""

    # The run whose changes were written last, and these: not every phase writes them again.
    _stored: Optional[Tuple[int, Tuple[Change, ...]]] = None

    def open_run(self, run: Run) -> Run:
        """Store a new run and return it with its number. Its delivery points to it; its value, if the run leads to one,
        counts as tried.
        """
        with self._transaction() as db:
            cursor = db.execute(
                f"INSERT INTO runs (id, key, config_id, document) VALUES ({next_number('runs', 'id')}, ?, ?, '{{}}')",
                (run.key, run.config_id),
            )
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
        """Store the run just before packages change. The key has no current value until the end of a run, and neither
        has another key whose packages the run moves.
        """
        with self._transaction() as db:
            self._write_run(run)
            db.execute("UPDATE histories SET current = NULL WHERE key = ?", (run.key,))
            for other in run.plan.moves:
                db.execute(
                    "UPDATE histories SET moved_from = current, moved_by = ?, current = NULL"
                    " WHERE key = ? AND current IS NOT NULL",
                    (run.id, other.key),
                )

    def save_run(self, run: Run, *, is_planned: bool = False) -> None:
        """Store the run. After this returns, the run is in ``run.phase`` whatever happens.

        ``is_planned`` says that the run has just got its plan, which replaces the stored changes even if it has none.
        Otherwise a plan without changes counts as unknown, and the stored changes stay: runs() leaves them out, and
        damaged ones cannot be read.
        """
        with self._transaction():
            self._write_run(run, is_planned=is_planned)
        if run.plan.changes or is_planned:
            self._stored = run.id, run.plan.changes

    def _write_run(self, run: Run, *, is_planned: bool = False) -> None:
        changes = run.plan.changes
        is_new = is_planned or (bool(changes) and self._stored != (run.id, changes))
        new = CHANGES.encode(PlannedChanges(tuple(map(_by_identity, changes)))) if is_new else None
        self._db.execute(
            "UPDATE runs SET finished = ?, document = ?, changes = coalesce(?, changes) WHERE id = ?",
            (run.finished, RUN.encode(_without_changes(run)), new, run.id),
        )

    def run(self, number: int) -> Optional[Run]:
        """Return the run with the number, None where there is none. Raises Damaged if its record cannot be read."""
        row = self._row(f"SELECT id, finished, document, {self._changes_column} FROM runs WHERE id = ?", number)
        return self._whole_run_of(row) if row else None

    def runs(self, key: Optional[str] = None, limit: int = -1) -> Tuple[Run, ...]:
        """Return the runs that can be read, the newest first: all of them, or at most ``limit``.

        Their plans lack the changes, which run() and open_runs() read.
        """
        found = tuple(self._readable(self._run_rows(key, limit), self._run_of))
        if limit < 0 or len(found) == limit:
            return found
        # There are no more runs, or a damaged one takes the place of another.
        return tuple(islice(self._readable(self._run_rows(key), self._run_of), limit))

    def walk_runs(self) -> Iterator[Union[Run, Damaged]]:
        """Yield all runs, the newest first; in place of a damaged one the error that names it."""
        for row in self._run_rows(None):
            try:
                yield self._run_of(row)
            except Damaged as damage:
                yield damage

    def open_runs(self) -> Tuple[Run, ...]:
        """Return the open runs that can be read, the oldest first."""
        return tuple(self._readable(self._open_rows(), self._whole_run_of))

    def damaged_open_runs(self) -> Tuple[Damaged, ...]:
        """Return the errors that name the open runs that cannot be read; ``row`` is the number of the run."""
        return tuple(self._damages(self._open_rows(), self._whole_run_of))

    def close_damaged_run(self, number: int, now: float) -> None:
        """End an open run whose document cannot be read. The document stays as it is, for whoever looks into it."""
        with self._transaction() as db:
            db.execute("UPDATE runs SET finished = ? WHERE id = ? AND finished IS NULL", (now, number))

    def damaged(self) -> Tuple[Damaged, ...]:
        """Return the errors that name the damaged runs, the newest first, then those of every other damaged record
        that was met since the ledger was opened.
        """
        runs = tuple(self._damages(self._run_rows(None), self._run_of))
        for (number,) in self._rows(_MISSING):
            self._damaged(f"run {number!r:.80}", "is missing, and a delivery has it")
        names = {damage.record for damage in runs}
        return (*runs, *(damage for record, damage in self._noted.items() if record not in names))

    def _damages(self, rows: Sequence[Any], read: Callable[[Sequence[Any]], Run]) -> Iterator[Damaged]:
        for row in rows:
            try:
                read(row)
            except Damaged as damage:
                yield damage

    def _run_rows(self, key: Optional[str], limit: int = -1) -> Sequence[Any]:
        return self._rows(
            "SELECT id, finished, document FROM runs WHERE ? IS NULL OR key = ? ORDER BY id DESC LIMIT ?",
            *(key, key, limit),
        )

    def _open_rows(self) -> Sequence[Any]:
        return self._rows(
            f"SELECT id, finished, document, {self._changes_column} FROM runs WHERE finished IS NULL ORDER BY id"
        )

    @property
    def _changes_column(self) -> str:
        """A ledger of schema 1 on a disk that takes no writes has no such column."""
        return "changes" if self._schema() > 1 else "NULL"

    def _whole_run_of(self, row: Sequence[Any]) -> Run:
        """Return the run of a row with the changes of its plan. Raises Damaged, NewerDocument.

        Damaged changes are logged and count as unknown: a run that is half done must still be finished or undone.
        """
        *columns, changes = row
        run = self._run_of(columns)
        if changes is None:
            return run
        try:
            found = self._read(f"run {run.id}, its planned changes,", lambda: CHANGES.decode(changes), run.id)
        except Damaged:
            return run
        return replace(run, plan=replace(run.plan, changes=found.changes))

    def _run_of(self, row: Sequence[Any]) -> Run:
        """Return the run of a row. Raises Damaged, NewerDocument.

        A run that was closed because its document could not be read has its end in the row alone.
        """
        number, finished, document = row
        run = self._read(f"run {number}", lambda: RUN.decode(document, id=checked(int, number, "its number")), number)
        if run.finished is None and finished is not None:
            end = self._read(f"run {number}", lambda: checked(float, finished, "its end"), number)
            run = replace(run, finished=end)
        # A run without a policy is one of a test or of a download that was recorded by hand.
        if run.policy:
            self._read(f"run {number}", lambda: POLICY.check(run.policy), number)
        return run


def _without_changes(run: Run) -> Run:
    return replace(run, plan=replace(run.plan, changes=()))


def _by_identity(change: Change) -> Change:
    """Return the change with what names its packages; the states of the run hold their whole rows."""
    before, after = (Package(*package.identity) if package else None for package in (change.before, change.after))
    return replace(change, before=before, after=after)
