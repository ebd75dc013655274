"""The operations stop and start through the hook: what is stopped, when, and how it comes back. The private root's
systemd is a program.
"""

import json
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Optional

import pytest

from packages.node import PATIENCE, RESOURCE, SERVER, STACK, Node, wait_until
from packages.scene import Pkg
from packages.services import Services

DB, WEB = "db.service", "web.service"


@pytest.fixture
def services(node: Node) -> Iterator[Services]:
    services = Services(node.directory / "systemd", DB, WEB)
    node.configure(systemctl=services.program)
    yield services


def stop(value: str = "v2", action: str = "UPDATE", units: Any = "db, web.service", **options: Any) -> Any:
    return {"action": action, "value": value, "operation": "stop", "units": units, **options}


def test_the_first_create_stops_nothing(node: Node, services: Services) -> None:
    assert "baseline" in node.succeed(**stop("v1", "CREATE")).told
    assert (services.state(DB), services.calls()) == ("active", [])


def test_a_new_value_stops_and_an_old_one_starts(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    packages = node.packages()
    told = node.succeed(**stop("v2")).told
    assert "stopped for 'v2': db.service, web.service" in told
    assert (services.state(DB), services.state(WEB)) == ("inactive", "inactive")
    told = node.succeed(**stop("v1")).told
    assert "started for 'v1', because an old value is back" in told
    assert (services.state(DB), services.state(WEB)) == ("active", "active")
    assert services.calls() == ["stop -- db.service web.service", "start -- db.service web.service"]
    assert node.packages() == packages


def test_a_value_that_was_rolled_back_stops_again_when_it_is_tried_again(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    for value, state in (
        ("v2", "inactive"),
        ("v1", "active"),
        ("v2", "inactive"),
        ("v3", "inactive"),
        ("v2", "active"),
    ):
        node.succeed(**stop(value))
        assert services.state(DB) == state, value


def test_the_same_value_again_does_nothing(node: Node, services: Services) -> None:
    node.succeed(**stop("v2"))
    services.set(DB, "active")
    assert "this is the current value already" in node.succeed(**stop("v2")).told
    assert services.state(DB) == "active"


def test_start_starts_for_a_new_value_and_for_an_old_one(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE", operation="start"))
    for value in ("v2", "v1"):
        services.set(DB, "inactive")
        assert "so before: web.service" in node.succeed(**stop(value, operation="start")).told
        assert services.state(DB) == "active"


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
def test_other_actions_touch_no_service(node: Node, services: Services, action: str) -> None:
    node.succeed(**stop("v2", action))
    assert (services.state(DB), services.calls()) == ("active", [])


@pytest.mark.parametrize("operation", ["stop", "start"])
def test_an_unknown_unit_is_named_and_nothing_is_touched(node: Node, services: Services, operation: str) -> None:
    services.set(WEB, "inactive" if operation == "start" else "active")
    before = services.state(WEB)
    complaint = node.fail(**stop(units=["web", "wbe"], operation=operation)).complaint
    assert "wbe.service (not-found)" in complaint and "nothing was changed" in complaint
    assert (services.state(WEB), services.calls()) == (before, [])


def test_the_rollback_of_a_stop_that_touched_nothing_touches_nothing(node: Node, services: Services) -> None:
    """It would fail for the same reason, and the stack's rollback with it."""
    node.succeed(**stop("v1", "CREATE", units="wbe"))
    for _ in range(2):
        node.fail(**stop("v2", units="wbe"))
        node.succeed(**stop("v1", "CREATE", units="wbe"))
    assert services.calls() == []
    node.succeed(**stop("v2"))
    node.fail(**stop("v1", units="wbe"))
    node.succeed(**stop("v1", "CREATE"))
    assert services.calls() == ["stop -- db.service web.service", "start -- db.service web.service"]


def test_a_stop_that_fails_starts_again_what_was_running(node: Node, services: Services) -> None:
    services.set("idle.service", "inactive")
    services.behave(DB, "stuck")
    complaint = node.fail(**stop(units=[WEB, "idle", DB])).complaint
    assert "db.service is active after the stop" in complaint and "what was running before runs again" in complaint
    assert {unit: services.state(unit) for unit in (WEB, DB, "idle.service")} == {
        WEB: "active",
        DB: "active",
        "idle.service": "inactive",
    }


def test_the_rollback_of_a_failed_stop_is_a_create_and_starts(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    services.behave(DB, "stuck")
    node.fail(**stop("v2", on_failure="keep"))
    assert services.state(WEB) == "inactive"
    services.behave(DB, "normal")
    node.succeed(**stop("v1", "CREATE"))
    assert (services.state(WEB), services.state(DB)) == ("active", "active")
    node.succeed(**stop("v2"))
    assert services.state(WEB) == "inactive"


def test_a_failed_start_is_tried_as_a_start_again(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    node.succeed(**stop("v2"))
    services.behave(DB, "faint")
    complaint = node.fail(**stop("v1")).complaint
    assert "db.service is failed after the start" in complaint and "the services are left as they are" in complaint
    services.behave(DB, "normal")
    node.succeed(**stop("v1", "CREATE"))
    assert services.state(DB) == "active"


def test_what_systemd_says_of_the_units_counts_and_not_the_exit_status(node: Node, services: Services) -> None:
    services.behave(DB, "liar")
    result = node.succeed(**stop())
    assert "exit status 1; but every unit is as it was asked for" in result.body["deploy_stderr"]


@pytest.mark.parametrize("command", [["status"], ["history"], ["history", "--json"]])
def test_the_command_tells_of_it(node: Node, services: Services, command: List[str]) -> None:
    node.succeed(**stop("v1", "CREATE"))
    node.succeed(**stop("v2"))
    argv = [node.hand.python, "-m", "os_update_agent", *command]
    done = subprocess.run(argv, env=node.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "v2" in done.stdout and "Traceback" not in done.stderr
    assert command == ["status"] or "stop" in done.stdout


def test_units_are_needed_and_checked(node: Node, services: Services) -> None:
    assert "option units is missing; operation stop" in node.fail(**stop(units="")).complaint
    assert "'*.service'" in node.fail(**stop(units=["*.service"])).complaint
    assert services.calls() == []


def test_the_services_of_this_machine_are_not_those_of_a_private_root(node: Node) -> None:
    complaint = node.fail(**stop()).complaint
    assert "are not those of this machine" in complaint and "nothing was changed" in complaint


def test_a_stop_that_is_cut_off_is_taken_up_again(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    gate = services.directory / "gate"
    text = services.program.read_text(encoding="utf-8")
    services.program.write_text(
        text.replace("status=0\n", f"status=0\n[ $verb = show ] || while [ ! -e {gate} ]; do sleep 0.05; done\n", 1)
    )
    running = node.start(**stop())
    wait_until(
        lambda: node.phase() == "transact" and any(call.startswith("stop") for call in services.calls()), "the stop"
    )
    running.process.kill()
    node._end_workers()
    gate.touch()
    running.wait()
    result = node.start(**stop()).wait()
    assert result.status == 0
    assert (services.state(DB), services.state(WEB)) == ("inactive", "inactive")
    run = node.last_run()
    assert run.result == "success" and run.were_active == (DB, WEB)


def test_a_download_is_not_done_for_an_old_value(node: Node) -> None:
    """The rollback of a stack whose repository is down must not fail for a download that nobody needs."""
    node.succeed("CREATE", "v1", operation="download")
    node.offer_two()
    node.succeed("UPDATE", "v2", operation="download")
    assert "app 2.0-1" in node.kept()
    node.use_sources("deb [trusted=yes] http://127.0.0.1:9 ./")
    assert "in the archive" in node.succeed("UPDATE", "v1", operation="download").told
    node.use_sources(node.repository.source_line())
    assert "downloaded for 'v2'" in node.succeed("UPDATE", "v2", operation="download").told


def test_the_rollback_of_a_failed_download_needs_no_repository(node: Node) -> None:
    node.succeed("CREATE", "v1", operation="download")
    node.use_sources("deb [trusted=yes] http://127.0.0.1:9 ./")
    node.fail("UPDATE", "v2", operation="download")
    node.succeed("CREATE", "v1", operation="download")


def test_the_baseline_of_a_stop_keeps_no_package_files(node: Node, services: Services) -> None:
    """It is never restored, and would hold the files of the first release for ever."""
    node.succeed(**stop("v1", "CREATE", resource="stop"))
    node.succeed("CREATE", "v1", keep=1)
    node.offer_two()
    node.succeed("UPDATE", "v2", keep=1)
    assert "app 1.0-1" in node.kept()
    node.offer(Pkg("app", "3.0"))
    node.succeed("UPDATE", "v3", keep=1)
    assert "app 2.0-1" in node.kept() and "app 1.0-1" not in node.kept()


# --- what the command line says would happen is what happens


def said(node: Node, *arguments: str) -> str:
    """What the command prints on the node."""
    argv = [sys.executable, "-m", "os_update_agent", *arguments]
    done = subprocess.run(argv, env=node.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ahead(node: Node) -> Dict[Optional[str], str]:
    """What status says would happen, by value; None is any new value."""
    (key,) = json.loads(said(node, "status", "--json"))["keys"]
    return {one["value"]: one["do"] for one in key["if_it_came"]}


def test_status_and_plan_of_a_key_that_stops_services_speak_of_services(node: Node, services: Services) -> None:
    node.succeed(**stop("v1", "CREATE"))
    # A restore of v1 would have something to do.
    node.hand.install("tool")
    node.succeed(**stop("v2"))
    assert ahead(node) == {"v1": "start", "v2": "nothing", None: "stop"}
    text = said(node, "status")
    assert "if 'v1' comes: start\n" in text and "if a new value comes: stop\n" in text
    key = f"{STACK}/{RESOURCE}@{SERVER}"
    plan = said(node, "plan", "v1", "--key", key)
    assert plan.startswith("a stop for 'v1' would start services, and touch no package (an old value is back")
    assert "db.service: inactive\n" in plan
    assert said(node, "plan", "v2").startswith("a stop for 'v2' would do nothing: ")
    assert said(node, "plan").startswith("a stop would find nothing to stop, and touch no package:")
    node.succeed(**stop("v1"))
    assert services.state(DB) == "active"


@pytest.mark.parametrize("operation, name", [("download", "a download"), ("assess", "an assessment")])
def test_status_and_plan_of_a_key_that_changes_no_package_say_so(node: Node, operation: str, name: str) -> None:
    node.succeed("CREATE", "v1", operation=operation)
    node.offer_two()
    node.succeed("UPDATE", "v2", operation=operation)
    assert ahead(node) == {"v1": "back", "v2": operation, None: operation}
    assert said(node, "plan", "v1").startswith(f"{name} for 'v1' would do nothing: an old value is back: ")
    assert said(node, "plan", "v3").startswith(f"{name} for 'v3' would ")
    assert said(node, "plan", "--set", "operation=update").startswith("an update would change:")


def test_a_command_by_hand_does_not_change_what_status_says_of_heats_key(node: Node) -> None:
    node.succeed("CREATE", "v1")
    said(node, "update", "v2", "--set", "operation=assess")
    assert ahead(node) == {"v1": "nothing", None: "update"}
