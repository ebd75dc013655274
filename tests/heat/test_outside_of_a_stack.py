"""Deployments that no stack has: ``heat deployment-create`` and ``openstack software deployment``, with a real Heat and
a real Swift.
"""

import json
import subprocess
import time
from pathlib import Path

import pytest
import requests

from heat.client import Heat, wait_until
from heat.conftest import NewServer, NewStack
from heat.lab import Lab
from heat.one import V1, V2
from heat.outside import CONFIG, Deployments, wait_for_fraction
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.outbox import Patience, deliver_signal
from os_update_agent.heat.deployment import parse
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Request
from os_update_agent.runtime.context import Site
from packages.node import VERSIONS_ONE, VERSIONS_TWO

NAME = "90-package-update"
TEMPLATE = str(Path(__file__).resolve().parent / "templates/server-alone.yaml")
RESULT = {"deploy_stdout": "", "deploy_stderr": "", "deploy_status_code": 0, "changes": "none", "state_digest": "0"}


@pytest.fixture(scope="module")
def heat(stores: Lab) -> Heat:
    """An operator who logs in when both are in the catalog: a token keeps the catalog of its time."""
    return Heat(stores)


def run(heat: Heat, *argv: str) -> str:
    """Run a command of an operator, as hooks/templates/README.rst has it."""
    script = f'. {heat.lab.directory}/openrc && exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *argv], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def test_a_value_goes_in_and_comes_back(heat: Heat, new_stack: NewStack, new_server: NewServer, tmp_path: Path) -> None:
    stack = new_stack(TEMPLATE)
    server = new_server(stack.output("os_collect_config"), offered=True)
    deployments = Deployments(heat, stack.output("server"))
    definition = tmp_path / "package-update.yaml"
    definition.write_text(json.dumps({name: CONFIG[name] for name in ("inputs", "outputs")}), encoding="utf-8")
    create = ("software", "config", "create", "--group", "package-update", "--definition-file", str(definition))
    config = json.loads(run(heat, "openstack", *create, "packages"))["id"]
    before = server.apt.state()

    def completed(id: str) -> bool:
        return str(deployments.show(id).status) != "IN_PROGRESS"

    def wait_for(id: str) -> None:
        wait_until(lambda: completed(id), f"deployment {id}", server.tail)
        assert deployments.show(id).status == "COMPLETE"

    arguments = ("-s", deployments.server, "-c", config, "-a", "CREATE", "-i", f"update_after_time={V1}", NAME)
    baseline = json.loads(run(heat, "heat", "deployment-create", *arguments))["id"]
    wait_for(baseline)
    assert server.versions() == VERSIONS_ONE
    assert "baseline" in deployments.show(baseline).output_values["deploy_stdout"]
    digest = deployments.show(baseline).output_values["state_digest"]

    deployments.delete(baseline)
    url = deployments.url(NAME)
    forward = deployments.create(NAME, V2, url=url)
    wait_for(forward)
    assert server.versions() == VERSIONS_TWO

    # The same deployment gets another config: the API can do that, no command does.
    back = deployments.update(forward, NAME, V1, url)
    wait_for(forward)
    assert server.apt.state() == before
    assert deployments.show(forward).output_values["state_digest"] == digest
    ledger = Ledger(server.directory / "state/ledger.sqlite")
    received = ledger.delivery(back["id"])
    ledger.close()
    assert received is not None
    assert received.key == f"{NAME}@{deployments.server}"

    # The deployment before stays in the list of the server. Nobody waits for a result of the next one.
    silent = deployments.create(NAME, V2)
    wait_until(lambda: server.versions() == VERSIONS_TWO, "release two", server.tail)
    assert deployments.show(silent).status == "IN_PROGRESS"


def test_a_result_of_the_same_second_is_not_lost(heat: Heat, new_stack: NewStack, tmp_path: Path) -> None:
    """Heat ignores an object that is not later than its own time, which is rounded up here as it is in MySQL."""
    stack = new_stack(TEMPLATE)
    deployments = Deployments(heat, stack.output("server"))
    url = deployments.url(NAME)
    id = deployments.create(NAME, V1, url=url)

    def give(value: str) -> "dict[str, object]":
        wait_for_fraction(0.5, 0.6)
        return deployments.update(id, NAME, value, url)

    for attempt in range(10):
        give(f"{V1}-{attempt}")
        answer = requests.put(url, data=json.dumps(RESULT), timeout=30)
        assert answer.status_code == 201
        if deployments.show(id).status == "IN_PROGRESS":
            break
    else:
        pytest.fail("the machine is too slow to store an object in the second of its deployment")
    time.sleep(2.5)
    assert deployments.show(id).status == "IN_PROGRESS"

    deployment = parse(json.dumps(give(V2)))
    settings = Settings(run=tmp_path / "run", collect_config=tmp_path / "none")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    site = Site(settings, ledger)
    request = Request(deployment.signal, deployment.outputs)
    ledger.receive(Delivery(deployment.id, deployment.key, V2, "UPDATE", site.clock(), request=request))
    ledger.finish(deployment.id, json.dumps(RESULT), deployment.signal, site.clock())
    assert deliver_signal(site, deployment.id, Patience(60))
    ledger.close()
    assert deployments.show(id).status == "COMPLETE"
