"""Module streams are part of a state: an update enables what dnf would, and both ways back restore them."""

import subprocess
from pathlib import Path
from typing import Dict

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.node import Node

_STREAM = """---
document: modulemd
version: 2
data:
  name: {name}
  stream: "{stream}"
  version: 1
  context: c0
  arch: x86_64
  summary: a module
  description: a module
  license: {{module: [MIT]}}
  profiles:
    common: {{rpms: [{name}]}}
  artifacts:
    rpms:
    - {name}-0:{version}.x86_64
...
"""
_DEFAULT = """---
document: modulemd-defaults
version: 1
data:
  module: {name}
  stream: "{stream}"
...
"""


def publish(node: Node, *streams: str, default: str = "") -> None:
    """The module tool has these streams, each with the version STREAM.0-1."""
    node.hand.add(*(Rpm("tool", f"{stream}.0", files={"/usr/share/tool": stream}) for stream in streams))
    node.hand.publish()
    texts = [_STREAM.format(name="tool", stream=stream, version=f"{stream}.0-1") for stream in streams]
    texts += [_DEFAULT.format(name="tool", stream=default)] if default else []
    path = node.directory / "modules.yaml"
    path.write_text("".join(texts), encoding="utf-8")
    argv = ["modifyrepo_c", "--mdtype=modules", str(path), str(node.repository.directory / "repodata")]
    subprocess.run(argv, check=True, capture_output=True)


def enable(node: Node, stream: str) -> None:
    """As an operator does it."""
    node.dnf.dnf(*node.dnf.REFRESHED, "module", "reset", "tool")
    node.dnf.dnf(*node.dnf.REFRESHED, "module", "enable", f"tool:{stream}")


def record(node: Node) -> Dict[str, str]:
    """Return dnf's own files about modules."""
    root = node.root
    places = (*root.glob("etc/dnf/modules.d/*"), *root.glob("var/lib/dnf/modulefailsafe/*"))
    files = (*places, *root.glob("usr/lib/sysimage/libdnf5/modules.toml"))
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files}


def shown(node: Node) -> str:
    """Return dnf's own list of the modules."""
    return node.dnf.dnf("module", "list")


@pytest.mark.parametrize("based_dnf_template", ["dnf4"], indirect=True, scope="session")
def test_an_update_enables_a_default_stream_as_dnf_does(based: Node, tmp_path: Path) -> None:
    before = record(based)
    with Node(tmp_path / "by-hand", based.template) as other:
        publish(other, "2", default="2")
        other.dnf.upgrade()
        expected = record(other)
    publish(based, "2", default="2")
    based.succeed("UPDATE", "v2")
    assert record(based) == expected and "etc/dnf/modules.d/tool.module" in expected and len(expected) == 2
    assert "[e]" in shown(based)
    based.hand.use("http://127.0.0.1:9/")
    based.succeed("UPDATE", "v1")
    assert record(based) == before == {}
    again = based.succeed("UPDATE", "v2")
    assert record(based) == expected and again.body["state_digest"] == based.recorded("v2").digest
    # The undo after a failed update leaves nothing enabled, either.
    based.succeed("UPDATE", "v1")
    based.hand.use()
    based.step("health.d/10", "exit 1")
    based.fail("UPDATE", "v3")
    assert record(based) == before


def test_a_stream_that_an_operator_has_chosen_comes_back(based: Node) -> None:
    publish(based, "2", "3")
    enable(based, "2")
    based.succeed("UPDATE", "v2")
    two, packages = record(based), based.packages()
    assert based.versions()["tool"] == "2.0-1"
    based.hand.add(Rpm("epochy", "9.5"))
    publish(based, "2", "3")
    based.succeed("UPDATE", "v3")
    enable(based, "3")
    three = record(based)
    # The undo after a failed update.
    based.step("health.d/10", "[ $OS_UPDATE_VALUE != v4 ]")
    based.hand.add(Rpm("epochy", "9.6"))
    publish(based, "2", "3", default="2")
    based.fail("UPDATE", "v4")
    assert record(based) == three
    # Nobody has the metadata of the stream but the agent.
    based.hand.use("http://127.0.0.1:9/")
    back = based.succeed("UPDATE", "v2")
    assert record(based) == two and based.packages() == packages
    assert back.body["state_digest"] == based.recorded("v2").digest
    based.hand.use()
    assert "[e]" in shown(based)
