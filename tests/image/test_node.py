"""The image booted: the hook by hand, the whole chain by itself, and an update in whose middle the node reboots."""

import stat
from pathlib import Path
from typing import Iterator

import pytest

from image.build import Built
from image.node import BOOT_OPTIONS, SECRET, Node
from os_update_agent.testing.repository import Deb
from systemd.machine import Machine, wait_for

FIRST, SECOND = "2026-11-01T02:00:00Z", "2026-11-08T02:00:00Z"


@pytest.fixture
def node(image: Built, tmp_path: Path) -> Iterator[Node]:
    with Machine(image.root, tmp_path / "machine", boot_options=BOOT_OPTIONS) as machine:
        yield Node(machine)


def test_the_hook_by_hand_and_what_is_left_to_read(node: Node) -> None:
    node.machine.boot()
    node.machine.run("systemctl", "stop", "os-collect-config")

    deployment = node.deployment(FIRST, "CREATE")
    answer = node.hook(deployment)
    assert answer["deploy_status_code"] == 0, answer
    assert "os-update-agent" in node.machine.run("os-update-agent", "--version").stdout
    assert FIRST in node.machine.run("os-update-agent", "history").stdout
    assert node.machine.run("bash", "-c", ". /usr/local/share/bash-completion/completions/os-update-agent").stderr == ""
    log = "/var/log/os-update-agent/worker.log"
    node.machine.write(log, "a line of a worker\n", 0o600)
    node.machine.run("logrotate", "--force", "/etc/logrotate.d/os-update-agent")
    assert (node.machine.read(log), node.machine.read(f"{log}.1")) == ("", "a line of a worker\n")
    assert node.machine.run("stat", "-c", "%a %U", log, f"{log}.1").stdout == "600 root\n" * 2
    node.machine.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/os-update-agent.conf")


def test_a_booted_node_is_made_one_that_heat_can_update_and_no_longer(node: Node) -> None:
    node.machine.boot()
    assert node.machine.run("os-update-agent", "install-hook").stdout.count("as it should be") > 10
    assert node.machine.is_active("os-update-agent-resume.timer")
    node.machine.run("os-update-agent", "install-hook", "--remove")
    assert not node.machine.is_active("os-update-agent-resume.timer")
    assert not node.machine.path("/usr/libexec/heat-config/hooks/package-update").is_symlink()
    assert not node.machine.path("/usr/libexec/os-update-agent/current").is_symlink()


def test_the_whole_chain_by_itself_and_everybodys_eyes(node: Node) -> None:
    """Boot, poll, hook, signal: nobody does anything by hand."""
    node.machine.boot()
    node.machine.run("apt-get", "-q", "update")
    node.machine.run("apt-get", "-q", "-y", "install", "webapp")
    first = node.deployment(FIRST, "CREATE")
    node.deliver(first, os_update_agent={"defaults": {"keep": 3}})
    assert node.signal(first)["deploy_status_code"] == 0
    assert node.version("webapp") == "1.0-1"

    node.publish(Deb("webapp", "2.0-1"))
    second = node.deployment(SECOND, "UPDATE")
    node.deliver(second, os_update_agent={"defaults": {"keep": 3}})
    signal = node.signal(second)
    assert signal["deploy_status_code"] == 0, signal
    assert node.version("webapp") == "2.0-1"

    back = node.deployment(FIRST, "UPDATE")
    node.deliver(back, os_update_agent={"defaults": {"keep": 3}})
    assert node.signal(back)["deploy_status_code"] == 0
    assert node.version("webapp") == "1.0-1"

    assert [len(node.signals(each)) for each in (first, second, back)] == [1, 1, 1]
    assert "keep = 3" in node.machine.read("/etc/os-update-agent/agent.conf")
    private = ("/run/heat-config/heat-config", "/etc/os-collect-config.conf", "/etc/os-update-agent/agent.conf")
    for path in private:
        assert node.machine.run("stat", "-c", "%a %U", path).stdout == "600 root\n", path
    assert stat.S_IMODE(node.machine.path("/var/lib/os-update-agent/ledger.sqlite").stat().st_mode) & 0o077 == 0
    tops = ("/etc", "/run", "/var", "/root", "/opt", "/tmp")
    holders = node.machine.run("grep", "-rlaF", "--devices=skip", SECRET, *tops, check=False).stdout.splitlines()
    assert holders, "os-collect-config keeps the metadata, and they hold the URL"
    assert [path for path in holders if node.machine.run("stat", "-c", "%a", path).stdout != "600\n"] == []
    assert [path for path in holders if "os-update-agent" in path] == []
    assert SECRET not in node.machine.run("journalctl", "--no-pager").stdout
    assert node.status()["readable_by_all"] == []


def test_the_result_of_another_hook_goes_through_the_outbox(node: Node) -> None:
    """Heat is down when the result comes: heat-config-notify would have lost it."""
    node.machine.answer(503)
    node.machine.boot()
    deployment = node.deployment("", "CREATE", group="script", config="#!/bin/sh\necho done by a script\n")
    node.deliver(deployment)
    assert "done by a script" in node.signal(deployment)["deploy_stdout"]
    wait_for(lambda: len(node.signals(deployment)) > 1, "a second try")
    assert len(node.status()["signals"]["owed"]) == 1
    node.machine.answer(200)
    wait_for(lambda: node.status()["signals"]["owed"] == [], "a signal that is taken")
    assert "/usr/libexec/os-update-agent/heat-config-notify" in node.machine.run("journalctl", "--no-pager").stdout


def test_a_node_that_reboots_in_the_middle_goes_on_and_tells_heat_once(node: Node) -> None:
    machine = node.machine
    machine.boot()
    machine.run("apt-get", "-q", "update")
    machine.run("apt-get", "-q", "-y", "install", "webapp")
    first = node.deployment(FIRST, "CREATE")
    node.deliver(first)
    assert node.signal(first)["deploy_status_code"] == 0
    before = machine.boot_id()

    node.publish(Deb("webapp", "2.0-1"))
    second = node.deployment(SECOND, "UPDATE", {"reboot": "always"})
    node.deliver(second)
    machine.wait_for_reboot()
    signal = node.signal(second)
    assert signal["deploy_status_code"] == 0, signal
    assert machine.boot_id() != before
    assert node.version("webapp") == "2.0-1"

    # The way back is served after all that was owed: nothing more came for the second.
    back = node.deployment(FIRST, "UPDATE")
    node.deliver(back)
    assert node.signal(back)["deploy_status_code"] == 0
    assert node.version("webapp") == "1.0-1"
    assert [len(node.signals(each)) for each in (first, second, back)] == [1, 1, 1]
    assert machine.boots == 2
