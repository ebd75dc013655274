"""The transports that do not go through Heat's own APIs, with a real Swift and a real Zaqar."""

import pytest

from heat.client import Heat
from heat.conftest import NewOne
from heat.lab import Lab
from heat.one import V1, V2
from packages.node import VERSIONS_ONE, VERSIONS_TWO


@pytest.fixture(scope="module")
def heat(stores: Lab) -> Heat:
    """An operator who logs in when both are in the catalog: a token keeps the catalog of its time."""
    return Heat(stores)


@pytest.mark.parametrize(
    ("signal_transport", "config_transport"),
    [("TEMP_URL_SIGNAL", "POLL_TEMP_URL"), ("ZAQAR_SIGNAL", "ZAQAR_MESSAGE")],
)
def test_both_ways(new_one: NewOne, signal_transport: str, config_transport: str) -> None:
    # A short name: the queue is named after the stack, in at most 64 characters.
    one = new_one(offered=True, signal_transport=signal_transport, config_transport=config_transport)
    stack, server = one.stack, one.server
    assert server.versions() == VERSIONS_ONE
    assert "baseline" in stack.output("stdout")
    baseline = server.apt.state(), stack.output("state_digest")

    one.update(V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert [(item["action"], item["value"]) for item in one.listed()] == [("UPDATE", V2)]
    assert server.versions() == VERSIONS_TWO
    assert stack.output("state_digest") != baseline[1]

    one.update(V1)
    stack.wait_for("UPDATE_COMPLETE")
    assert (server.apt.state(), stack.output("state_digest")) == baseline
    assert V1 in stack.output("restored_from")
    assert {signal.standing for signal in server.signals()} == {"delivered"}
