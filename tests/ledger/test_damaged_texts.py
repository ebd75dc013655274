"""A text that is damaged into one that is no UTF-8: it is named, and never counts as another value or another id."""

from pathlib import Path
from typing import Iterator, List

import pytest

from ledger.stored import ask, private_settings
from os_update_agent.config.policy import Policy
from os_update_agent.delivery.decide import what_would_happen
from os_update_agent.delivery.execute import resume
from os_update_agent.delivery.outbox import Patience
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.model.errors import Damaged
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.runtime.context import Site
from os_update_agent.testing.receiver import Receiver

# "v-one" with one byte that no UTF-8 has.
NO_UTF_8 = "CAST(X'762dff6e65' AS TEXT)"
# How often a resume asks for the time at most. One that goes round for ever asks each time.
LONGEST = 200
ONE_TRY = Patience(0.0)


class Clock:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        assert self.asked < LONGEST, "the worker goes round for ever"
        return 5.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A node without packages whose key has reached v-zero and v-one, the current value."""
    settings = private_settings(tmp_path)
    ledger = Ledger(settings.ledger)
    for number, value in enumerate(("v-zero", "v-one"), 1):
        state = ledger.put_state(PackageState("apt", "amd64", (Package("tool", "amd64", str(number)),)))
        ledger.record_reached("key", value, state, None, 1.0)
    yield Site(settings, ledger, clock=Clock())
    ledger.close()


def arrive(site: Site, config_id: str, action: str = "DELETE", *, transport: str = "NO_SIGNAL", url: str = "") -> None:
    target = SignalTarget(transport, "stack/1", config_id, secret={"url": url} if url else {})
    policy = Policy(value="v-one", key="key").as_json()
    site.ledger.receive(Delivery(config_id, "key", "v-one", action, 1.0, policy, request=Request(target)))


def names(site: Site) -> List[str]:
    return [one.record for one in site.ledger.damaged()]


# --- values


@pytest.mark.parametrize("table", ["records SET value", "histories SET current"])
def test_a_known_value_that_is_damaged_does_not_become_a_new_one(site: Site, table: str) -> None:
    for value in ("v-zero", "v-one"):
        assert what_would_happen(site.ledger, Policy(key="key", value=value)).do in ("restore", "nothing")
    where = "WHERE value = 'v-one'" if "value" in table else ""
    ask(site.settings.ledger, f"UPDATE {table} = {NO_UTF_8} {where}")
    for value in ("v-zero", "v-one"):
        with pytest.raises(Damaged, match="is binary data and must be text"):
            what_would_happen(site.ledger, Policy(key="key", value=value))


@pytest.mark.parametrize("table", ["records SET value", "histories SET current"])
def test_a_delivery_of_a_damaged_history_is_answered_as_a_failure(site: Site, table: str) -> None:
    arrive(site, "c1", "UPDATE")
    where = "WHERE value = 'v-one'" if "value" in table else ""
    ask(site.settings.ledger, f"UPDATE {table} = {NO_UTF_8} {where}")
    assert resume(site, ONE_TRY) == ()
    answered = site.ledger.delivery("c1")
    assert answered is not None and answered.body is not None and answered.run is None
    assert "is binary data and must be text" in answered.body


# --- deliveries


@pytest.mark.parametrize("column", ["config_id", "key", "value", "action"])
def test_a_delivery_with_a_damaged_text_is_answered_once_and_stops_no_other_one(site: Site, column: str) -> None:
    arrive(site, "c1")
    arrive(site, "c2")
    ask(site.settings.ledger, f"UPDATE deliveries SET {column} = {NO_UTF_8} WHERE config_id = 'c1'")
    (damage,) = site.ledger.damaged_unfinished()
    assert f"{column} is binary data and must be text" in str(damage)
    assert resume(site, ONE_TRY) == ()
    assert not site.ledger.unfinished() and not site.ledger.damaged_unfinished()
    (first, second) = ask(site.settings.ledger, "SELECT body FROM deliveries ORDER BY turn")
    assert '"deploy_status_code": 1' in first[0] and f"{column} is binary data" in first[0]
    assert '"deploy_status_code": 0' in second[0]


def test_two_deliveries_with_ids_that_look_alike_are_both_answered(site: Site) -> None:
    arrive(site, "c1")
    arrive(site, "c2")
    ask(site.settings.ledger, f"UPDATE deliveries SET config_id = {NO_UTF_8} WHERE config_id = 'c1'")
    ask(site.settings.ledger, "UPDATE deliveries SET config_id = X'762dff6e65' WHERE config_id = 'c2'")
    resume(site, ONE_TRY)
    assert ask(site.settings.ledger, "SELECT count(*) FROM deliveries WHERE body IS NULL") == [(0,)]


def test_a_delivery_that_no_statement_finds_is_taken_up_once_and_stops_no_other_one(site: Site) -> None:
    """One bit of the id has changed in the table, and not in its index."""
    arrive(site, "damaged-1")
    arrive(site, "c2")
    ledger = site.settings.ledger
    content = ledger.read_bytes()
    assert content.count(b"damaged-1keyv-one") == 1
    ledger.write_bytes(content.replace(b"damaged-1keyv-one", b"damaged-3keyv-one"))
    fresh = site._replace(ledger=Ledger(ledger))
    assert not fresh.ledger.start("damaged-3", 1.0)
    assert resume(fresh, ONE_TRY) == ()
    assert [one.config_id for one in fresh.ledger.unfinished()] == ["damaged-3"]
    answered = fresh.ledger.delivery("c2")
    assert answered is not None and answered.finished is not None
    fresh.ledger.close()


# --- results on their way


def owe(site: Site, receiver: Receiver, config_id: str, body: str) -> None:
    arrive(site, config_id, transport="CFN_SIGNAL", url=receiver.url(config_id))
    delivery = site.ledger.delivery(config_id)
    assert delivery is not None and delivery.request is not None
    site.ledger.finish(config_id, body, delivery.request.signal, 2.0)


def test_a_result_with_a_damaged_id_goes_back_to_its_delivery_and_is_sent(site: Site) -> None:
    with Receiver() as receiver:
        owe(site, receiver, "c1", '{"deploy_status_code": 0}')
        ask(site.settings.ledger, f"UPDATE outbox SET config_id = {NO_UTF_8}")
        assert site.ledger.owed() == ()
        assert resume(site, ONE_TRY) == ()
        assert [one.path for one in receiver.received] == ["/c1"]
    (signal,) = site.ledger.signals("c1")
    assert (signal.standing, signal.target) == ("delivered", None)


def test_a_result_that_belongs_to_no_delivery_is_refused_named_and_keeps_no_secret(site: Site) -> None:
    with Receiver() as receiver:
        owe(site, receiver, "c1", '{"deploy_status_code": 0}')
        ask(site.settings.ledger, f"UPDATE outbox SET config_id = {NO_UTF_8}, body = 'another'")
        assert resume(site, ONE_TRY) == ()
        assert receiver.received == []
    assert ask(site.settings.ledger, "SELECT standing, target FROM outbox") == [("refused", None)]
    assert site.ledger.signals() == ()
    assert names(site) == ["the result of delivery b'v-\\xffne'"]
