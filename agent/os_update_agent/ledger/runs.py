"""Runs, written ahead of each of their steps."""

import dataclasses
import json
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.packages import Change, HeldBack, Package
from os_update_agent.model.phases import (
    BACK_IN_SERVICE,
    CHANGED,
    IN_SERVICE,
    NOT_UNDONE,
    OUT_OF_SERVICE,
    UNDONE,
    UNTOUCHED,
    Impact,
    Service,
)
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Progress, Run


class Runs(Database):
    """The table of runs."""

    def open_run(self, run: Run) -> Run:
        """Begin a run: gives it its number, and to its delivery the run. A run that leads to a value makes it known as
        tried.
        """
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO runs (key, config_id, document) VALUES (?, ?, '{}')", (run.key, run.config_id)
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
        """Write ahead that packages change from now on: the run says so, and the key stands at no value until a run's
        end says which.
        """
        with self._transaction() as db:
            self._write_run(run)
            db.execute("UPDATE histories SET current = NULL WHERE key = ?", (run.key,))

    def save_run(self, run: Run) -> None:
        """Write ahead: after this returns, the run is at ``run.phase`` whatever happens."""
        with self._transaction():
            self._write_run(run)

    def _write_run(self, run: Run) -> None:
        document = json.dumps(_as_json(run), separators=(",", ":"))
        self._db.execute("UPDATE runs SET finished = ?, document = ? WHERE id = ?", (run.finished, document, run.id))

    def run(self, number: int) -> Optional[Run]:
        row = self._row("SELECT id, document FROM runs WHERE id = ?", number)
        return _as_run(*row) if row else None

    def runs(self, key: Optional[str] = None, limit: int = -1) -> Tuple[Run, ...]:
        """Runs, the newest first."""
        rows = self._rows(
            "SELECT id, document FROM runs WHERE ? IS NULL OR key = ? ORDER BY id DESC LIMIT ?", key, key, limit
        )
        return tuple(_as_run(*row) for row in rows)

    def open_runs(self) -> Tuple[Run, ...]:
        return tuple(
            _as_run(*row) for row in self._rows("SELECT id, document FROM runs WHERE finished IS NULL ORDER BY id")
        )


def _as_run(number: int, document: str) -> Run:
    known = {field.name for field in dataclasses.fields(Run)}
    read = json.loads(document)
    data = {name: value for name, value in read.items() if name in known}
    data["progress"] = _progress(read["progress"]) if "progress" in read else _progress_of_flags(read)
    data["plan"] = _plan(read["plan"]) if "plan" in read else _plan_of_lists(read)
    names = (
        "notes",
        "complaints",
        "were_active",
        "restarted",
        "restart_last",
    )
    for name in names:
        data[name] = tuple(data.get(name, ()))
    return Run(id=number, **data)


def _progress(data: Mapping[str, Any]) -> Progress:
    return Progress(**{**data, "rebooted": tuple(data["rebooted"])})


def _progress_of_flags(data: Mapping[str, Any]) -> Progress:
    """Return the progress of a run that was stored as separate flags, as until November 2026."""
    undone: Mapping[Optional[bool], Impact] = {None: CHANGED, True: UNDONE, False: NOT_UNDONE}
    impact: Impact = undone[data.get("undone")] if data.get("begun") else UNTOUCHED
    service: Service = BACK_IN_SERVICE if data.get("returned") else OUT_OF_SERVICE if data.get("left") else IN_SERVICE
    return Progress(
        impact=impact,
        service=service,
        rebooted=tuple(data.get("rebooted", ())),
        reboot_from=data.get("reboot_from", ""),
        reboots_asked=data.get("reboots_asked", 0),
        reached=data.get("reached", False),
    )


def _plan(data: Mapping[str, Any]) -> Plan:
    known = {field.name for field in dataclasses.fields(Plan)}
    lists: Dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items() if name in known
    }
    lists["changes"] = tuple(_change(*change) for change in data.get("changes", ()))
    lists["held_back"] = tuple(HeldBack(*item) for item in data.get("held_back", ()))
    return Plan(**lists)


def _change(before: Any, after: Any, origins: Any, is_security: bool) -> Change:
    old, new = (Package(*row) if row else None for row in (before, after))
    return Change(old, new, tuple(origins), is_security)


def _plan_of_lists(data: Mapping[str, Any]) -> Plan:
    """Return the plan of a run that was stored without one, as until November 2026: its changes are not known."""
    return Plan(
        held_back=tuple(HeldBack(**item) for item in data.get("held_back", ())),
        removes_foreign=tuple(data.get("removes_foreign", ())),
        lost=tuple(data.get("not_restorable", ())),
        rebuilt=tuple(data.get("repacked", ())),
    )


def _plan_as_json(plan: Plan) -> Dict[str, Any]:
    changes = [
        [
            change.before.identity if change.before else None,
            change.after.identity if change.after else None,
            change.origins,
            change.is_security,
        ]
        for change in plan.changes
    ]
    return {
        **dataclasses.asdict(replace(plan, changes=(), held_back=())),
        "changes": changes,
        "held_back": [[item.name, item.reason] for item in plan.held_back],
    }


def _as_json(run: Run) -> Dict[str, Any]:
    document = dataclasses.asdict(replace(run, plan=Plan()))
    del document["id"]
    return {**document, "plan": _plan_as_json(run.plan)}
