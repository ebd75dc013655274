"""Damage of single records: it is named, and only what needs the record fails."""

import json
import logging
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Sequence, Tuple

import pytest

from ledger.stored import KEY, ask, old_ledger
from os_update_agent.cli import main
from os_update_agent.ledger import Ledger
from os_update_agent.model.documents import DOCUMENT_LIMIT
from os_update_agent.model.errors import Damaged, LedgerError
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.model.runs import Progress, Run

SEED = 20261129
# How many of the values each column gets.
VALUES_EACH = 8


DOCUMENTS = {
    "no text": ("", "is not JSON"),
    "truncated": ('{"key": "k", "va', "is not JSON"),
    "a list": ("[1, 2]", "is a list and must be an object"),
    "null": ("null", "is null and must be an object"),
    "no fields": ("{}", "key is missing"),
    "a wrong type": ('{"key":"k","value":"v","kind":"update","phase":"check","started":"now"}', "started is text"),
    "a flag as a number": ('{"key":"k","value":"v","kind":"update","phase":"check","started":true}', "started is true"),
    "too large": ('{"key":"k","value":"v","kind":"update","phase":"check","started":1,"before":1e400}', "before is a"),
    "beyond SQLite": (
        '{"key":"k","value":"v","kind":"update","phase":"check","started":1,"before":99999999999999999999}',
        "before is a number and must be a whole number of at most 64 bits",
    ),
    "a list of numbers": (
        '{"key":"k","value":"v","kind":"update","phase":"check","started":1,"notes":[1]}',
        "notes item 1 is a number",
    ),
    "held back without a reason": (
        '{"key":"k","value":"v","kind":"update","phase":"check","started":1,"held_back":[{"name":"a"}]}',
        "cannot be upgraded from version 1: KeyError",
    ),
    "a plan without a reason": (
        '{"version":2,"key":"k","value":"v","kind":"update","phase":"check","started":1,"plan":{"held_back":[["a"]]}}',
        "plan held_back item 1 reason is missing",
    ),
    "an unknown phase": (
        '{"version":2,"key":"k","value":"v","kind":"update","phase":"chekc","started":1}',
        "phase is text and must be one of check, capture,",
    ),
    "a policy of another shape": (
        '{"key":"k","value":"v","kind":"update","phase":"check","started":1,"policy":{"keep":"many"}}',
        "keep is text and must be a whole number",
    ),
    "deep": ("[" * 100000, "is nested deeper than 100 levels"),
    "deeper than it should be": (f'{{"key":{"[" * 200}{"]" * 200}}}', "is nested deeper than 100 levels"),
    "too long": (f'{{"key":"{"k" * DOCUMENT_LIMIT}"}}', "is longer than 32 MiB (it has"),
    "no UTF-8": (b"\xff\xfe", "is binary data and must be JSON text"),
    "a version that is none": ('{"version": "two"}', "has a version that is no whole number"),
}


@pytest.mark.parametrize("damage", sorted(DOCUMENTS))
def test_a_damaged_old_run_is_named_and_left_out(path: Path, ledger: Ledger, damage: str) -> None:
    text, why = DOCUMENTS[damage]
    ask(path, "UPDATE runs SET document = ? WHERE id = 9", text)
    with pytest.raises(Damaged) as damaged:
        ledger.run(9)
    assert f"the ledger {path} is damaged: run 9 {why}" in str(damaged.value)
    assert [run.id for run in ledger.runs()] == [number for number in range(16, 0, -1) if number != 9]
    assert [run.id for run in ledger.runs(limit=8)] == [16, 15, 14, 13, 12, 11, 10, 8]
    assert [one.record for one in ledger.damaged()] == ["run 9"]
    assert [run.id for run in ledger.open_runs()] == [16]


def test_a_text_that_is_no_utf_8_hides_no_other_row(path: Path, ledger: Ledger) -> None:
    ask(path, "UPDATE runs SET document = CAST(X'7b22ff227d' AS TEXT) WHERE id = 9")
    assert len(ledger.runs()) == 15
    assert [one.record for one in ledger.damaged()] == ["run 9"]


