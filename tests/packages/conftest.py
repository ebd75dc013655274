from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.demo.repository import missing_tools
from packages.node import Node, Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    assert missing_tools() == []
    return Template.made_in(tmp_path_factory.mktemp("template"), "apt")


@pytest.fixture
def node(tmp_path: Path, template: Template) -> Iterator[Node]:
    """A node that stands at release one; Heat has told it nothing yet."""
    with Node(tmp_path / "node", template) as node:
        yield node


@pytest.fixture(scope="session")
def based_template(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Template:
    directory = tmp_path_factory.mktemp("based") / "node"
    with Node(directory, template) as node:
        node.succeed("CREATE", "v1")
    return template.advanced(directory)


@pytest.fixture
def based(tmp_path: Path, based_template: Template) -> Iterator[Node]:
    """A node that has recorded release one as its baseline "v1"."""
    with Node(tmp_path / "node", based_template) as node:
        yield node
