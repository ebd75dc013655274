"""The ledger on a real SQLite file."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import pytest

from os_update_agent.ledger import FULL_EVERY, SCHEMA, Ledger, peek
from os_update_agent.model.deliveries import Delivery, Output, Request, SignalTarget
from os_update_agent.model.errors import LedgerError
from os_update_agent.model.package_files import ArchiveEntry
from os_update_agent.model.packages import Change, HeldBack, Package, PackageState
from os_update_agent.model.phases import BACK, BACK_IN_SERVICE, FORTH, NOT_UNDONE
from os_update_agent.model.plans import Plan
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import Progress, Record, Run
from os_update_agent.model.settings import Setting

SECRET = "made-up-signature-0123456789abcdef"
PASSWORD = "made-up-pass-word-0123456789abcdef"
MARKS = (
    (),
    ("config-files", "deinstall"),
    ("half-installed", "hold", "reinstreq", "auto"),
    ("installed", "install", "ok", "auto", "ab12"),
)
RUN = Run(id=0, key="k", value="v2", kind="update", phase="check", started=10.0, config_id="c")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


def make_states(count: int, packages: int = 40) -> List[PackageState]:
    """States that differ a little each, with everything that a row can hold."""
    chance = random.Random(7)
    rows = [Package(f"p{number:03}", "amd64", "1.0-1") for number in range(packages)]
    states = []
    for step in range(count):
        index = chance.randrange(packages)
        rows[index] = Package(
            rows[index].name,
            chance.choice(("amd64", "all", "i386")),
            f"{step}:1.0~rc1+ü-{step}",
            *chance.choice(MARKS),
        )
        states.append(PackageState("apt", "amd64", tuple(sorted(rows))))
    return states


def target(resource: str = "node", transport: str = "CFN_SIGNAL") -> SignalTarget:
    secret = {"url": f"https://heat.example/?Signature={SECRET}", "password": PASSWORD}
    return SignalTarget(transport, "stack/1", resource, "POST", secret)


def delivery(config_id: str, where: "SignalTarget | None" = None, received: float = 1.0) -> Delivery:
    request = Request(where or target(), (Output("changes"), Output("bad", error_output=True)))
    return Delivery(config_id, "key", "v1", "UPDATE", received, request=request)


def damage(path: Path, statement: str, *parameters: object) -> None:
    db = sqlite3.connect(str(path))
    with db:
        db.execute(statement, parameters)
    db.close()


# --- states


def test_states_come_back_through_several_chains_of_deltas(path: Path, ledger: Ledger) -> None:
    states = make_states(2 * FULL_EVERY + 20)
    assert len(states) > 50
    numbers = [ledger.put_state(state) for state in states]
    assert numbers == sorted(set(numbers))
    fresh = Ledger(path)
    for number, state in reversed(list(zip(numbers, states))):
        found = fresh.state(number)
        assert (found, found.digest, found.lines) == (state, state.digest, state.lines)
        assert fresh.digest(number) == state.digest
    fresh.close()
    db = sqlite3.connect(str(path))
    assert db.execute("SELECT count(*) FROM states WHERE base IS NULL").fetchone() == (3,)
    db.close()


def test_every_write_may_come_from_a_process_of_its_own(path: Path) -> None:
    states = make_states(10)
    for number, state in enumerate(states, 1):
        ledger = Ledger(path)
        assert ledger.put_state(state) == number
        ledger.close()
    ledger = Ledger(path)
    assert [ledger.state(number) for number in range(1, 11)] == states
    ledger.close()


def test_the_order_in_which_rows_come_does_not_matter(ledger: Ledger) -> None:
    one, two = make_states(2)
    ledger.put_state(replace(one, packages=one.packages[::-1]))
    number = ledger.put_state(replace(two, packages=two.packages[::-1]))
    ledger._last = None
    assert ledger.state(number) == two


def test_a_state_that_is_known_is_kept_once(ledger: Ledger) -> None:
    one, two = make_states(2)
    first = ledger.put_state(one)
    assert ledger.put_state(two) != first
    assert ledger.put_state(replace(one)) == first


def test_the_settings_of_a_state_are_kept(path: Path, ledger: Ledger) -> None:
    """Unknown ones, none, and some: each is another state, and most are kept as differences."""
    rows = make_states(1)[0]
    settings = [Setting("diversion", f"/usr/bin/tool{number}", ("/a\n\t\udcff", ":")) for number in range(9)]
    states = [rows, *(replace(rows, settings=tuple(settings[:count])) for count in (0, 9, 8, 2))]
    numbers = [ledger.put_state(state) for state in [*states, *states]]
    assert numbers[5:] == numbers[:5] == sorted(set(numbers))
    with closing(Ledger(path)) as again:
        assert [again.state(number) for number in numbers[:5]] == states
    db = sqlite3.connect(str(path))
    assert db.execute("SELECT count(*) FROM states WHERE base IS NOT NULL").fetchone() == (4,)
    db.close()


def test_a_state_that_has_little_in_common_is_kept_in_full(path: Path, ledger: Ledger) -> None:
    ledger.put_state(make_states(1)[0])
    other = PackageState("dnf", "x86_64", (Package("bash", "x86_64", "0:5.1.8-9.el9"),))
    assert ledger.state(ledger.put_state(other)) == other
    db = sqlite3.connect(str(path))
    assert db.execute("SELECT base FROM states").fetchall() == [(None,), (None,)]
    db.close()


@pytest.mark.parametrize("statement", [
    "UPDATE states SET body = x'00' WHERE id = 1",
    "UPDATE states SET body = zeroblob(length(body)) WHERE id = 2",
    "UPDATE states SET digest = 'ab' WHERE id = 3",
    "UPDATE states SET body = (SELECT body FROM states WHERE id = 4) WHERE id = 2",
    "UPDATE states SET base = NULL WHERE id = 3",
])  # fmt: skip
def test_damage_of_a_state_is_noticed(path: Path, ledger: Ledger, statement: str) -> None:
    for state in make_states(4):
        ledger.put_state(state)
    damage(path, statement)
    fresh = Ledger(path)
    with pytest.raises(LedgerError, match="damaged: state 3"):
        fresh.state(3)
    fresh.close()


def test_rows_that_are_none_are_damage(path: Path, ledger: Ledger) -> None:
    ledger.put_state(make_states(1)[0])
    damage(path, "UPDATE states SET body = ?", zlib.compress(b"+only-a-name\n+too\tmany\t1\t2\t3\t4\t5\t6\t7"))
    fresh = Ledger(path)
    with pytest.raises(LedgerError, match="damaged: state 1"):
        fresh.state(1)
    fresh.close()


def test_a_missing_state_is_damage(path: Path, ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="damaged: state 99 is missing"):
        ledger.state(99)
    with pytest.raises(LedgerError, match="damaged: state 99 is missing"):
        ledger.digest(99)
    for state in make_states(3):
        ledger.put_state(state)
    damage(path, "DELETE FROM states WHERE id = 1")
    fresh = Ledger(path)
    with pytest.raises(LedgerError, match="damaged: state 1 is missing"):
        fresh.state(3)
    fresh.close()


# --- the file


def test_the_file_and_its_directory_are_for_the_owner_only(path: Path, ledger: Ledger) -> None:
    ledger.put_state(make_states(1)[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_wide_umask_does_not_widen_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = Ledger(tmp_path / "state" / "ledger.sqlite")
        ledger.put_state(make_states(1)[0])
        ledger.close()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "state").iterdir()} == {0o600}


def test_a_ledger_of_a_newer_agent_is_refused_and_left_alone(path: Path, ledger: Ledger) -> None:
    ledger.put_state(make_states(1)[0])
    damage(path, f"PRAGMA user_version = {SCHEMA + 1}")
    before = path.read_bytes()
    with pytest.raises(
        LedgerError, match=f"has schema {SCHEMA + 1}; this os-update-agent knows schemas up to {SCHEMA}"
    ):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is not a database\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_refused_with_a_sentence_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"cannot be used: .*it is damaged: move the whole directory"):
        Ledger(path)
    assert path.read_bytes() == content


def test_an_empty_file_where_a_ledger_was_in_use_is_refused(path: Path, ledger: Ledger) -> None:
    ledger.keep_reserve()
    ledger.close()
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(
        LedgerError, match="is empty, and was in use before: put its content back, or move the whole directory"
    ):
        Ledger(path)
    path.write_bytes(content)
    Ledger(path).close()
    # Who has moved it away begins anew, and who comes meanwhile finds no reason to refuse.
    path.unlink()
    Ledger(path).close()
    path.write_bytes(b"")
    Ledger(path).close()


def test_a_file_that_is_cut_is_refused_with_a_sentence(path: Path, ledger: Ledger) -> None:
    for state in make_states(200):
        ledger.put_state(state)
    ledger.close()
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(LedgerError, match="ledger"):
        fresh = Ledger(path)
        for number in range(1, 201):
            fresh.state(number)


def test_a_place_that_cannot_be_written_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"cannot be used: .*Not a directory"):
        Ledger(tmp_path / "file" / "state" / "ledger.sqlite")


def test_a_directory_in_the_place_of_the_file_is_refused_with_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerError, match=r"cannot be used: .*is not a regular file"):
        Ledger(path)


def test_what_fails_halfway_leaves_nothing_behind(ledger: Ledger) -> None:
    entry = ArchiveEntry("app_1_amd64.deb", "app", "amd64", "1", "ab", 10, 20, "repository")
    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.add_archive_entries([entry, entry._replace(version="2", size=None)])  # type: ignore[arg-type]
    assert ledger.archive_entries() == ()
    ledger.add_archive_entries([entry])


# --- histories


def tried(ledger: Ledger, key: str, value: str, now: float) -> Run:
    return ledger.open_run(Run(0, key, value, "update", "check", now))


def test_records_come_in_the_order_in_which_they_were_reached_or_tried(ledger: Ledger) -> None:
    for state in make_states(3):
        ledger.put_state(state)
    ledger.record_reached("k", "v1", 1, None, 1.0)
    tried(ledger, "k", "v2", 2.0)
    ledger.record_reached("k", "v2", 2, 1, 3.0)
    tried(ledger, "k", "v3", 4.0)
    history = ledger.history("k")
    assert history.records == (
        Record("v1", 1, 1.0, 1.0),
        Record("v2", 2, 2.0, 3.0, 1, 1),
        Record("v3", None, 4.0, None, 2),
    )
    assert (history.current, history.is_known, [record.is_reached for record in history.records]) == (
        "v2",
        True,
        [True, True, False],
    )

    ledger.record_reached("k", "v1", 3, 3, 5.0)
    history = ledger.history("k")
    assert [record.value for record in history.records] == ["v2", "v1", "v3"]
    assert (history.current, history.record("v1")) == ("v1", Record("v1", 3, 1.0, 5.0, 3, 3))


def test_a_key_that_nobody_knows_has_no_history(ledger: Ledger) -> None:
    history = ledger.history("nobody")
    assert (history.is_known, history.current, history.first_state, history.records) == (False, None, None, ())
    assert ledger.all_keys() == ()


def test_histories_are_apart(ledger: Ledger) -> None:
    ledger.record_reached("b", "v1", 1, None, 1.0)
    tried(ledger, "a", "v1", 2.0)
    assert ledger.all_keys() == ("a", "b")
    assert (ledger.history("a").current, ledger.history("b").current) == (None, "v1")


@pytest.mark.parametrize(
    "value", ["2024.05", "202405", "../../etc/passwd", "; reboot", "-o Dir=/", "ü\n\t'\"", "x" * 1_000_000]
)
def test_a_value_is_a_plain_key(ledger: Ledger, value: str) -> None:
    ledger.record_reached(value, value, 1, None, 1.0)
    assert [record.value for record in ledger.history(value).records] == [value]


def test_a_value_that_is_tried_again_keeps_the_state_that_it_had(ledger: Ledger) -> None:
    ledger.record_reached("k", "v1", 1, 7, 1.0)
    run = tried(ledger, "k", "v1", 5.0)
    assert ledger.history("k").records == (Record("v1", 1, 5.0, 1.0, run.id, 7),)


def test_a_departing_state_is_recorded_under_a_reached_value_only(ledger: Ledger) -> None:
    ledger.record_reached("k", "v1", 1, None, 1.0)
    tried(ledger, "k", "v2", 2.0)
    for value in ("v1", "v2", "v3"):
        ledger.record_departing("k", value, 9)
    assert [(record.value, record.state) for record in ledger.history("k").records] == [("v1", 9), ("v2", None)]


def test_the_first_state_stays_the_first(ledger: Ledger) -> None:
    ledger.record_first_state("k", 1, "v1")
    ledger.record_first_state("k", 2, "v2")
    assert ledger.history("k").first_state == 1
    ledger.record_reached("k", "v1", 2, None, 1.0)
    assert (ledger.history("k").first_state, ledger.history("k").current) == (1, "v1")


def test_the_names_of_states_are_offered_for_completion(ledger: Ledger, path: Path) -> None:
    run = tried(ledger, "u", "v1", 1.0)
    ledger.record_first_state("u", 1, "v1")
    ledger.record_reached("u", "v1", 2, run.id, 1.0)
    assert peek(path, "value", "before") == ("v1", "(before v1)")
    assert peek(path, "run") == (f"run:{run.id}",)


def test_a_history_begins_once(ledger: Ledger) -> None:
    ledger.record_reached("k", "v3", 1, None, 1.0)
    ledger.record_reached("k", "v2", 1, None, 2.0)
    assert ledger.history("k").began == "v3"
    tried(ledger, "u", "v1", 1.0)
    ledger.record_first_state("u", 1, "v1")
    ledger.record_first_state("u", 2, "v2")
    ledger.record_reached("u", "v2", 2, 7, 1.0)
    assert ledger.history("u").began == "v1"


def test_a_node_may_stand_at_no_value(ledger: Ledger) -> None:
    ledger.record_reached("k", "v1", 1, None, 1.0)
    ledger.record_current("k", None)
    assert ledger.history("k").current is None
    assert ledger.history("k").records[0].is_reached


# --- runs


def test_a_run_comes_back_with_everything_in_it(path: Path, ledger: Ledger) -> None:
    run = replace(
        ledger.open_run(RUN),
        policy={"keep": 5, "packages": ["a"]},
        plan=Plan(
            (Change(Package("a", "all", "1"), Package("a", "all", "2"), ("Debian:12/stable",), True),),
            (HeldBack("a", "on hold"), HeldBack("b", "phased")), ("z",), ("u",), ("t",), ("x",), ("y",), 7, -8,
        ),
        notes=("n", "ü"), complaints=("c",),
        before=1, target=2, after=3, departing="v1", restored_from=4, reached_before=2.5,
        progress=Progress(NOT_UNDONE, BACK_IN_SERVICE, (FORTH, BACK), "boot", 2, reached=True),
        is_first=True, failure="f", status=75, finished=11.5,
    )  # fmt: skip
    ledger.save_run(run)
    fresh = Ledger(path)
    assert fresh.run(run.id) == run
    assert fresh.runs() == (replace(run, plan=replace(run.plan, changes=())),)
    fresh.close()


def test_runs_are_numbered_and_the_newest_comes_first(ledger: Ledger) -> None:
    one, two, three = (ledger.open_run(replace(RUN, key=key)) for key in ("k", "other", "k"))
    assert [run.id for run in ledger.runs()] == [three.id, two.id, one.id] == [3, 2, 1]
    assert [run.id for run in ledger.runs("k")] == [3, 1]
    assert [run.id for run in ledger.runs(limit=1)] == [3]
    assert ledger.run(99) is None


def test_open_runs_are_those_that_have_no_end_the_oldest_first(ledger: Ledger) -> None:
    runs = [ledger.open_run(RUN) for _ in range(3)]
    ledger.save_run(replace(runs[1], finished=1.0))
    assert [run.id for run in ledger.open_runs()] == [1, 3]


def test_a_run_of_an_agent_that_knew_more_or_less_can_be_read(path: Path, ledger: Ledger) -> None:
    run = ledger.open_run(RUN)
    document = '{"key":"k","value":"v","kind":"update","phase":"check","started":1.0,"future":[1]}'
    damage(path, "UPDATE runs SET document = ?", document)
    assert ledger.run(run.id) == Run(1, "k", "v", "update", "check", 1.0)


# --- deliveries and the outbox


def test_a_delivery_is_received_once_with_whom_to_answer(ledger: Ledger) -> None:
    assert ledger.receive(delivery("a")) == delivery("a")
    again = ledger.receive(delivery("a", received=99.0)._replace(value="other"))
    assert again == delivery("a")
    assert ledger.delivery("nobody") is None


def test_the_first_answer_stays(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    ledger.finish("a", "one", target(), 2.0)
    ledger.finish("a", "two", target(), 3.0)
    found = ledger.delivery("a")
    assert found is not None
    assert (found.body, found.finished, found.request) == ("one", 2.0, None)
    assert [signal.body for signal in ledger.owed()] == ["one"]


def test_options_that_do_not_count_are_left_out(ledger: Ledger) -> None:
    for number, action in enumerate(("UPDATE", "UPDATE", "DELETE")):
        policy = Policy(value="v1", key="key", keep=number + 1).as_json()
        ledger.receive(delivery(f"d{number}")._replace(policy=policy, action=action))
    assert (ledger.last_policy("key") or Policy()).keep == 2
    ledger.finish("d1", "refused", None, 2.0, without_options=True)
    assert (ledger.last_policy("key") or Policy()).keep == 1


def test_without_a_target_nothing_is_owed(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    ledger.finish("a", "one", None, 2.0)
    assert ledger.signals() == ()


def test_what_was_never_received_cannot_be_owed(ledger: Ledger) -> None:
    ledger.finish("nobody", "one", target(), 2.0)
    assert ledger.signals() == ()


def test_an_owed_signal_keeps_its_target_until_it_is_settled(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    ledger.finish("a", "one", target(), 2.0)
    ledger.settle("a", "owed", "503", 3.0)
    (owed,) = ledger.owed()
    assert (owed.target, owed.tries, owed.last_answer, owed.updated) == (target(), 1, "503", 3.0)
    ledger.settle("a", "delivered", "200", 4.0)
    (signal,) = ledger.signals("a")
    assert (signal.standing, signal.target, signal.tries, ledger.owed()) == ("delivered", None, 2, ())


@pytest.mark.parametrize("standing", ["delivered", "refused", "superseded"])
def test_a_late_note_does_not_make_owed_again_what_is_settled(ledger: Ledger, standing: str) -> None:
    """Another sender's try, which was on its way when this one was settled, fails afterwards."""
    ledger.receive(delivery("a"))
    ledger.finish("a", "one", target(), 2.0)
    ledger.settle("a", standing, "x", 3.0)
    ledger.settle("a", "owed", "connection refused", 4.0)
    (signal,) = ledger.signals("a")
    assert (signal.standing, signal.target, signal.last_answer) == (standing, None, "x")


