from pathlib import Path
from typing import Iterator

import pytest

from systemd import node as nodes
from systemd.machine import Machine, wait_for
from systemd.root import root


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that is off."""
    with Machine(root(), tmp_path / "machine") as made:
        yield made


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a machine that has the agent and release one, and has been told its first value."""
    directory = tmp_path_factory.mktemp("prepared") / "machine"
    with Machine(root(), directory) as machine:
        node = nodes.Node(machine)
        node.install()
        node.configure()
        machine.run("systemctl", "start", "os-collect-config.service", "lab-daemon.service")
        assert node.result(node.deliver("CREATE", "v1"))["deploy_status_code"] == 0
        machine.path("/srv/ran").unlink(missing_ok=True)
        machine.run("systemctl", "poweroff", check=False)
        assert not machine.wait_until_off()
        machine.path("/srv/starts").unlink()
    return machine.disk_layer


@pytest.fixture
def node(tmp_path: Path, prepared: Path) -> Iterator[nodes.Node]:
    """A node that has booted and stands at release one, its baseline "v1"."""
    with nodes.booted(root(), tmp_path / "machine", prepared) as node:
        node.machine.boot()
        assert node.machine.wait_until_booted() == "running"
        wait_for(lambda: node.machine.read("/srv/starts"), "os-collect-config")
        yield node
