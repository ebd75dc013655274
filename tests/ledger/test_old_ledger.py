"""A ledger of schema 1, as the first agent has written it, in the hands of this agent."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple

import pytest

from ledger.stored import FIXTURE, KEY, ask
from os_update_agent.ledger import SCHEMA, Ledger, database
from os_update_agent.ledger.kinds import RUN
from os_update_agent.model.documents import Kind
from os_update_agent.model.errors import Damaged, LedgerError, NewerDocument
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import Progress, Run


def schema_of(path: Path) -> int:
    return int(ask(path, "PRAGMA user_version")[0][0])


def test_the_fixture_names_no_machine() -> None:
    text = FIXTURE.read_text(encoding="utf-8")
    assert "PRAGMA user_version=1;" in text
    assert "/tmp" not in text and "/home" not in text and "/root" not in text


# --- what is in it


def test_every_run_is_read_with_what_it_holds(ledger: Ledger, tmp_path: Path) -> None:
    runs = {run.id: run for run in ledger.runs()}
    assert [runs[number].kind for number in range(1, 17)] == [
        *("update", "update", "update", "restore", "stop", "start", "start", "assess", "download", "update", "restore"),
        *("update", "assess", "assess", "assess", "update"),
    ]
    results = {number: run.result for number, run in runs.items()}
    assert results == {**dict.fromkeys(range(1, 16), "success"), 3: "undone", 16: "open"}
    assert "no answer on port 80" in runs[3].failure
    assert [item.name for item in runs[1].plan.held_back] == ["heldpkg"]
    assert runs[10].notes == ("no installed package matches 'nosuch*' (packages)",)
    assert runs[1].log == str(tmp_path / "log/000001.log")
    assert Policy.from_json(runs[10].policy).packages == ("tool", "nosuch*")
    assert ledger.run(7) == runs[7]
    assert ledger.damaged() == ()


def test_the_open_run_is_read_and_closed(ledger: Ledger, path: Path) -> None:
    (run,) = ledger.open_runs()
    assert (run.id, run.phase, run.config_id) == (16, "transact", "c22-cut-off")
    ledger.save_run(replace(run, phase="finished", finished=run.started + 1, failure="it was cut off"))
    assert ledger.open_runs() == ()
    fresh = Ledger(path)
    assert fresh.runs(limit=1)[0].failure == "it was cut off"
    fresh.close()


def test_every_state_is_read_and_every_value_leads_to_one(ledger: Ledger) -> None:
    states = [ledger.state(number) for number in range(1, 7)]
    assert len({state.digest for state in states}) == 6
    assert {len(state.packages) for state in states} <= {7, 8, 9}
    history = ledger.history(KEY)
    assert history.current is None
    assert {record.value: record.state for record in history.records} == {
        "2026-11-01T10:00:00Z": 1,
        "2026-11-02T10:00:00Z": 3,
        "2026-11-03T10:00:00Z": 4,
        "2026-11-04T10:00:00Z": None,
        "2026-11-06T10:00:00Z": 5,
        "2026-11-07T10:00:00Z": None,
    }
    assert len(ledger.histories()) == 7
    assert ledger.history("web/68c97fbe/began-with-update@fcdbf267").first_state == 3


def test_every_delivery_and_every_signal_is_read(ledger: Ledger) -> None:
    ids = [row[0] for row in ledger._rows("SELECT config_id FROM deliveries")]
    found = {config_id: ledger.delivery(config_id) for config_id in ids}
    assert len(found) == 25
    assert {one.config_id for one in found.values() if one is not None and one.finished is None} == {
        "c22-cut-off",
        "c23-unanswered",
    }
    assert [delivery.config_id for delivery in ledger.unfinished()] == ["c22-cut-off", "c23-unanswered"]
    request = ledger.unfinished()[0].request
    assert request is not None and request.signal.resource_name == "update" and len(request.outputs) == 7
    standings = {signal.config_id[:3]: signal.standing for signal in ledger.signals()}
    assert {name: standing for name, standing in standings.items() if standing != "delivered"} == {
        "c05": "refused",
        "c17": "superseded",
        "c19": "owed",
    }
    (owed,) = ledger.owed()
    assert owed.target is not None and owed.target.secret["url"].startswith("http://127.0.0.1")
    options = ledger.last_policy("web-stop")
    assert options is not None and options.units == ("db.service", "web.service")
    # It was stored without the origins of its options: those that differ from their defaults count as given.
    assert options.given is None
    assert set(options.own_options()) == {"operation", "units", "script_timeout", "signal_timeout"}


def test_every_kept_file_is_known(ledger: Ledger) -> None:
    assert {entry.origin for entry in ledger.archive_entries()} == {"repository"}
    assert len(ledger.archive_entries()) == 15


def test_a_new_run_is_written_beside_the_old_ones(ledger: Ledger, path: Path) -> None:
    run = ledger.open_run(Run(0, KEY, "v9", "update", "check", 1.0, policy=Policy(value="v9", key=KEY).as_json()))
    assert run.id == 17
    document = json.loads(ask(path, "SELECT document FROM runs WHERE id = 17")[0][0])
    assert document["version"] == RUN.version and document["policy"]["version"] == 1
    assert ledger.run(17) == run


# --- its schema


def test_the_schema_becomes_this_agents_when_something_may_be_written(path: Path) -> None:
    Ledger(path, reading=True).close()
    assert schema_of(path) == 1
    Ledger(path).close()
    assert schema_of(path) == SCHEMA == 4


def test_a_baseline_of_an_older_agent_began_its_history(path: Path) -> None:
    ledger = Ledger(path, reading=True)
    assert {history.began for history in ledger.histories()} == {None}
    ledger.close()
    ledger = Ledger(path)
    for history in ledger.histories():
        baselines = [record.value for record in history.records if record.is_reached and record.reached_run is None]
        is_known = history.first_state is None and len(baselines) == 1
        assert history.began == (baselines[0] if is_known else None)
    assert any(history.began for history in ledger.histories())
    ledger.close()


def test_what_fails_in_the_middle_of_a_migration_leaves_the_old_ledger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(path)

    def fail(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM runs")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(database, "MIGRATIONS", {1: fail})
    with pytest.raises(LedgerError, match="disk I/O error"):
        Ledger(path)
    assert dump(path) == before
    monkeypatch.undo()
    ledger = Ledger(path)
    assert len(ledger.runs()) == 16
    ledger.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from os_update_agent.ledger import Ledger, database

def die(db):
    db.execute("DELETE FROM runs")
    db.execute("PRAGMA user_version=2")
    # More than the cache holds: the file is being written.
    db.execute("INSERT INTO histories (key) VALUES (hex(zeroblob(9000000)))")
    os.kill(os.getpid(), signal.SIGKILL)

database.MIGRATIONS = {1: die}
Ledger(Path(sys.argv[1]))
"""