def test_a_new_delivery_supersedes_what_is_owed_under_the_same_name(ledger: Ledger) -> None:
    for config_id, where in (("a", target("one")), ("b", target("two"))):
        ledger.receive(delivery(config_id, where))
        ledger.finish(config_id, "body", where, 2.0)
    ledger.receive(delivery("c", target("one", transport="HEAT_SIGNAL")))
    assert {signal.config_id: signal.standing for signal in ledger.signals()} == {"a": "superseded", "b": "owed"}


def test_a_new_delivery_supersedes_what_was_refused_under_the_same_name(ledger: Ledger) -> None:
    """Nobody is to be told to signal it by hand: that would finish the new one."""
    for config_id, where in (
        ("a", target("one")),
        ("b", target("two")),
        ("c", SignalTarget("TEMP_URL_SIGNAL", secret={"url": "u"})),
    ):
        ledger.receive(delivery(config_id, where))
        ledger.finish(config_id, "body", where, 2.0)
        ledger.settle(config_id, "refused", "403", 3.0)
    ledger.receive(delivery("d", target("one")))
    ledger.receive(delivery("e", SignalTarget("TEMP_URL_SIGNAL", secret={"url": "v"})))
    assert {signal.config_id: signal.standing for signal in ledger.signals()} == {
        "a": "superseded",
        "b": "refused",
        "c": "refused",
    }


