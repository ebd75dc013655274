"""Every test in this folder is run once for each package manager, through the same front door."""

from pathlib import Path
from typing import Iterator

import pytest

from packages import sid
from packages.node import HANDS, Node, Template


@pytest.fixture(scope="session", params=HANDS)
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    kind = request.param
    assert HANDS[kind].missing_tools() == []
    if kind == "dnf5":
        sid.needed()
    return Template.made_in(tmp_path_factory.mktemp(kind), kind)


@pytest.fixture(scope="session")
def based_template(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Template:
    return template.recorded(tmp_path_factory.mktemp(f"based-{template.kind}") / "node")


@pytest.fixture
def node(tmp_path: Path, template: Template) -> Iterator[Node]:
    """A node that stands at release one; Heat has told it nothing yet."""
    with Node(tmp_path / "node", template) as node:
        yield node


@pytest.fixture
def based(tmp_path: Path, template: Template, based_template: Template) -> Iterator[Node]:
    """A node that has recorded release one as its baseline "v1"."""
    assert based_template.kind == template.kind
    with Node(tmp_path / "node", based_template) as node:
        yield node
