"""Which states stay restorable."""

from pathlib import Path
from typing import Iterator, Optional

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.model.phases import UNDONE, UNTOUCHED, RunKind
from os_update_agent.model.runs import History, Progress, Record, Run
from os_update_agent.runs.retention import DAY, IdleLimit, downloads_ahead, keep_of, kept_states, old_since


def history(*states: int, current: Optional[int] = None, first_state: Optional[int] = None) -> History:
    records = tuple(Record(f"v{state}", state, tried=float(state), reached=float(state)) for state in states)
    return History("key", None if current is None else f"v{current}", first_state, records)


@pytest.mark.parametrize(("known", "keep", "kept"), [
    (history(), 5, ()),
    (history(1, 2, 3, current=3), 5, (1, 2, 3)),
    (history(1, 2, 3, current=3), 2, (1, 2, 3)),
    (history(1, 2, 3, current=3), 1, (2, 3)),
    (history(1, 2, 3, current=1), 1, (3, 1)),
    (history(1, 2, 3), 1, (3,)),
    (history(2, 3, current=3, first_state=1), 1, (2, 3, 1)),
    (history(2, 3, current=3, first_state=3), 2, (2, 3)),
    (history(first_state=1), 5, (1,)),
    (history(1, 2, 3, current=3, first_state=9), 0, ()),
])  # fmt: skip
def test_the_last_reached_the_current_and_the_first_state(known: History, keep: int, kept: "tuple[int, ...]") -> None:
    assert kept_states(known, keep) == kept


def test_two_values_with_one_state_keep_it_once() -> None:
    records = (Record("v1", 1, 1.0, 1.0), Record("v2", 1, 2.0, 2.0))
    assert kept_states(History("key", "v2", None, records), 5) == (1,)


def test_what_was_never_reached_takes_no_place() -> None:
    records = (Record("v1", 1, 1.0, 1.0), Record("v2", None, 2.0, None), Record("v3", None, 3.0, None))
    assert kept_states(History("key", "v1", None, records), 1) == (1,)


# --- what was downloaded for an update that is still to come

