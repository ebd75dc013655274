"""What only a real systemd can show: the caller's end, a power cut, a reboot in the middle."""

import json

from os_update_agent import __version__
from os_update_agent.testing.repository import Deb
from systemd.machine import wait_for
from systemd.node import RESTARTS, Node, collect_config

STEPS = ["pre-update.d", "health.d", "post-update.d"]
# Of the first run.
LOG = "/var/log/os-update-agent/000001.log"


def updated(node: Node, config_id: str) -> None:
    """The update of app and slow has come to its end, once, and so Heat was told."""
    result = node.result(config_id)
    assert result["deploy_status_code"] == 0, result["deploy_stderr"]
    assert {change["name"] for change in result["changes"]["changes"]} >= {"app", "slow"}
    assert node.version("app") == node.version("slow") == "2 ii"
    (run,) = [run for run in json.loads(node.command("history", "--json"))["runs"] if run["value"] == "v2"]
    assert run["result"] == "success"


def nothing_is_left(node: Node) -> None:
    """Nothing is open or owed, and resuming once more changes nothing."""
    ran, posts = node.ran(), len(node.machine.posts())
    assert "nothing is owed" in node.command("resume")
    assert node.ran() == ran and len(node.machine.posts()) == posts


def test_a_caller_that_is_stopped_changes_nothing_and_a_second_one_joins(node: Node) -> None:
    config_id = node.update_and_hold()
    node.machine.run("systemctl", "stop", "os-collect-config.service")
    assert node.signals(config_id) == []
    # The second caller comes while the transaction is still under way, and waits for the same answer.
    hook = f"/usr/libexec/heat-config/hooks/package-update < {node.file(config_id)} > /srv/joined"
    node.machine.run("systemd-run", "--quiet", "--unit=second", "--property=RemainAfterExit=yes", "/bin/sh", "-c", hook)
    wait_for(lambda: node.machine.is_active("second.service"), "the second caller")
    node.go_on()
    updated(node, config_id)
    wait_for(lambda: node.machine.read("/srv/joined"), "the answer to the second caller")
    assert json.loads(node.machine.read("/srv/joined")) == node.signals(config_id)[0]
    assert node.places() == STEPS
    nothing_is_left(node)


def test_a_caller_that_is_restarted_never_runs_its_hook_again_and_the_result_is_told(node: Node) -> None:
    config_id = node.update_and_hold()
    node.machine.run("systemctl", "restart", "os-collect-config.service")
    node.go_on()
    updated(node, config_id)
    assert node.places() == STEPS
    assert node.machine.read("/srv/hook.log").count("Traceback") == 0


def test_a_daemon_that_a_maintainer_script_started_outlives_the_unit_of_the_worker(node: Node) -> None:
    """A script of a package without a unit starts its daemon itself, as sysvinit's packages do."""
    starts = "sleep infinity < /dev/null > /dev/null 2>&1 & echo $! > /srv/daemon"
    node.offer_two(Deb("app", "2", scripts={"postinst": starts}))
    updated(node, node.deliver("UPDATE", "v2"))
    daemon = node.machine.read("/srv/daemon").strip()
    assert node.machine.run("cat", f"/proc/{daemon}/comm", check=False).stdout.strip() == "sleep"


def test_a_worker_that_is_killed_takes_no_package_manager_with_it(node: Node) -> None:
    config_id = node.update_and_hold()
    worker = node.workers().split()[0]
    before = node.package_managers()
    assert before
    node.machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", worker)
    wait_for(lambda: not node.machine.is_active(worker), "the end of the worker's unit")
    assert node.package_managers() == before
    node.go_on()
    updated(node, config_id)
    nothing_is_left(node)


def test_every_fact_is_one_line_of_the_journal_and_the_log_of_the_run_is_named(node: Node) -> None:
    node.offer_two()
    config_id = node.deliver("UPDATE", "v2")
    updated(node, config_id)

    def journal() -> str:
        node.machine.run("journalctl", "--sync")
        return node.machine.run("journalctl", "--boot", "--identifier=os-update-agent", "--output=cat").stdout

    def hook() -> str:
        return node.machine.read("/srv/hook.log")

    # Whoever comes first sends it, and says so: the worker or its caller.
    sent = f"deployment={config_id} signal=delivered"
    wait_for(lambda: sent in journal() + hook(), lambda: f"the line of the signal; {node.logs()}")
    wait_for(
        lambda: f"deployment={config_id} run=1 result=success log={LOG}" in hook(),
        lambda: f"the caller's line; {node.logs()}",
    )
    said = journal()
    assert (said + hook()).count(sent) == 1
    lines = [line for line in said.splitlines() if line.startswith(("run=1 ", f"deployment={config_id} "))]
    assert lines, said
    assert lines[0] == f'deployment={config_id} action=UPDATE value=v2 do=update why="this value is new"'
    begun = [line.partition("phase=")[2] for line in lines if line.startswith("run=1 phase=")]
    assert begun[:3] == ["check", "capture", "refresh"] and begun[-1] == "record" and len(set(begun)) == len(begun)
    (told,) = [line for line in lines if "result=success" in line]
    assert told.startswith("run=1 kind=update value=v2 result=success changed=") and told.endswith(f"log={LOG}")
    # The same in the file that keeps it longer.
    kept = node.machine.read("/var/log/os-update-agent/worker.log")
    assert all(line in kept for line in lines)
    # The run's own log is the whole story: what was asked, each phase with its moment, what the package manager said,
    # what came of it.
    story = node.machine.read(LOG)
    assert story.startswith(
        f"run=1 kind=update value=v2 key=stack/1/update@server deployment={config_id} phase=check agent={__version__}\n"
    )
    assert "Z === transact\n" in story and "Setting up slow (2)" in story and told in story
    assert LOG in node.result(config_id)["deploy_stdout"]


