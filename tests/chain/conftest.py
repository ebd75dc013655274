from pathlib import Path
from typing import Iterator

import pytest

from chain.chain import Heat, Node
from chain.world import OLD, World
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.repository import Repository, make_root
from packages.aptroot import AptRoot
from packages.faulty import FaultyServer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    repository = Repository(tmp_path / "repository")
    repository.add(*OLD)
    repository.publish()
    with Receiver() as receiver, FaultyServer(repository.directory) as server:
        root = make_root(tmp_path / "root", sources=[repository.source_line(server.url)])
        apt = AptRoot(root)
        apt.apt("update")
        apt.apt("install", "app", "epochy", "useold", "heldback")
        apt.hold("heldback")
        # What the tests have downloaded must not be what the agent restores from.
        apt.apt("clean")
        heat = Heat(receiver)
        yield World(heat, Node(tmp_path / "node", heat, root), repository, apt)
