"""What is installed becomes what runs: reboots and restarts that deployments ask for."""

import json

from systemd.machine import wait_for
from systemd.node import Node, daemon


def test_an_update_reboots_once_looks_at_health_when_all_is_started_and_tells_heat_once(node: Node) -> None:
    node.offer_two()
    first = node.machine.boot_id()
    config_id = node.deliver("UPDATE", "v2", reboot="always")
    node.machine.wait_for_reboot()
    assert node.signals(config_id) == []
    result = node.result(config_id)
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert "the machine was booted again after the update" in result["deploy_stdout"]
    second = node.machine.boot_id()
    assert node.ran() == [
        [first, "running", "pre-update.d"],
        [second, "running", "health.d"],
        [second, "running", "post-update.d"],
    ]
    # The way back by the same rule.
    back_id = node.deliver("UPDATE", "v1", reboot="always")
    node.machine.wait_for_reboot()
    back = node.result(back_id)
    assert back["deploy_status_code"] == 0, back["deploy_stderr"]
    assert node.version("app") == "1 ii" and node.machine.boots == 3
    assert node.machine.boot_id() not in (first, second)
    assert len(node.signals(config_id)) == 1


def test_a_plan_names_the_services_that_run_replaced_code_after_the_update(node: Node) -> None:
    node.offer_two(daemon("2", node.program))
    plan = json.loads(node.command("plan", "--json"))
    # os-collect-config runs the program as a child.
    assert plan["services_expected"] == ["lab-daemon.service", "os-collect-config.service"]
    assert "services that would still run replaced code: lab-daemon.service, os-collect-config.service" in node.command(
        "plan"
    )
    assert json.loads(node.command("plan", "--exclude", "lab-daemon", "--json"))["services_expected"] == []
    result = node.result(node.deliver("UPDATE", "v2"))
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert result["services_to_restart"] == plan["services_expected"]


def test_an_update_that_is_sick_after_its_reboot_is_undone_and_booted_back(node: Node) -> None:
    node.offer_two()
    node.step("health.d/20-sick", "exit 1")
    config_id = node.deliver("UPDATE", "v2", reboot="always")
    node.machine.wait_for_reboot()
    node.machine.wait_for_reboot()
    result = node.result(config_id)
    assert result["deploy_status_code"] != 0
    assert "20-sick" in result["deploy_stderr"] and "was undone" in result["deploy_stderr"]
    assert "after the update" in result["deploy_stdout"] and "after the undo" in result["deploy_stdout"]
    assert node.version("app") == node.version("slow") == "1 ii"
    boots = {boot for boot, _, _ in node.ran()}
    assert len(boots) == 3 and node.ran()[-1] == [node.machine.boot_id(), "running", "post-update.d"]
    assert node.machine.boots == 3


def test_a_power_cut_in_place_of_the_reboot_is_a_boot_as_well(node: Node) -> None:
    node.offer_two()
    # Nothing hears the order, as if the machine had hung in its shutdown.
    node.machine.write("/opt/deaf", '#!/bin/sh\n[ $1 = reboot ] || exec systemctl "$@"\ntouch /srv/asked\n', 0o755)
    node.machine.write("/etc/os-update-agent/agent.conf", "[node]\nsystemctl = /opt/deaf\n[defaults]\narchive = off\n")
    config_id = node.deliver("UPDATE", "v2", reboot="always")
    wait_for(node.machine.path("/srv/asked").exists, lambda: f"the order; {node.logs()}")
    node.machine.cut_power()
    node.machine.boot()
    result = node.result(config_id)
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert [place for *_, place in node.ran()] == ["pre-update.d", "health.d", "post-update.d"]
    assert node.machine.boots == 2


def test_a_reboot_that_somebody_inhibits_does_not_happen_and_the_update_is_undone(node: Node) -> None:
    node.offer_two()
    inhibit = (
        "systemd-inhibit",
        "--what=shutdown",
        "--mode=block",
        "--who=backup",
        "--why=running",
        "sleep",
        "infinity",
    )
    node.machine.run("systemd-run", "--quiet", "--unit=backup", *inhibit)
    wait_for(lambda: "backup" in node.machine.run("systemd-inhibit", "--list").stdout, "the inhibitor")
    config_id = node.deliver("UPDATE", "v2", reboot="always")
    result = node.result(config_id)
    assert result["deploy_status_code"] != 0
    assert "the reboot did not happen" in result["deploy_stderr"] and "backup" in result["deploy_stderr"]
    assert node.version("app") == "1 ii" and node.machine.boots == 1
    assert [place for *_, place in node.ran()] == ["pre-update.d", "post-update.d"]


def test_services_that_run_replaced_code_are_restarted_and_their_caller_last(node: Node) -> None:
    node.offer_two(daemon("2", node.program))
    daemon_before = node.machine.main_pid("lab-daemon.service")
    caller_before = node.machine.main_pid("os-collect-config.service")
    worker_saw = "systemctl show --property=MainPID --value lab-daemon.service os-collect-config.service > /srv/pids"
    node.step("health.d/20-look", worker_saw)
    config_id = node.deliver("UPDATE", "v2", services="restart")
    result = node.result(config_id)
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert "restarted, because they ran replaced code: lab-daemon.service" in result["deploy_stdout"]
    assert "as soon as os-refresh-config is at rest: os-collect-config.service" in result["deploy_stdout"]
    # The daemon before health.d, the caller not before it has its hook's answer.
    daemon_then, caller_then = map(int, node.machine.read("/srv/pids").split())
    assert daemon_then == node.machine.main_pid("lab-daemon.service") != daemon_before
    assert caller_then == caller_before
    wait_for(lambda: len(node.starts()) == 2, "the restart of os-collect-config")
    assert node.machine.main_pid("os-collect-config.service") != caller_before
    assert [path.stat().st_size > 0 for path in node.machine.path("/srv/results").glob(f"*{config_id}.json")] == [True]
    node.rest()
    assert node.places() == ["pre-update.d", "health.d", "health.d", "post-update.d"]


def test_services_are_only_reported_where_nothing_else_is_asked_for(node: Node) -> None:
    node.offer_two(daemon("2", node.program))
    before = node.machine.main_pid("lab-daemon.service")
    result = node.result(node.deliver("UPDATE", "v2"))
    assert result["services_to_restart"] == ["lab-daemon.service", "os-collect-config.service"]
    assert node.machine.main_pid("lab-daemon.service") == before and len(node.starts()) == 1


def test_a_service_that_does_not_come_up_with_its_new_code_is_a_failed_update(node: Node) -> None:
    node.offer_two(daemon("2", b"#!/bin/sh\nexit 1\n# "))
    result = node.result(node.deliver("UPDATE", "v2", services="restart"))
    assert result["deploy_status_code"] != 0
    assert "lab-daemon.service" in result["deploy_stderr"] and "was undone" in result["deploy_stderr"]
    assert node.version("lab-daemon") == "1 ii"
    # The old code runs again.
    assert node.machine.is_active("lab-daemon.service")
    assert [place for *_, place in node.ran()] == ["pre-update.d", "post-update.d"]
