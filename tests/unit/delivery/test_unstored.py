"""A result that no ledger keeps is sent once; the clock and the network are made up."""

from typing import Any, List

import pytest

from os_update_agent.config.settings import Settings
from os_update_agent.delivery import answer
from os_update_agent.delivery.answer import Addressee, send_unstored
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, Answer
from os_update_agent.heat.stored_objects import APART_SECONDS
from os_update_agent.model.deliveries import Deployment, SignalTarget


def sent(monkeypatch: pytest.MonkeyPatch, deployment: Deployment, newer: "str | None" = None) -> List[Any]:
    """What happens, in its order: pauses in seconds, and the transports of tries."""
    happened: List[Any] = []

    def send(target: SignalTarget, body: str, **_: object) -> Answer:
        happened.append(target.transport)
        return Answer(AGAIN, "busy")

    monkeypatch.setattr("time.sleep", happened.append)
    monkeypatch.setattr(answer, "send", send)
    monkeypatch.setattr(answer, "overtaken_on_arrival", lambda _: newer)
    found = send_unstored(Addressee(Settings(), deployment), "{}")
    assert found.verdict == (AGAIN if happened else DELIVERED)
    return happened


def deployment(transport: str, stack: str = "stack/1") -> Deployment:
    return Deployment("c1", "n", "UPDATE", stack, "r", "s", signal=SignalTarget(transport, secret={"url": "u"}))


def test_an_object_waits_for_the_second_of_its_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent(monkeypatch, deployment("TEMP_URL_SIGNAL")) == [APART_SECONDS, "TEMP_URL_SIGNAL"]
    assert sent(monkeypatch, deployment("CFN_SIGNAL")) == ["CFN_SIGNAL"]


def test_outside_of_a_stack_no_newer_deployment_supersedes_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent(monkeypatch, deployment("CFN_SIGNAL"), newer="c2") == []
    assert sent(monkeypatch, deployment("CFN_SIGNAL", stack=""), newer="c2") == ["CFN_SIGNAL"]