def test_damage_is_logged_once(path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ask(path, "UPDATE runs SET document = 'x' WHERE id = 9")
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        ledger.runs()
    (record,) = caplog.records
    assert 'damaged="run 9"' in record.getMessage() and str(path) in record.getMessage()


def test_no_message_holds_a_part_of_what_is_damaged(path: Path, ledger: Ledger) -> None:
    secret = "made-up-signature-0123456789"
    for target in (f'{{"transport":"CFN_SIGNAL","secret":["{secret}"]}}', f'"{secret}"', secret):
        ask(path, "UPDATE outbox SET target = ? WHERE config_id = 'c19-owed'", target)
        assert ledger.owed() == ()
        assert secret not in str([str(one) for one in ledger.damaged()])
    assert ledger.damaged()


def test_a_damaged_open_run_is_named_and_closed(path: Path, ledger: Ledger) -> None:
    ask(path, "UPDATE runs SET document = '{' WHERE id = 16")
    assert ledger.open_runs() == ()
    (damage,) = ledger.damaged_open_runs()
    assert (damage.record, damage.row) == ("run 16", 16)
    ledger.close_damaged_run(damage.row, 5.0)
    assert ledger.damaged_open_runs() == ()
    assert ask(path, "SELECT finished, document FROM runs WHERE id = 16") == [(5.0, "{")]


@pytest.mark.parametrize("column", ["policy", "request", "received", "value"])
def test_a_damaged_delivery_is_answered_once(path: Path, ledger: Ledger, column: str) -> None:
    ask(path, f"UPDATE deliveries SET {column} = X'ff00' WHERE config_id = 'c23-unanswered'")
    assert [one.config_id for one in ledger.unfinished()] == ["c22-cut-off"]
    (damage,) = ledger.damaged_unfinished()
    found = ledger.damaged_request(damage.row)
    assert (found is None) == (column == "request")
    ledger.finish_damaged(damage.row, '{"deploy_status_code": 1}', found[1].signal if found else None, 7.0)
    ledger.finish_damaged(damage.row, "another", None, 8.0)
    answered = ledger.delivery("c23-unanswered")
    assert answered is not None
    assert (answered.body, answered.finished, answered.request) == ('{"deploy_status_code": 1}', 7.0, None)
    assert ledger.damaged_unfinished() == ()
    assert len(ledger.signals("c23-unanswered")) == (0 if column == "request" else 1)


def test_a_history_with_a_damaged_value_stands_for_nothing(path: Path, ledger: Ledger) -> None:
    """Were the value left out, it would count as new: an update would come of what should be a restore."""
    ask(path, "UPDATE records SET state = 'x' WHERE key = ? AND value = '2026-11-02T10:00:00Z'", KEY)
    with pytest.raises(Damaged, match="value '2026-11-02T10:00:00Z' of key"):
        ledger.history(KEY)
    assert len(ledger.histories()) == 6


def test_a_last_policy_that_is_damaged_is_not_replaced_by_an_older_one(path: Path, ledger: Ledger) -> None:
    ask(path, "UPDATE deliveries SET policy = 'x' WHERE config_id = 'c22-cut-off'")
    with pytest.raises(Damaged, match="delivery 'c22-cut-off'"):
        ledger.last_policy(KEY, besides="by-hand-")


def test_a_kept_file_with_a_damaged_entry_counts_as_missing_and_stays_known(path: Path, ledger: Ledger) -> None:
    """Its row is written again when the file is fetched again; until then nobody may take it for a stray one."""
    files = ledger.archive_files()
    ask(path, "UPDATE archive SET size = 'x' WHERE name = 'tool' AND version = '1.0-1'")
    assert ("tool", "amd64", "1.0-1") not in {entry.identity for entry in ledger.archive_entries()} and len(
        ledger.archive_entries()
    ) == 14
    assert ledger.archive_files() == files and "tool_1.0-1_amd64.deb" in files


# --- states


def state_with(version: str) -> PackageState:
    return PackageState("apt", "amd64", tuple(Package(f"p{number}", "amd64", version) for number in range(9)))


@pytest.mark.parametrize(
    "damage",
    ["body = X'00'", "body = 'text'", "digest = 'x'", "install_only = X'00'", "base = 5", "base = 99"],
)
def test_a_damaged_state_takes_nothing_from_a_new_one(path: Path, ledger: Ledger, damage: str) -> None:
    """The newest one is what the next delta would be made from."""
    ask(path, f"UPDATE states SET {damage} WHERE id = 5")
    with pytest.raises(Damaged, match="state 5"):
        ledger.state(5)
    ask(path, "DELETE FROM states WHERE id = 6")
    number = ledger.put_state(state_with("1"))
    fresh = Ledger(path)
    assert fresh.state(number) == state_with("1")
    fresh.close()


def test_a_state_that_is_stored_and_damaged_is_stored_again(path: Path, ledger: Ledger) -> None:
    one = ledger.put_state(state_with("1"))
    ask(path, "UPDATE states SET body = X'00' WHERE id = ?", one)
    fresh = Ledger(path)
    other = fresh.put_state(state_with("1"))
    assert other != one and fresh.state(other) == state_with("1")
    assert fresh.put_state(state_with("1")) == other
    fresh.close()


# --- every column of every table

VALUES: Tuple[object, ...] = (
    *(None, "", "x", "[]", "{}", "null", '{"a', '{"version": 99}', '{"version": 1}', "[" * 3000, '"\\ud800"'),
    *(0, -1, 2**63 - 1, -(2**63), 1e300, float("inf"), b"", b"\xff\xfe", b"x" * 300),
    # A text that is no UTF-8.
    ("CAST(X'7bff' AS TEXT)",),
)


def columns(path: Path) -> List[Tuple[str, str]]:
    found = ask(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sq%' ORDER BY name")
    return [(table, row[1]) for (table,) in found for row in ask(path, f"PRAGMA table_info({table})")]


def corrupted(path: Path, table: str, column: str, value: object, chance: random.Random) -> bool:
    """Damage one row. False where the table does not take such a value."""
    primary = [row[1] for row in ask(path, f"PRAGMA table_info({table})") if row[5]]
    rows = ask(path, f"SELECT {', '.join(primary)} FROM {table} WHERE {column} IS NOT NULL")
    row = chance.choice(rows or ask(path, f"SELECT {', '.join(primary)} FROM {table}"))
    place = " AND ".join(f"{name} = ?" for name in primary)
    expression, given = (value[0], ()) if isinstance(value, tuple) else ("?", (value,))
    try:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"UPDATE {table} SET {column} = {expression} WHERE {place}", (*given, *row))
    except (sqlite3.IntegrityError, OverflowError):
        return False
    return True


def read_everything(ledger: Ledger) -> None:
    """Every way in which something is read; a LedgerError is an answer."""
    keys: List[str] = []
    reads: Sequence[Callable[[], Any]] = (
        *(ledger.runs, ledger.open_runs, ledger.damaged_open_runs, lambda: list(ledger.walk_runs()), ledger.damaged),
        *(ledger.unfinished, ledger.damaged_unfinished, ledger.owed, ledger.signals, ledger.superseded),
        *(ledger.histories, ledger.archive_entries, lambda: keys.extend(ledger.all_keys())),
        *((lambda number=number: ledger.run(number)) for number in range(1, 17)),
        *((lambda number=number: (ledger.digest(number), ledger.state(number))) for number in range(1, 7)),
        *((lambda one=one: ledger.delivery(one)) for one in ("c02-update", "c22-cut-off", "c23-unanswered")),
    )
    for read in reads:
        try:
            read()
        except LedgerError as error:
            assert str(ledger.path) in str(error)
    for key in keys:
        for of_key in (ledger.history, ledger.last_policy, ledger.runs):
            try:
                of_key(key)
            except LedgerError as error:
                assert str(ledger.path) in str(error)


def write_something(ledger: Ledger) -> None:
    """What a delivery and a run write, and how what is damaged is closed."""
    for damage in ledger.damaged_open_runs():
        ledger.close_damaged_run(damage.row, 1.0)
    for damage in ledger.damaged_unfinished():
        ledger.damaged_request(damage.row)
        ledger.finish_damaged(damage.row, "{}", None, 1.0)
    assert ledger.damaged_open_runs() == ledger.damaged_unfinished() == ()
    run = ledger.open_run(Run(0, "new", "v", "update", "check", 1.0))
    number = ledger.put_state(state_with("1"))
    assert ledger.state(number) == state_with("1")
    ledger.begin_change(replace(run, before=number, progress=Progress("changed")))
    ledger.record_reached("new", "v", number, run.id, 2.0)
    ledger.save_run(replace(run, phase="finished", finished=2.0, progress=Progress("changed", reached=True)))
    assert ledger.history("new").current == "v"


@pytest.mark.parametrize("table", ["archive", "deliveries", "histories", "outbox", "records", "runs", "states"])
def test_nothing_but_a_ledger_error_leaves_a_ledger_with_one_damaged_row(tmp_path: Path, table: str) -> None:
    pristine = old_ledger(tmp_path)
    content, chance, trials = pristine.read_bytes(), random.Random(SEED), 0
    path = tmp_path / "state/ledger.sqlite"
    for column in [column for known, column in columns(pristine) if known == table]:
        for value in chance.sample(VALUES, VALUES_EACH):
            path.write_bytes(content)
            if not corrupted(path, table, column, value, chance):
                continue
            trials += 1
            ledger = Ledger(path)
            try:
                read_everything(ledger)
                try:
                    write_something(ledger)
                except LedgerError as error:
                    assert not isinstance(error, Damaged), (column, value)
            except Exception as error:
                raise AssertionError(f"{table}.{column} = {value!r:.40}") from error
            finally:
                ledger.close()
    assert trials > 10


@pytest.fixture
def conf(tmp_path: Path, path: Path) -> Path:
    conf = tmp_path / "agent.conf"
    places = "".join(f"{name} = {tmp_path}/{name}\n" for name in ("state", "log", "run", "steps"))
    (tmp_path / "root").mkdir()
    conf.write_text(f"[node]\nroot = {tmp_path}/root\nbackend = apt\nsystemctl =\n[paths]\n{places}", encoding="utf-8")
    return conf


@pytest.mark.parametrize("command", ["status", "history"])
def test_a_damaged_run_is_named_for_people_and_for_programs(
    conf: Path, path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(path, "UPDATE runs SET document = '{' WHERE id = 3")
    assert main.main(["--config", str(conf), command]) == 0
    assert f"damaged: the ledger {path} is damaged: run 3 is not JSON" in capsys.readouterr().out
    assert main.main(["--config", str(conf), command, "--json"]) == 0
    (damaged,) = json.loads(capsys.readouterr().out)["damaged"]
    assert damaged["record"] == "run 3" and f"the ledger {path} is damaged: run 3" in damaged["why"]