OLD, NEW = (PackageState("apt", "amd64", (Package("app", "amd64", version),)) for version in ("1", "2"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def ran(
    ledger: Ledger,
    kind: RunKind,
    after: PackageState,
    *,
    reached: bool = True,
    undone: Optional[bool] = None,
    key: str = "k",
) -> Run:
    """A run from the old state that aimed at the new one, with what it has left behind."""
    before, target, left = (ledger.put_state(state) for state in (OLD, NEW, after))
    run = Run(
        0,
        key,
        "v",
        kind,
        "finished",
        1.0,
        finished=2.0,
        progress=Progress(UNDONE if undone else UNTOUCHED, reached=reached),
        before=before,
        target=target,
        after=left,
    )
    run = ledger.open_run(run)
    ledger.save_run(run)
    return run


@pytest.mark.parametrize("kind", ["assess", "stop", "start"])
def test_what_touches_no_package_leaves_a_download_ahead(ledger: Ledger, kind: RunKind) -> None:
    download = ran(ledger, "download", OLD)
    ran(ledger, kind, OLD)
    assert downloads_ahead(ledger) == (download,)


@pytest.mark.parametrize("kind", ["update", "restore", "download"])
@pytest.mark.parametrize("undone", [None, True])
def test_what_did_not_reach_its_aim_leaves_a_download_ahead(
    ledger: Ledger, kind: RunKind, undone: Optional[bool]
) -> None:
    download = ran(ledger, "download", OLD)
    ran(ledger, kind, OLD, reached=False, undone=undone)
    assert downloads_ahead(ledger) == (download,)


@pytest.mark.parametrize("key", ["k", "another"])
def test_an_update_that_brings_it_makes_a_download_history(ledger: Ledger, key: str) -> None:
    ran(ledger, "download", OLD)
    ran(ledger, "update", NEW, key=key)
    assert downloads_ahead(ledger) == ()


def test_an_update_of_the_same_key_that_is_just_ending_makes_a_download_history(ledger: Ledger) -> None:
    """The archive is cleaned up before the ledger has it as reached."""
    download = ran(ledger, "download", OLD)
    update = ran(ledger, "update", OLD, reached=False)
    assert downloads_ahead(ledger) == (download,)
    assert downloads_ahead(ledger, update.id) == ()


def test_a_download_of_a_forgotten_key_is_not_waited_for(ledger: Ledger) -> None:
    ran(ledger, "download", OLD, key="gone")
    assert len(downloads_ahead(ledger)) == 1
    ledger.forget("gone")
    assert downloads_ahead(ledger) == ()


def received(ledger: Ledger, policy: Policy) -> None:
    ledger.receive(Delivery("c", "key", "v", "UPDATE", NOW, policy.as_json()))


@pytest.mark.parametrize(("last", "defaults", "keep"), [
    # What the delivery gave itself is stronger than agent.conf, what it had from agent.conf at that time is not.
    (Policy(keep=2, given=("keep",)), Policy(keep=9), 2),
    (Policy(keep=2, given=()), Policy(keep=9), 9),
    (Policy(keep=2, given=()), Policy(), 5),
    (Policy(archive="off", given=("archive",)), Policy(), 0),
    (Policy(archive="off", given=()), Policy(), 5),
    (Policy(given=()), Policy(archive="off"), 0),
    (Policy(given=("archive",)), Policy(archive="off"), 5),
    (Policy(operation="download", given=("operation",)), Policy(), 0),
    (Policy(operation="download", given=()), Policy(), 5),
    # Nobody knows who gave an option: no file is dropped because of a guess.
    (Policy(keep=6), Policy(keep=1), 6),
    (Policy(), Policy(archive="off"), 5),
    (Policy(keep=6, given=()), None, 6),
])  # fmt: skip
def test_agent_conf_counts_as_it_is_now_for_the_files_that_are_kept(
    ledger: Ledger, last: Policy, defaults: Optional[Policy], keep: int
) -> None:
    received(ledger, last)
    assert keep_of(ledger, "key", defaults) == keep


def test_the_files_of_a_key_that_received_nothing_are_kept_as_agent_conf_says(ledger: Ledger) -> None:
    assert keep_of(ledger, "key", Policy(keep=2)) == 2
    assert keep_of(ledger, "key", None) == 5


@pytest.mark.parametrize(("given", "limit", "is_old"), [
    (("forget_after",), 90.0, True),
    ((), 90.0, False),
    ((), None, False),
    ((), 30.0, True),
    (None, 90.0, True),
])  # fmt: skip
def test_agent_conf_counts_as_it_is_now_for_the_age_of_a_key(
    ledger: Ledger, given: "Optional[tuple[str, ...]]", limit: Optional[float], is_old: bool
) -> None:
    received(ledger, Policy(forget_after=10.0, given=given))
    assert (old_since(ledger, "key", IdleLimit(NOW + 31 * DAY, limit)) is not None) == is_old


NOW = 1.8e9


def test_a_key_that_was_delivered_under_a_wrong_clock_is_not_old(ledger: Ledger) -> None:
    """The battery of the clock was empty: the delivery came in 1970."""
    ledger.receive(Delivery("c", "key", "v", "UPDATE", 60.0, Policy(value="v", key="key", forget_after=10.0).as_json()))
    assert old_since(ledger, "key", IdleLimit(NOW)) is None


def test_a_key_is_old_by_its_own_age_or_that_of_the_node(ledger: Ledger) -> None:
    for key, own in (("asks", 10.0), ("does-not", None)):
        policy = Policy(value="v", key=key, forget_after=own).as_json()
        ledger.receive(Delivery(f"of-{key}", key, "v", "UPDATE", NOW, policy))
    old = {
        (key, days, limit): old_since(ledger, key, IdleLimit(NOW + days * DAY, limit)) is not None
        for key in ("asks", "does-not", "nobody")
        for days in (5, 11, 31)
        for limit in (None, 30.0)
    }
    assert {known for known, is_old in old.items() if is_old} == {
        *(("asks", days, limit) for days in (11, 31) for limit in (None, 30.0)),
        ("does-not", 31, 30.0),
    }
    assert old_since(ledger, "asks", IdleLimit(NOW + 31 * DAY), besides="of-asks") is None
