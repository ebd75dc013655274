import uuid
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from heat.client import Heat, Stack
from heat.lab import Lab
from heat.server import Server
from packages.node import Template

HERE = Path(__file__).resolve().parent
NewServer = Callable[..., Server]
NewStack = Callable[..., Stack]


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """One worker runs all tests that need Heat: there is one lab."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("heat"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def heat(lab: Lab) -> Heat:
    return Heat(lab)


@pytest.fixture(scope="session")
def release_one(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A private root with the first release of packages.node, and the second lying ready."""
    return Template.made_in(tmp_path_factory.mktemp("release"))


@pytest.fixture
def new_stack(heat: Heat, request: pytest.FixtureRequest) -> Iterator[NewStack]:
    """``heat.create`` with a name that no other stack has; the stack is deleted afterwards."""
    made: List[Stack] = []

    def create(template: str, **arguments: object) -> Stack:
        name = f"{request.node.name.partition('[')[0].replace('_', '-')[:40]}-{uuid.uuid4().hex[:6]}"
        stack = Stack(heat, name)
        made.append(stack)
        heat.create(name, template, **arguments)  # type: ignore[arg-type]
        return stack

    yield create
    for stack in made:
        stack.delete()


@pytest.fixture
def new_server(tmp_path: Path, release_one: Template) -> Iterator[NewServer]:
    """A server in a directory for the value of a DeployedServer's os_collect_config; it polls until the test is over."""
    made: List[Server] = []

    def create(os_collect_config: object, name: str = "server") -> Server:
        server = Server(tmp_path / name, release_one, os_collect_config)  # type: ignore[arg-type]
        made.append(server)
        return server.__enter__()

    yield create
    for server in made:
        server.__exit__()