def test_an_agent_that_is_killed_in_the_middle_of_a_migration_leaves_the_old_ledger(path: Path) -> None:
    before = dump(path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    # The first reader takes back what was half-written.
    assert (dump(path), schema_of(path)) == (before, 1)
    ledger = Ledger(path)
    assert len(ledger.runs()) == 16 and schema_of(path) == SCHEMA
    ledger.close()


def dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return "\n".join(db.iterdump())


# --- versions of its documents


def test_a_document_is_upgraded_version_by_version(path: Path, ledger: Ledger) -> None:
    """As an agent would read the runs of the fixture in which a field has moved once more, and then been changed."""

    def moved(data: Dict[str, Any]) -> Dict[str, Any]:
        data["why"] = data.pop("failure")
        return data

    def changed(data: Dict[str, Any]) -> Dict[str, Any]:
        return {**data, "failure": data.pop("why").upper()}

    upgrades = {**RUN.upgrades, RUN.version: moved, RUN.version + 1: changed}
    kind = Kind(Run, RUN.version + 2, upgrades, RUN.left_out)
    rows = ask(path, "SELECT id, document FROM runs ORDER BY id DESC")
    upgraded = [kind.decode(text, id=number) for number, text in rows]
    assert upgraded == [replace(run, failure=run.failure.upper()) for run in ledger.runs()]
    assert "NO ANSWER ON PORT 80" in upgraded[-3].failure


def test_the_flags_of_a_run_of_version_1_become_its_progress(ledger: Ledger) -> None:
    progress = {run.id: run.progress for run in ledger.runs()}
    assert progress[1] == Progress("changed", "back", reached=True)
    assert progress[3] == Progress("undone", "back")
    assert progress[5] == Progress("changed", reached=True)
    assert progress[8] == Progress(reached=True)
    assert progress[16] == Progress("changed", "out")


def test_a_flag_of_a_wrong_type_is_damage(path: Path, ledger: Ledger) -> None:
    ask(path, "UPDATE runs SET document = replace(document, ?, ?) WHERE id = 9", '"left":false', '"left":"no"')
    with pytest.raises(Damaged, match="run 9 cannot be upgraded from version 1"):
        ledger.run(9)


def test_every_upgrade_that_this_agent_has_begins_at_version_1() -> None:
    assert sorted(RUN.upgrades) == list(range(1, RUN.version))


NEWER: Mapping[str, Tuple[str, str, Callable[[Ledger], object]]] = {
    "run": ("UPDATE runs SET document = ? WHERE id = 12", "run 12", lambda ledger: ledger.run(12)),
    "runs": ("UPDATE runs SET document = ? WHERE id = 12", "run 12", lambda ledger: ledger.runs()),
    "open run": ("UPDATE runs SET document = ? WHERE id = 16", "run 16", lambda ledger: ledger.open_runs()),
    "policy": (
        "UPDATE deliveries SET policy = ? WHERE turn = 2",
        "delivery 'c02-update', its policy,",
        lambda ledger: ledger.delivery("c02-update"),
    ),
    "request": (
        "UPDATE deliveries SET request = ? WHERE turn = 24",
        "delivery 'c22-cut-off', its request,",
        lambda ledger: ledger.unfinished(),
    ),
    "target": (
        "UPDATE outbox SET target = ? WHERE config_id = 'c19-owed'",
        "the result of delivery 'c19-owed', its target,",
        lambda ledger: ledger.owed(),
    ),
}


@pytest.mark.parametrize("which", sorted(NEWER))
def test_a_newer_document_is_refused_by_its_name(path: Path, ledger: Ledger, which: str) -> None:
    statement, name, read = NEWER[which]
    ask(path, statement, '{"version": 99, "all": "different"}')
    with pytest.raises(NewerDocument) as refused:
        read(ledger)
    text = str(refused.value)
    assert str(path) in text and f"{name} has version 99; this os-update-agent reads versions up to " in text
    assert "install the newer agent again" in text


def test_a_policy_in_a_run_has_a_version_of_its_own(path: Path, ledger: Ledger) -> None:
    (was, new) = ('"policy":{', '"policy":{"version":7,')
    ask(path, "UPDATE runs SET document = replace(document, ?, ?) WHERE id = 12", was, new)
    with pytest.raises(NewerDocument, match="run 12 has version 7"):
        ledger.run(12)


def test_unknown_fields_of_a_known_version_are_ignored_everywhere(path: Path, ledger: Ledger) -> None:
    runs, signals = ledger.runs(), ledger.signals()
    deliveries = ledger.unfinished()
    columns = (("runs", "document"), ("deliveries", "policy"), ("deliveries", "request"), ("outbox", "target"))
    for table, column in columns:
        more = f"UPDATE {table} SET {column} = ? || substr({column}, 2) WHERE {column} != '{{}}'"
        ask(path, more, '{"later": [1, {}],')
    assert (ledger.runs(), ledger.signals()) == (runs, signals)
    for one, other in zip(ledger.unfinished(), deliveries):
        assert Policy.from_json(one.policy) == Policy.from_json(other.policy)
        assert one.request == other.request
    assert ledger.damaged() == ()
