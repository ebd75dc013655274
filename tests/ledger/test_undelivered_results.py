"""Which signals a new delivery overtakes, and the delivery that comes with its answer."""

from pathlib import Path

from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Output, Request, SignalTarget

TARGET = SignalTarget("CFN_SIGNAL", "stack/1", "update", "POST", {"url": "http://heat.example/?Signature=s"})


def delivery(config_id: str) -> Delivery:
    return Delivery(config_id, "key", "v", "UPDATE", 1.0, request=Request(TARGET, (Output("changes"),)))


def test_a_delivery_that_comes_with_its_answer_is_never_seen_without(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    assert ledger.receive_answered(delivery("a"), "{}", TARGET)
    assert ledger.unfinished() == ()
    assert [signal.standing for signal in ledger.signals("a")] == ["owed"]
    assert not ledger.receive_answered(delivery("a"), '{"other": 1}', TARGET)
    assert ledger.signals("a")[0].body == "{}"


def test_deployments_outside_of_any_stack_do_not_overtake_each_other(tmp_path: Path) -> None:
    """`openstack software deployment create` names neither stack nor resource; each has a URL of its own."""
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    target = SignalTarget("TEMP_URL_SIGNAL", verb="PUT", secret={"url": "http://127.0.0.1/x"})
    for config_id in ("a", "b"):
        ledger.receive_answered(Delivery(config_id, "k", "v", "CREATE", 1.0, request=Request(target)), "{}", target)
    assert not ledger.is_overtaken("a")
    assert [signal.standing for signal in ledger.signals()] == ["owed", "owed"]
    ledger.close()


def test_deliveries_that_nobody_waits_for_do_not_overtake_each_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state/ledger.sqlite")
    for config_id in ("a", "b"):
        silent = Request(SignalTarget("NO_SIGNAL", resource_name=config_id))
        ledger.receive(Delivery(config_id, "key", "v", "UPDATE", 1.0, request=silent))
    assert not ledger.is_overtaken("a")
    assert [signal for signal in ledger.signals() if signal.standing == "superseded"] == []
