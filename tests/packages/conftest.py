from pathlib import Path
from typing import Iterator

import pytest
from os_update_agent.demo.repository import missing_tools

from packages.node import Node, Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    assert missing_tools() == []
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def node(tmp_path: Path, template: Template) -> Iterator[Node]:
    """A node that stands at release one; Heat has told it nothing yet."""
    with Node(tmp_path / "node", template) as node:
        yield node


@pytest.fixture
def based(node: Node) -> Node:
    """A node that has recorded release one as its baseline "v1"."""
    node.succeed("CREATE", "v1")
    return node
