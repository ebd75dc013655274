"""Roots with dnf: one for dnf 4's backend alone, and nodes of both dnfs behind the hook."""

import shutil
from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.testing.rpm_repository import build, make_root, missing_tools
from packages import sid
from packages.dnf.world import INSTALLED, ONE, TWO, World
from packages.node import Node, Template


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world at release one, with the packages of release two beside it."""
    assert missing_tools() == []
    directory = tmp_path_factory.mktemp("dnf")
    build(TWO, directory / "two")
    world = World(directory)
    world.offer(*ONE)
    make_root(world.root, repositories=[world.repository.section()])
    world.dnf("install", *INSTALLED)
    return directory


@pytest.fixture
def world(release: Path, tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "world"
    shutil.copytree(release, directory, symlinks=True)
    world = World(directory)
    world.serve(world.repository.section())
    yield world
    world.ledger.close()


@pytest.fixture
def two(world: World) -> World:
    """A world at release one to which release two is offered."""
    for path in (world.directory / "two").iterdir():
        shutil.copy(path, world.repository.directory)
    world.repository.publish()
    return world


@pytest.fixture(scope="session", params=["dnf4", "dnf5"])
def based_dnf_template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    if request.param == "dnf5":
        sid.needed()
    template = Template.made_in(tmp_path_factory.mktemp(request.param), request.param)
    return template.recorded(tmp_path_factory.mktemp(f"based-{request.param}") / "node")


@pytest.fixture
def based(tmp_path: Path, based_dnf_template: Template) -> Iterator[Node]:
    """A node that has recorded release one as its baseline "v1"."""
    with Node(tmp_path / "node", based_dnf_template) as node:
        yield node
