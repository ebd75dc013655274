"""What the README says for a user of Heat, with the real openstack command: its template, its commands in their
order.
"""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml

from heat.client import Heat, Stack
from heat.conftest import NewServer
from heat.lab import Lab
from packages.node import VERSIONS_ONE, VERSIONS_TWO

CHECKOUT = Path(__file__).resolve().parents[2]


def section() -> str:
    text = (CHECKOUT / "README.rst").read_text(encoding="utf-8")
    return text.partition("\nWith Heat\n")[2].partition("\nIn an image")[0]


def template() -> Dict[str, Any]:
    """The README's, with the server and what the test needs."""
    found = re.search(r"^    parameters:\n(?:    .*\n|\n)+", section(), re.MULTILINE)
    assert found, "no template"
    given: Dict[str, Any] = yaml.safe_load(found.group())
    given["heat_template_version"] = "2018-08-31"
    given["resources"]["server"] = {"type": "OS::Heat::DeployedServer", "properties": {"name": "one"}}
    given["outputs"]["os_collect_config"] = {"value": {"get_attr": ["server", "os_collect_config"]}}
    return given


def commands() -> List[str]:
    return [line.strip() for line in section().splitlines() if line.startswith("    openstack ")]


class Operator:
    """Types the README's commands, each once and in their order."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.left = commands()

    def types(self, beginning: str, **names: str) -> str:
        command = self.left.pop(0)
        assert command.startswith(f"openstack {beginning}"), command
        for name, value in names.items():
            assert name in command
            command = command.replace(name, value)
        shell = f". {shlex.quote(str(self.lab.directory / 'openrc'))} && {command}"
        done = subprocess.run(
            ["bash", "-c", shell],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def operator(lab: Lab, tmp_path: Path) -> Operator:
    (tmp_path / "mystack.yaml").write_text(yaml.safe_dump(template()), encoding="utf-8")
    (tmp_path / "hooks").symlink_to(CHECKOUT / "hooks")
    return Operator(lab, tmp_path)


@pytest.fixture
def named_stack(heat: Heat) -> Iterator[Stack]:
    stack = Stack(heat, "mystack")
    yield stack
    stack.delete()


def test_the_template_and_the_commands_of_the_readme(
    operator: Operator, new_server: NewServer, named_stack: Stack
) -> None:
    operator.types("stack create")
    server = new_server(named_stack.wait_for_output("os_collect_config"))
    named_stack.wait_for("CREATE_COMPLETE")
    server.offer_two()

    operator.types("stack update --existing --rollback enabled")
    named_stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == VERSIONS_TWO
    assert "UPDATE_COMPLETE" in operator.types("stack show")
    assert "UPDATE_COMPLETE" in operator.types("stack event list")
    assert "libapp1" in operator.types("stack output show")
    listed = operator.types("stack resource list")
    (deployment,) = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}(?= *\| OS::Heat::SoftwareDeployment)", listed)
    assert "7 packages changed" in operator.types("software deployment output show", DEPLOYMENT=deployment)

    operator.types("stack update --existing --parameter update_timestamp=first")
    named_stack.wait_for("UPDATE_COMPLETE")
    assert server.versions() == VERSIONS_ONE

    server.hold()
    named_stack.update(update_timestamp="third")
    server.wait_until_held()
    underway = named_stack.underway()
    assert len(underway) == 1
    with named_stack.comes_to_wait(underway):
        operator.types("stack cancel")
    assert named_stack.status == "ROLLBACK_IN_PROGRESS"
    server.let_go()
    named_stack.wait_for("ROLLBACK_COMPLETE")
    assert server.versions() == VERSIONS_ONE
    assert operator.left == []
