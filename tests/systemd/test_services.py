"""The operations stop and start with a real systemd: what it says of units that run, end by themselves, or are not
there.
"""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from systemd.machine import Machine

CHECKOUT = Path(__file__).resolve().parents[2]
UNIT = "[Service]\nExecStart={command}\n{more}\n"
# By name: one that runs, one that ends at once, one that ends badly at once, and one that systemd starts again and
# again.
UNITS = {
    "good": UNIT.format(command="/bin/sleep infinity", more=""),
    "short": UNIT.format(command="/bin/true", more=""),
    "bad": UNIT.format(command="/bin/false", more=""),
    "flapping": UNIT.format(
        command="/bin/false", more="Restart=always\nRestartSec=30\n[Unit]\nStartLimitIntervalSec=0"
    ),
    # It refuses to be stopped.
    "stubborn": UNIT.format(command="/bin/sleep infinity", more="[Unit]\nRefuseManualStop=yes"),
}


@pytest.fixture
def node(machine: Machine) -> Iterator[Machine]:
    shutil.copytree(CHECKOUT / "agent/os_update_agent", machine.path("/opt/agent/os_update_agent"))
    shutil.copy(CHECKOUT / "hooks/package-update", machine.path("/opt/package-update"))
    for name, text in UNITS.items():
        machine.write(f"/etc/systemd/system/{name}.service", text)
    machine.boot()
    machine.wait_until_booted()
    yield machine


def deliver(
    machine: Machine, value: str, *units: str, action: str = "UPDATE", operation: str = "stop"
) -> Dict[str, Any]:
    given = {
        "deploy_server_id": "server",
        "deploy_action": action,
        "deploy_stack_id": "web/1",
        "deploy_resource_name": operation,
        "deploy_signal_transport": "NO_SIGNAL",
        "update_after_time": value,
    }
    deployment = {
        "id": str(uuid.uuid4()),
        "name": operation,
        "group": "package-update",
        "config": {"operation": operation, "units": list(units)},
        "options": {},
        "inputs": [{"name": name, "type": "String", "value": text} for name, text in given.items()],
        "outputs": [],
    }
    done = machine.run("env", "PYTHONPATH=/opt/agent", "python3", "/opt/package-update", stdin=json.dumps(deployment))
    return dict(json.loads(done.stdout))


def test_services_are_stopped_for_a_new_value_and_started_for_an_old_one(node: Machine) -> None:
    node.run("systemctl", "start", "good", "stubborn")
    assert deliver(node, "v1", "good", action="CREATE")["deploy_status_code"] == 0
    assert node.is_active("good")
    assert deliver(node, "v2", "good", "short")["deploy_status_code"] == 0
    assert not node.is_active("good")
    assert deliver(node, "v1", "good")["deploy_status_code"] == 0
    assert node.is_active("good")

    refused = deliver(node, "v2", "good", "stubborn")
    assert refused["deploy_status_code"] != 0
    assert "stubborn.service is active after the stop" in refused["deploy_stderr"]
    assert "what was running before runs again" in refused["deploy_stderr"]
    assert node.is_active("good") and node.is_active("stubborn")

    unknown = deliver(node, "v3", "good", "nowhere")
    assert unknown["deploy_status_code"] != 0 and "nowhere.service (not-found)" in unknown["deploy_stderr"]
    assert node.is_active("good")


@pytest.mark.parametrize("name", ["bad", "flapping"])
def test_a_service_that_does_not_stay_is_not_started(node: Machine, name: str) -> None:
    """systemctl start is content with it."""
    result = deliver(node, "v2", "good", name, operation="start")
    assert result["deploy_status_code"] != 0
    assert f"{name}.service is " in result["deploy_stderr"] and "after the start" in result["deploy_stderr"]
    assert node.is_active("good")
