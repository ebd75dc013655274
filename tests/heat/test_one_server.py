"""One server: a real Heat, the real chain and the real agent with real packages, in every way that a value can travel."""

from pathlib import Path

import pytest

from heat.conftest import NewServer, NewStack
from packages.node import VERSIONS_ONE, VERSIONS_TWO

TEMPLATE = str(Path(__file__).resolve().parent / "templates/one-server.yaml")
V1, V2, V3 = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"


@pytest.mark.parametrize("config_transport", ["POLL_SERVER_HEAT", "POLL_SERVER_CFN"])
@pytest.mark.parametrize("signal_transport", ["CFN_SIGNAL", "HEAT_SIGNAL"])
def test_a_value_goes_in_and_comes_back(new_stack: NewStack, new_server: NewServer, signal_transport: str, config_transport: str) -> None:
    transports = {"signal_transport": signal_transport, "config_transport": config_transport}
    stack = new_stack(TEMPLATE, update_after_time=V1, wait=False, **transports)
    server = new_server(stack.wait_for_output("os_collect_config"))
    stack.wait_for("CREATE_COMPLETE")
    assert server.versions() == VERSIONS_ONE
    assert "baseline" in stack.output("stdout")
    baseline = server.apt.state(), stack.output("state_digest")

    server.offer_two()
    stack.update(update_after_time=V2)
    stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == VERSIONS_TWO
    assert {change["name"] for change in stack.output("changes")["changes"]} >= {"app", "libapp1"}

    stack.update(update_after_time=V1)
    stack.wait_for("UPDATE_COMPLETE")
    assert (server.apt.state(), stack.output("state_digest")) == baseline
    assert V1 in stack.output("restored_from")
