import uuid
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping

import pytest

from heat import transports
from heat.client import Heat, Stack
from heat.lab import Lab
from heat.one import ENVIRONMENT, TEMPLATE, V1, One
from heat.server import Server
from packages.node import Template

HERE = Path(__file__).resolve().parent
FLEETS = ("test_fleets", "test_members")
NewServer = Callable[..., Server]
NewStack = Callable[..., Stack]
NewOne = Callable[..., One]


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the mark in the same hook.
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Two groups of tests, each run by one process with a lab of its own: both wait for their Heat most of the time.

    The fleets load their Heat; among the others are tests that restart their keystone.
    """
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("heat-fleets" if item.path.stem in FLEETS else "heat"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), pacing="0.1") as lab:
        yield lab


@pytest.fixture(scope="session")
def stores(lab: Lab) -> Lab:
    """The lab with Swift and Zaqar beside its Heat."""
    transports.start(lab)
    return lab


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

    def create(template: str, **arguments: Any) -> Stack:
        name = f"{request.node.name.partition('[')[0].replace('_', '-')[:40]}-{uuid.uuid4().hex[:6]}"
        made.append(Stack(heat, name))
        return heat.create(name, template, **arguments)

    yield create
    for stack in made:
        stack.delete()


@pytest.fixture
def new_server(tmp_path: Path, release_one: Template) -> Iterator[NewServer]:
    """A server in a directory for the value of a DeployedServer's os_collect_config; it polls until the test is over.

    ``offered``: the second release is there before it hears of its first value.
    """
    made: List[Server] = []

    def create(os_collect_config: Mapping[str, Any], name: str = "server", *, offered: bool = False) -> Server:
        server = Server(tmp_path / name, release_one, os_collect_config)
        made.append(server)
        if offered:
            server.offer_two()
        return server.__enter__()

    yield create
    for server in made:
        server.__exit__()


@pytest.fixture
def new_one(new_stack: NewStack, new_server: NewServer) -> NewOne:
    """A stack with one server, which has its baseline. The arguments are those of ``new_server``, then those of
    ``heat.create``.
    """

    def create(name: str = "server", *, offered: bool = False, **arguments: Any) -> One:
        stack = new_stack(TEMPLATE, environments=[ENVIRONMENT], wait=False, update_after_time=V1, **arguments)
        one = One(stack, new_server(stack.wait_for_output("os_collect_config"), name, offered=offered))
        stack.wait_for("CREATE_COMPLETE")
        return one

    return create
