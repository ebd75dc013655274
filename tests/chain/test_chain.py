"""Deliveries as Heat makes them, through the real chain, to real packages in a private root, and the results on their
way back.
"""

import json
from typing import List

from chain.chain import SECRET, lines_with
from chain.world import AT_V1, AT_V2, NEW, V1, V2, V3, World
from os_update_agent.testing.receiver import Reply, Request
from os_update_agent.testing.repository import Deb


def test_a_new_value_updates_and_the_old_value_brings_the_old_state_back(world: World) -> None:
    baseline = world.apt.state()
    assert world.apt.versions() == AT_V1
    created = world.send(V1, "CREATE")
    assert created["deploy_status_code"] == 0, created
    assert world.apt.state() == baseline

    world.publish(*NEW)
    updated = world.send(V2, "UPDATE")
    assert updated["deploy_status_code"] == 0, updated
    assert world.apt.versions() == AT_V2
    assert {name.partition(":")[0] for name in world.apt.auto()} == {"libapp1", "app-extra", "newname"}
    assert "heldback" in json.dumps(updated["held_back"])
    assert updated["state_digest"] != created["state_digest"]

    world.lose_the_old_versions()
    restored = world.send(V1, "UPDATE")
    assert restored["deploy_status_code"] == 0, restored
    assert world.apt.state() == baseline
    assert restored["state_digest"] == created["state_digest"]
    assert restored["restored_from"]


def test_the_restored_node_can_go_forward_again(world: World) -> None:
    world.send(V1, "CREATE")
    world.publish(*NEW)
    updated = world.send(V2, "UPDATE")
    at_two = world.apt.state()
    world.send(V1, "UPDATE")
    again = world.send(V2, "UPDATE")
    assert again["deploy_status_code"] == 0, again
    assert world.apt.state() == at_two
    assert again["state_digest"] == updated["state_digest"]


def test_a_failing_package_is_reported_and_undone_and_the_rollback_works(world: World) -> None:
    baseline = world.apt.state()
    world.send(V1, "CREATE")
    world.publish(*NEW)
    world.send(V2, "UPDATE")
    at_two = world.apt.state()

    # As in a distribution: the next version takes the place of the one before.
    world.lose_the_old_versions()
    world.repository.remove("libapp1", "2.0-1")
    broken = Deb("libapp1", "3.0-1", scripts={"postinst": "echo libapp1 cannot be set up >&2; exit 3"})
    world.publish(Deb("epochy", "1:3.0-1"), broken)
    failed = world.send(V3, "UPDATE")
    assert failed["deploy_status_code"] == 1, failed
    assert "libapp1" in failed["deploy_stderr"]
    assert world.apt.state() == at_two

    # Heat replaces a failed deployment: its rollback arrives as CREATE.
    restored = world.send(V1, "CREATE")
    assert restored["deploy_status_code"] == 0, restored
    assert world.apt.state() == baseline


def test_heat_retries_a_failed_value_as_create_and_it_runs_again(world: World) -> None:
    world.send(V1, "CREATE")
    world.publish(*NEW, Deb("libapp1", "2.5-1", scripts={"postinst": "exit 3"}))
    assert world.send(V2, "UPDATE")["deploy_status_code"] == 1
    world.repository.remove("libapp1", "2.5-1")
    world.repository.publish()
    retried = world.send(V2, "CREATE")
    assert retried["deploy_status_code"] == 0, retried
    assert world.apt.versions() == AT_V2


def test_a_delivery_that_heat_config_runs_again_gives_its_old_result(world: World) -> None:
    world.send(V1, "CREATE")
    world.publish(*NEW)
    deployment = world.heat.deployment(V2, "UPDATE")
    world.result_of(deployment)
    first = world.heat.signals()[-1].body
    dpkg_log, state, sent = (
        (world.apt.root / "var/log/dpkg.log").read_text(),
        world.apt.state(),
        len(world.heat.signals()),
    )

    world.publish(Deb("app", "4.0-1"))
    world.node.forget(deployment)
    world.node.poll(force=True)
    # heat-config writes its copy anew, with the signal in it, so heat-config-notify speaks this time: with the stored
    # result.
    again = world.heat.signals()[sent:]
    assert {request.body for request in again} <= {first}
    assert (world.apt.root / "var/log/dpkg.log").read_text() == dpkg_log
    assert world.apt.state() == state


def test_metadata_that_did_not_change_runs_nothing(world: World) -> None:
    world.send(V1, "CREATE")
    sent = len(world.heat.signals())
    world.node.poll()
    world.node.poll(force=True)
    assert len(world.heat.signals()) == sent


def test_no_secret_of_the_signal_stays_in_our_files_or_our_log_lines(world: World) -> None:
    world.send(V1, "CREATE")
    world.publish(*NEW, Deb("libapp1", "3.0-1", scripts={"postinst": "exit 3"}))
    world.send(V2, "UPDATE")
    files = world.node.own_files()
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert (world.node.directory / "state").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files if path.is_relative_to(world.node.directory / "log")} <= {
        0o600
    }
    assert lines_with(world.log, SECRET) == []
    assert [
        path for path in (world.node.directory / "deployed").iterdir() if SECRET in path.read_text(encoding="utf-8")
    ] == []


def test_while_heat_does_not_take_our_result_heat_config_sends_the_same_bytes(world: World) -> None:
    """The second way stays open until the first has led somewhere: then both bodies are the same, and the first one
    wins in Heat.
    """
    conf = world.node.directory / "etc/agent.conf"
    conf.write_text(f"{conf.read_text(encoding='utf-8')}[defaults]\nsignal_timeout = 0.1\n", encoding="utf-8")
    seen: List[bytes] = []

    def refuse_the_first(request: Request) -> Reply:
        if request.method != "POST":
            return world.heat._answer(request)
        seen.append(request.body)
        return 503 if len(seen) < 3 else 200

    world.heat.receiver.answer(refuse_the_first)
    world.node.deliver(world.heat.deployment(V1, "CREATE"))
    world.node.poll()
    assert len(seen) >= 2 and set(seen) == {seen[0]}
    assert json.loads(seen[0])["deploy_status_code"] == 0
