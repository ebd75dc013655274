"""What asks for a boot under dnf 5: its own rule, which looks at advisories as well, beside the answers of its own
command.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Set

import pytest

from os_update_agent.testing.rpm_repository import Advisory, Rpm
from packages import sid
from packages.node import Node, Result, Template

# What the command prints: "  * glibc". And what the agent says.
_NAMED = re.compile(r"^  \* (\S+)$", re.MULTILINE)
_TOLD = re.compile(r"package (\S+) was installed after the machine was started")


@pytest.fixture(scope="module")
def dnf5_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    sid.needed()
    return Template.made_in(tmp_path_factory.mktemp("dnf5"), "dnf5")


def told_by_dnf(node: Node) -> Set[str]:
    hand = node.dnf
    argv = hand.dnf_argv(*hand.REFRESHED, "needs-restarting")
    done = subprocess.run(argv, env=hand.environment(), text=True, capture_output=True)
    names = set(_NAMED.findall(done.stdout))
    assert done.returncode == (1 if names else 0) and "eboot" in done.stdout, done.stdout + done.stderr
    return names


def foreseen(node: Node) -> Any:
    argv = [*node.hand.wrapper, node.hand.python, "-m", "os_update_agent", "plan", "--json"]
    done = subprocess.run(argv, env=node.environment(), text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["reboot_expected"]


def assert_same(node: Node, result: Result, names: Set[str]) -> None:
    assert told_by_dnf(node) == names
    assert set(_TOLD.findall(result.told)) == names
    assert result.body["reboot_required"] is bool(names)


def test_an_advisory_that_suggests_a_boot_counts_for_its_very_version(tmp_path: Path, dnf5_template: Template) -> None:
    with Node(tmp_path / "node", dnf5_template) as node:
        node.succeed("CREATE", "v1")
        new = Rpm("tool", "2.0")
        node.hand.add(new, Rpm("libapp1", "1.5"))
        node.repository.publish(Advisory("DEMO-1", "bugfix", (new,), reboot=True))
        assert foreseen(node) == ["tool"]
        assert_same(node, node.succeed("UPDATE", "v2"), {"tool"})
        assert_same(node, node.succeed("UPDATE", "v1"), set())
        assert_same(node, node.succeed("UPDATE", "v2"), {"tool"})


def test_what_always_asks_for_a_boot_does_under_dnf_5(tmp_path: Path, dnf5_template: Template) -> None:
    with Node(tmp_path / "node", dnf5_template) as node:
        node.succeed("CREATE", "v1")
        needs = ("glibc", "systemd", "dbus-broker", "systemd-libs")
        node.offer(*(Rpm(name, "1.0") for name in needs), Rpm("tool", "2.0", requires=list(needs)))
        assert_same(node, node.succeed("UPDATE", "v2"), {"glibc", "systemd", "dbus-broker"})
