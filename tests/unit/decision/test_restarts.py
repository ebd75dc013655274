from typing import Collection, Sequence

import pytest

from os_update_agent.decision.restarts import reboot_is_due, restarts
from os_update_agent.model.options import RebootRule
from os_update_agent.model.phases import BACK, FORTH, Direction


@pytest.mark.parametrize(
    ("rule", "reasons", "direction", "rebooted", "due"),
    [
        ("never", ["a new kernel"], FORTH, (), False),
        ("if-needed", [], FORTH, (), False),
        ("if-needed", ["a new kernel"], FORTH, (), True),
        ("always", [], FORTH, (), True),
        ("always", ["a new kernel"], FORTH, (FORTH,), False),
        ("if-needed", ["still the old kernel"], FORTH, (FORTH,), False),
        ("always", [], BACK, (), False),
        ("if-needed", ["the flag of what was undone"], BACK, (), False),
        ("always", [], BACK, (FORTH,), True),
        ("if-needed", [], BACK, (FORTH,), False),
        ("if-needed", ["the old kernel"], BACK, (FORTH,), True),
        ("always", ["the old kernel"], BACK, (FORTH, BACK), False),
        ("never", ["the old kernel"], BACK, (FORTH,), False),
    ],
)
def test_a_reboot_is_due_once_in_each_direction_and_back_only_after_one_forth(
    rule: RebootRule, reasons: Sequence[str], direction: Direction, rebooted: Collection[Direction], due: bool
) -> None:
    assert reboot_is_due(rule, reasons, direction=direction, rebooted=rebooted) is due


def test_services_are_restarted_and_those_that_call_us_last() -> None:
    plan = restarts(
        ["ssh.service", "os-collect-config.service", "cron.service", "ssh.service", "own-agent.service"],
        caller="own-agent.service",
    )
    assert plan.now == ("cron.service", "ssh.service")
    assert plan.last == ("os-collect-config.service", "own-agent.service")
    assert plan.left == ()


@pytest.mark.parametrize(
    "unit",
    [
        "dbus.service",
        "systemd-logind.service",
        "getty@tty1.service",
        "user@1000.service",
        "NetworkManager.service",
        "openvswitch-switch.service",
        "docker.service",
        "virtqemud.service",
        "cloud-final.service",
        "os-update-agent-resume.service",
        "os-update-agent-worker-68c97fbe-e752-4cfc-a202-4c8af197d157.service",
    ],
)
def test_what_would_take_more_down_than_itself_is_left_alone_and_said(unit: str) -> None:
    plan = restarts([unit])
    assert (plan.now, plan.last) == ((), ())
    ((left, reason),) = plan.left
    assert left == unit and reason


@pytest.mark.parametrize(
    "unit", ["systemd-journald.service", "nginx.service", "dbus-cleaner.service", "dockerproxy.service", "ovsx.service"]
)
def test_everything_else_is_restarted(unit: str) -> None:
    assert restarts([unit]).now == (unit,)


def test_the_agent_itself_is_never_restarted_not_even_as_its_own_caller() -> None:
    plan = restarts(["os-update-agent-resume.service"], caller="os-update-agent-resume.service")
    assert (plan.now, plan.last) == ((), ()) and plan.left


def test_what_takes_no_restart_by_hand_is_left_alone() -> None:
    plan = restarts(["auditd.service", "ssh.service"], refusing=("auditd.service",))
    assert plan.now == ("ssh.service",)
    assert plan.left == (("auditd.service", "it takes no restart by hand"),)