def test_a_delivery_that_comes_again_supersedes_nothing(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    ledger.finish("a", "body", target(), 2.0)
    ledger.receive(delivery("a"))
    assert [signal.config_id for signal in ledger.owed()] == ["a"]


def test_a_delivery_by_hand_supersedes_nothing(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    ledger.finish("a", "body", target(), 2.0)
    ledger.receive(Delivery("by-hand", "key", "v", "UPDATE", 3.0))
    assert [signal.config_id for signal in ledger.owed()] == ["a"]


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file())


def has_secrets(path: Path) -> bool:
    return any(word.encode() in bytes_of(path) for word in (SECRET, PASSWORD))


def test_secrets_are_gone_from_all_files_when_they_are_not_needed_any_more(path: Path, ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    assert has_secrets(path)
    ledger.finish("a", "body", None, 2.0)
    assert not has_secrets(path)

    ledger.receive(delivery("b"))
    ledger.finish("b", "body", target(), 2.0)
    ledger.settle("b", "owed", "503", 3.0)
    assert has_secrets(path)
    ledger.settle("b", "delivered", "200", 4.0)
    assert not has_secrets(path)

    ledger.receive(delivery("c"))
    ledger.finish("c", "body", target(), 2.0)
    ledger.receive(delivery("d", target(transport="NO_SIGNAL")))
    ledger.finish("d", "body", None, 2.0)
    assert not has_secrets(path)


def test_secrets_are_gone_among_many_rows_too(path: Path, ledger: Ledger) -> None:
    """Rows move between pages when a table grows; no page may keep an old copy."""
    names = [f"c{number:03}" for number in random.Random(3).sample(range(100), 100)]
    for name in names:
        ledger.receive(delivery(name, target(name)))
    for name in names:
        ledger.finish(name, "body " * 50, target(name), 2.0)
    for name in reversed(names):
        ledger.settle(name, "delivered", "200", 3.0)
    assert not has_secrets(path)


def test_no_repr_shows_a_secret(ledger: Ledger) -> None:
    ledger.receive(delivery("a"))
    shown = repr(ledger.delivery("a"))
    ledger.finish("a", "body", target(), 2.0)
    assert SECRET not in shown + repr(ledger.owed())


# --- kept files


def test_kept_files_are_known_by_name_architecture_version_and_build(ledger: Ledger) -> None:
    entry = ArchiveEntry("app_1_amd64.deb", "app", "amd64", "1", "ab", 10, 20, "repository")
    other = entry._replace(file="app_2_amd64.deb", version="2", origin="repack")
    rebuilt = entry._replace(file="app_1_amd64.d1.deb", digest="d1")
    ledger.add_archive_entries([entry, other, rebuilt])
    ledger.add_archive_entries([entry._replace(sha256="cd")])
    assert set(ledger.archive_entries()) == {entry._replace(sha256="cd"), other, rebuilt}
    ledger.replace_archive_entries([entry], [entry._replace(digest="d2")])
    assert set(ledger.archive_entries()) == {entry._replace(digest="d2"), other, rebuilt}
    ledger.drop_archive_entries([rebuilt, other])
    assert ledger.archive_entries() == (entry._replace(digest="d2"),)


# --- two at once

WRITER = """
import sys
from pathlib import Path
from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import Package, PackageState
ledger = Ledger(Path(sys.argv[1]))
for step in range(40):
    rows = [Package(f"p{n}", "amd64", f"{sys.argv[2]}.{step}" if n == step else "1") for n in range(40)]
    ledger.put_state(PackageState("apt", "amd64", tuple(sorted(rows))))
    ledger.record_reached(sys.argv[2], f"v{step}", 1, None, float(step))
"""


def test_two_processes_write_at_once(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=environment) for name in ("one", "two")
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    ledger = Ledger(path)
    assert [len(ledger.history(key).records) for key in ledger.all_keys()] == [40, 40]
    states = [ledger.state(number) for number in range(1, 81)]
    assert len({state.digest for state in states}) == 80
    ledger.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from os_update_agent.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
with ledger._transaction() as db:
    db.execute("INSERT INTO histories (key) VALUES ('half')")
    # More than the cache holds: the file is being written.
    db.execute("INSERT INTO histories (key) VALUES (hex(zeroblob(9000000)))")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_that_is_killed_leaves_what_was_before(path: Path, ledger: Ledger) -> None:
    ledger.record_reached("whole", "v1", 1, None, 1.0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False).returncode == -9
    assert ledger.all_keys() == ("whole",)


def test_a_busy_ledger_is_waited_for_and_then_named(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os_update_agent.ledger.database.BUSY_SECONDS", 0.2)
    other = Ledger(path)
    use: Callable[[], None] = lambda: other.record_current("k", None)  # noqa: E731
    with ledger._transaction(), pytest.raises(LedgerError, match="database is locked"):
        use()
    use()
    other.close()


STOPPED = """
import os, signal, sys
from pathlib import Path
from os_update_agent.ledger import Ledger
with Ledger(Path(sys.argv[1]))._transaction():
    print("in it", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_was_stopped_in_a_transaction_is_named(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os_update_agent.ledger.database.BUSY_SECONDS", 0.2)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", STOPPED, str(path)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as stopped:
        assert stopped.stdout is not None and stopped.stdout.readline() == "in it\n"
        other = Ledger(path)
        said = f"database is locked by process {stopped.pid}; waited 0.2 s"
        with pytest.raises(LedgerError, match=said):
            other.record_current("k", None)
        other.close()
        stopped.kill()
