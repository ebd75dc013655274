"""Every column of every table with every kind of damage: status and history name the record and show everything else,
every reading verb ends with a sentence, and the hook answers deliveries of other keys. All in one process.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import pytest

from cli.inside import InsideNode, inside, prepared, quick_directory, unprintable
from ledger.stored import KEY, ask, old_ledger
from os_update_agent.ledger import SCHEMA, Ledger
from os_update_agent.model.documents import DOCUMENT_LIMIT

# The damage, and how SQL spells it. A text that is no UTF-8 can only be cast.
DAMAGE: Mapping[str, str] = {
    "NULL": "NULL",
    "another type": "CASE WHEN typeof({0}) IN ('integer', 'real') THEN 'x' ELSE -7 END",
    "binary data": "X'fffe00'",
    "no UTF-8": "CAST(X'7bff' AS TEXT)",
    "no JSON": "'[\"a'",
    "deep JSON": f"'{'[' * 3000}'",
    "a long text": f"printf('%.*c', {DOCUMENT_LIMIT // 16}, 'x')",
    "a control character": "'a' || char(27) || '[2J' || char(10) || 'run'",
    "an empty text": "''",
    "a large number": "9223372036854775807",
    "a number without an end": "9e999",
}
LISTING = ("status", "history")
READING = (
    ("show", "2026-11-02T10:00:00Z", "--key", KEY),
    ("show", "run:2"),
    ("diff", "2026-11-01T10:00:00Z", "2026-11-03T10:00:00Z", "--key", KEY),
    ("plan", "2026-11-01T10:00:00Z", "--key", KEY, "--no-refresh"),
    ("forget", "--key", "looks", "--dry-run"),
)
# The hook costs as much as the rest: it meets this share of the cases.
HOOK_EACH = 4
# The row of each table that is damaged: one that the verbs above need.
ROWS = {
    "archive": "name = 'tool' AND version = '3.0-1'",
    "deliveries": "config_id = 'c02-update'",
    "histories": f"key = '{KEY}'",
    "outbox": "config_id = 'c19-owed'",
    "records": f"key = '{KEY}' AND value = '2026-11-02T10:00:00Z'",
    "runs": "id = 1",
    "states": "id = 2",
}


@pytest.fixture(scope="module")
def pristine() -> Iterator[Tuple[Path, bytes]]:
    """A node with a ledger of the present schema in which nothing is open, and the bytes of the ledger."""
    with quick_directory() as node:
        path = old_ledger(node)
        Ledger(path).close()
        assert ask(path, "PRAGMA user_version") == [(SCHEMA,)]
        ask(path, "UPDATE runs SET finished = 1.0 WHERE finished IS NULL")
        ask(path, "UPDATE runs SET changes = '{\"changes\":[]}'")
        ask(path, "DELETE FROM deliveries WHERE finished IS NULL")
        target = '{"transport":"CFN_SIGNAL","secret":{"url":"http://127.0.0.1:1/"}}'
        ask(path, "UPDATE outbox SET target = ? WHERE target IS NOT NULL", target)
        ask(path, "UPDATE histories SET began = 'b', moved_from = 'm', moved_by = 3 WHERE key = ?", KEY)
        prepared(node)
        yield node, path.read_bytes()


class Node(InsideNode):
    """A node whose ledger can be put back."""

    content = b""

    def reset(self) -> None:
        for path in self.ledger.parent.glob("ledger.sqlite*"):
            path.unlink()
        self.ledger.write_bytes(self.content)


@pytest.fixture
def node(
    pristine: Tuple[Path, bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Node]:
    inside(pristine[0], monkeypatch)
    node = Node(pristine[0], capsys)
    node.content = pristine[1]
    node.reset()
    yield node


def columns() -> List[Tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as db:
        from os_update_agent.ledger.tables import TABLES

        db.executescript(TABLES)
        return [
            (table, row[1]) for table in sorted(ROWS) for row in db.execute(f"PRAGMA table_info({table})").fetchall()
        ]


def damaged(path: Path, table: str, column: str, kind: str) -> bool:
    """Damage the row. Return False if the table does not take such a value."""
    try:
        with closing(sqlite3.connect(path)) as db, db:
            sql = f"UPDATE {table} SET {column} = {DAMAGE[kind].format(column)} WHERE {ROWS[table]}"
            assert db.execute(sql).rowcount == 1
    except sqlite3.IntegrityError:
        return False
    return True


def test_every_table_has_a_row_to_damage() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        from os_update_agent.ledger.tables import TABLES

        db.executescript(TABLES)
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables - {"sqlite_sequence"} == set(ROWS)


def known(document: Mapping[str, Any]) -> Sequence[str]:
    """The names of what a document shows."""
    keys = [key["key"] for key in document["keys"]]
    return [*keys, *(f"run {run['run']}" for run in document.get("runs", ()))]


def names_of(table: str) -> Sequence[str]:
    """What may be missing in a document when the row of the table is damaged."""
    return {"histories": [KEY], "records": [KEY], "runs": ["run 1"]}.get(table, [])


def check(node: Node, table: str, where: str, listing: Sequence[str], verbs: Sequence[Sequence[str]]) -> None:
    """Check what is asked while one record is damaged."""
    for verb in listing:
        document, whole = node.document(verb), known(WHOLE[verb])
        missing, new = set(whole) - set(known(document)), set(known(document)) - set(whole)
        assert missing <= set(names_of(table)), f"{where}: {verb} lacks {missing}"
        # A name or number that is damaged into another valid one is another record.
        assert document["damaged"] or not missing or new, f"{where}: {verb} names no damaged record"
    for argv in verbs:
        status, out, err = node.call(*argv)
        assert status in (0, 1, 2), f"{where}: {argv} ended with {status}: {err}"
        assert status == 0 or "os-update-agent: " in err, f"{where}: {argv}: {err}"
        assert "Traceback" not in out + err and "bug in" not in out + err, f"{where}: {argv}: {err}"
        assert not unprintable(out + err), f"{where}: {argv}"


WHOLE: Dict[str, Dict[str, Any]] = {}


@pytest.mark.parametrize(("place", "table", "column"), [(place, *one) for place, one in enumerate(columns())])
def test_a_damaged_column_is_named_and_hides_nothing_else(node: Node, place: int, table: str, column: str) -> None:
    if not WHOLE:
        WHOLE.update({verb: node.document(verb) for verb in LISTING})
    for number, kind in enumerate(DAMAGE):
        node.reset()
        if not damaged(node.ledger, table, column, kind):
            continue
        where = f"{table}.{column}: {kind}"
        # Each verb meets each column, and each kind of damage.
        check(node, table, where, [LISTING[(number + place) % 2]], [READING[number % len(READING)]])
        if (number + place) % HOOK_EACH:
            continue
        body = node.deliver(f"new-{number}", update_after_time="v1", state_key="looks", operation="assess")
        assert body["deploy_status_code"] in (0, 1, 2), f"{where}: {body}"
        assert "bug in" not in body["deploy_stderr"], f"{where}: {body}"
        if table not in ("states", "archive"):
            assert body["deploy_status_code"] == 0, f"{where}: {body}"


@pytest.mark.parametrize("table", sorted(ROWS))
def test_a_missing_row_hides_nothing_else(node: Node, table: str) -> None:
    if not WHOLE:
        WHOLE.update({verb: node.document(verb) for verb in LISTING})
    assert ask(node.ledger, f"DELETE FROM {table} WHERE {ROWS[table]}") == []
    check(node, table, f"{table}: a missing row", LISTING, READING)
    assert node.deliver("new", update_after_time="v1", state_key="looks", operation="assess")["deploy_status_code"] == 0
