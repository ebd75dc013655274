"""What is owed to Heat, over the real chain: kept while nobody answers, asked for before it is sent; the same for all
hooks.
"""

import json
import subprocess
import sys
from typing import Any, Dict, List

import pytest

from chain import install
from chain.chain import SECRET, DeploymentJson
from chain.guest import write
from chain.world import V1, V2, World
from os_update_agent.testing.receiver import Reply, Request

OTHER_HOOK = """\
#!/bin/sh
cat > /dev/null
echo ran >> {node}/other-hook-ran
echo '{{"deploy_stdout": "from another hook", "deploy_stderr": "", "deploy_status_code": 0}}'
"""
NOTIFY = """\
#!/bin/sh
export PYTHONPATH={agent}
exec {python} -m os_update_agent notify --patience {patience} "$@"
"""


def agent(world: World, *arguments: str) -> str:
    """The command by hand on this node. Returns all that it says."""
    environment = {**world.node.environment(), "PYTHONPATH": str(install.CHECKOUT / "agent")}
    done = subprocess.run(
        [sys.executable, "-m", "os_update_agent", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def set_patience(world: World, seconds: float) -> None:
    conf = world.node.conf
    conf.write_text(f"{conf.read_text(encoding='utf-8')}[defaults]\nsignal_timeout = {seconds}\n", encoding="utf-8")


class Server:
    """Heat's side of the signals: down or up; what it took, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_up = True
        self.taken: List[Dict[str, Any]] = []
        world.heat.receiver.answer(self._answer)

    def _answer(self, request: Request) -> Reply:
        if request.method != "POST":
            return self.world.heat._answer(request)
        if not self.is_up:
            return 503
        self.taken.append(json.loads(request.body))
        return self.world.heat._answer(request)


def assert_no_secret_is_left(world: World) -> None:
    """Neither in the agent's files nor in heat-config's copies. The metadata themselves, which Heat hands out anew, are
    the chain's.
    """
    kept = [*world.node.own_files(), *(world.node.directory / "deployed").iterdir()]
    assert [path for path in kept if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def older(deployment: DeploymentJson) -> DeploymentJson:
    return {**deployment, "creation_time": "2026-11-22T09:00:00Z"}


def test_a_server_that_is_down_longer_than_the_run_gets_the_result_once(world: World) -> None:
    set_patience(world, 0.1)
    server = Server(world)
    server.is_up = False
    world.node.deliver(world.heat.deployment(V1, "CREATE"))
    world.node.poll()
    assert server.taken == []
    assert "signal owed" in agent(world, "status")
    server.is_up = True
    agent(world, "resume")
    agent(world, "resume")
    assert [result["deploy_status_code"] for result in server.taken] == [0]
    assert_no_secret_is_left(world)


def test_a_result_that_is_superseded_while_the_server_is_down_is_dropped_and_said(world: World) -> None:
    """The real os-collect-config --print tells what Heat lists by now; the node itself has not polled again."""
    set_patience(world, 0.1)
    server = Server(world)
    server.is_up = False
    world.node.deliver(older(world.heat.deployment(V1, "CREATE")))
    world.node.poll()
    newer = world.heat.deployment(V2, "CREATE")
    world.node.deliver(newer)
    server.is_up = True
    agent(world, "resume")
    assert server.taken == []
    assert "signals dropped because a newer delivery came: 1" in agent(world, "status")
    assert_no_secret_is_left(world)
    world.node.poll()
    assert [V2 in result["deploy_stdout"] for result in server.taken] == [True]
    agent(world, "resume")
    assert len(server.taken) == 1


def test_a_delivery_that_is_superseded_when_it_arrives_is_not_run(world: World) -> None:
    """While Heat replaces a failed deployment the metadata list both; heat-config runs them in the order of the
    list.
    """
    world.send(V1, "CREATE")
    server = Server(world)
    before = world.apt.state()
    late, replacement = older(world.heat.deployment(V2, "UPDATE")), world.heat.deployment(V1, "CREATE")
    world.node.deliver(late, replacement)
    said = world.node.poll()
    assert f'run=none why="the newer deployment {replacement["id"]} of the same resource has come"' in said
    assert [V1 in result["deploy_stdout"] for result in server.taken] == [True]
    assert world.apt.state() == before
    assert json.loads(agent(world, "history", "--json"))["runs"] == []


def outside(deployment: DeploymentJson) -> DeploymentJson:
    """The same outside of a stack, with a URL of its own."""
    own = ("deploy_stack_id", "deploy_resource_name")
    inputs = [dict(entry) for entry in deployment["inputs"] if entry["name"] not in own]
    for entry in inputs:
        if entry["name"] == "deploy_signal_id":
            entry["value"] += f"&of={deployment['id']}"
    return {**deployment, "inputs": inputs}


def test_outside_of_a_stack_the_newest_of_a_name_is_run_and_each_is_answered(world: World) -> None:
    """Each waits for a result of its own, so one that is not run must say so."""
    server = Server(world)
    world.node.deliver(outside(world.heat.deployment(V1, "CREATE")))
    world.node.poll()
    late, newest = older(outside(world.heat.deployment(V2, "UPDATE"))), outside(world.heat.deployment(V1, "UPDATE"))
    before = world.apt.state()
    world.node.deliver(late, newest)
    world.node.poll()
    assert "baseline" in server.taken[0]["deploy_stdout"]
    said = sorted(f"{result['deploy_status_code']} {result['deploy_stderr']}" for result in server.taken[1:])
    assert len(said) == 2 and said[0] == "0 "
    # A success would promise that the value can be restored.
    assert said[1].startswith(f"1 '{V2}': not run, a newer deployment of the same name has come")
    assert world.apt.state() == before
    assert_no_secret_is_left(world)
    # heat-config, which has lost its notes, hands over all of them again: each has the result that it had.
    for deployment in (late, newest):
        world.node.forget(deployment)
    world.node.poll(force=True)
    assert len(server.taken) == 3
    keys = [one["key"] for one in json.loads(agent(world, "status", "--json"))["keys"]]
    assert [key.partition("@")[0] for key in keys] == ["update"]


# --- notify, for the other hooks of the node


def other(world: World, patience: float, **more: Any) -> DeploymentJson:
    """A deployment of another hook, whose results go through the agent's notify."""
    directory = world.node.directory
    write(directory / "hooks/other", OTHER_HOOK.format(node=directory), 0o755)
    notify = NOTIFY.format(agent=install.CHECKOUT / "agent", python=sys.executable, patience=patience)
    write(directory / "bin/heat-config-notify", notify, 0o755)
    return {**world.heat.deployment("x", "CREATE", group="other"), **more}


def runs(world: World) -> int:
    path = world.node.directory / "other-hook-ran"
    return len(path.read_text(encoding="utf-8").split()) if path.exists() else 0


def test_another_hooks_result_is_delivered_once(world: World) -> None:
    server = Server(world)
    world.node.deliver(other(world, 60))
    said = world.node.poll()
    assert [result["deploy_stdout"] for result in server.taken] == ["from another hook"]
    agent(world, "resume")
    assert (len(server.taken), runs(world)) == (1, 1)
    assert SECRET not in said
    assert_no_secret_is_left(world)


@pytest.mark.parametrize("status", [403, 503])
def test_a_refusal_is_not_taken_for_a_success(world: World, status: int) -> None:
    """heat-config-notify looks at no status: a 403 or a 503 is a lost result there."""
    deployment = other(world, 0)
    world.heat.receiver.answer(lambda request: status if request.method == "POST" else world.heat._answer(request))
    world.node.deliver(deployment)
    said = world.node.poll()
    assert SECRET not in said
    document = json.loads(agent(world, "status", "--json"))["signals"]
    standing = "owed" if status == 503 else "refused"
    assert [signal["deployment"] for signal in document[standing]] == [deployment["id"]]
    assert str(status) in document[standing][0]["last_answer"]


def test_another_hooks_result_is_kept_over_a_server_that_is_down(world: World) -> None:
    deployment = other(world, 0)
    server = Server(world)
    server.is_up = False
    world.node.deliver(deployment)
    world.node.poll()
    assert server.taken == []
    server.is_up = True
    agent(world, "resume")
    agent(world, "resume")
    assert [result["deploy_stdout"] for result in server.taken] == ["from another hook"]
    assert runs(world) == 1


def test_another_hooks_result_is_not_sent_for_a_superseded_deployment(world: World) -> None:
    server = Server(world)
    late, newer = older(other(world, 0)), other(world, 60)
    world.node.deliver(late, newer)
    world.node.poll()
    # Both ran, as heat-config runs them; Heat waits for one.
    assert (runs(world), len(server.taken)) == (2, 1)
    agent(world, "resume")
    assert len(server.taken) == 1


def test_what_the_agent_has_delivered_is_not_sent_again_by_notify(world: World) -> None:
    server = Server(world)
    other(world, 60)
    world.node.deliver(world.heat.deployment(V1, "CREATE"))
    world.node.poll()
    assert len(server.taken) == 1


def test_without_a_ledger_another_hooks_result_is_still_sent(world: World) -> None:
    server = Server(world)
    deployment = other(world, 0)
    (world.node.directory / "state").mkdir(mode=0o700)
    (world.node.directory / "state/ledger.sqlite").write_bytes(b"no ledger at all" * 100)
    world.node.deliver(deployment)
    said = world.node.poll()
    assert [result["deploy_stdout"] for result in server.taken] == ["from another hook"]
    assert SECRET not in said


def test_with_a_configuration_that_cannot_be_read_another_hooks_result_is_still_sent(world: World) -> None:
    """It may come from the metadata: one wrong key there must not keep the results of all hooks of the node from
    Heat.
    """
    server = Server(world)
    deployment = other(world, 0)
    world.node.conf.write_text("[paths]\nstat = /var/tmp\n", encoding="utf-8")
    world.node.deliver(deployment)
    said = world.node.poll()
    assert [result["deploy_stdout"] for result in server.taken] == ["from another hook"]
    assert SECRET not in said