def test_an_update_of_os_collect_config_that_restarts_it_is_survived(node: Node) -> None:
    node.offer_two(collect_config("2", RESTARTS))
    config_id = node.deliver("UPDATE", "v2")
    updated(node, config_id)
    assert node.version("os-collect-config") == "2 ii"
    assert [start["version"] for start in node.starts()] == ["1", "2"]
    # And back, by the same package's script.
    back = node.result(node.deliver("UPDATE", "v1"))
    assert back["deploy_status_code"] == 0, back["deploy_stderr"]
    assert node.version("os-collect-config") == node.version("app") == "1 ii"
    assert node.places() == STEPS * 2


def test_a_power_cut_in_the_transaction_is_taken_up_at_boot_before_deployments_are_served(node: Node) -> None:
    # What is restarted in the middle of that boot is the service that has to wait for the agent.
    config_id = node.update_and_hold(collect_config("2", RESTARTS, Depends="slow (>= 2)"))
    node.machine.cut_power()
    # The second try is not held up.
    node.machine.path("/srv/wait").unlink()
    node.machine.boot()
    updated(node, config_id)
    assert {start["audit"] for start in node.starts()} == {""}
    assert node.starts()[-1]["version"] == "2"
    # Out before the cut; looked at and in again after it, when everything else was started.
    before, *after = node.ran()
    assert [place for *_, place in (before, *after)] == STEPS
    assert {(boot, state) for boot, state, _ in after} == {(node.machine.boot_id(), "running")}
    assert before[0] != node.machine.boot_id()
    nothing_is_left(node)


def test_a_reboot_in_the_transaction_waits_for_it_and_the_run_goes_on_after_the_boot(node: Node) -> None:
    config_id = node.update_and_hold()
    node.machine.run("systemctl", "reboot", check=False)
    wait_for(lambda: not node.machine.is_active("os-collect-config.service"), "the shutdown")
    node.go_on()
    node.machine.wait_for_reboot()
    updated(node, config_id)
    assert [start["audit"] for start in node.starts()] == ["", ""]
    assert node.places() == STEPS
    nothing_is_left(node)


def test_a_power_cut_again_and_again_ends_with_the_packages_from_before_and_says_so(node: Node) -> None:
    node.offer_two()
    node.hold_transaction()
    config_id = node.deliver("UPDATE", "v2")
    for _ in range(3):
        node.wait_for_transaction()
        node.machine.path("/srv/in-transaction").unlink()
        node.machine.cut_power()
        node.machine.boot()
    result = node.result(config_id)
    assert result["deploy_status_code"] != 0
    assert "it was cut off 3 times" in result["deploy_stderr"] and "was undone" in result["deploy_stderr"]
    assert node.version("app") == node.version("slow") == "1 ii"
    assert node.places() == ["pre-update.d", "post-update.d"]
    nothing_is_left(node)


def test_a_boot_is_not_held_up_by_a_heat_that_does_not_answer_and_the_result_is_told_later(node: Node) -> None:
    node.configure(signal_timeout=0.1)
    node.offer_two()
    node.hold_transaction()
    node.machine.answer(503)
    config_id = node.deliver("UPDATE", "v2")
    node.wait_for_transaction()
    node.machine.cut_power()
    node.machine.path("/srv/wait").unlink()
    node.machine.boot()
    assert node.machine.wait_until_booted() == "running"
    wait_for(lambda: len(node.starts()) == 2, "os-collect-config")
    wait_for(lambda: node.signals(config_id), "a try to tell Heat")
    node.rest()
    assert node.machine.is_active("os-update-agent-resume.timer")
    tries = len(node.signals(config_id))
    node.machine.answer(200)
    # What the timer does.
    node.machine.run("systemctl", "start", "os-update-agent-resume.service")
    wait_for(lambda: len(node.signals(config_id)) > tries, "the signal")
    nothing_is_left(node)
    assert len(node.signals(config_id)) == tries + 1
    assert node.signals(config_id)[-1]["deploy_status_code"] == 0
