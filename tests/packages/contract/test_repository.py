"""What a bad repository gets: the update fails before anything changes, and is run again when the repository is
well.
"""

import os
import shutil
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from packages.faulty import FaultyServer
from packages.node import Node, wait_until
from packages.scene import VERSIONS_ONE, Pkg
from packages.signing import sign


@pytest.fixture
def server(based: Node) -> Iterator[FaultyServer]:
    """Serves the node's repository, which has a new tool. The node says of it that it may as well be down, where that
    can be said.
    """
    based.offer(Pkg("tool", "2.0"))
    with FaultyServer(based.repository.directory) as server:
        based.hand.use(server.url, skip_if_unavailable="1", retries="1")
        yield server


def assert_fails_and_is_run_again(node: Node, server: FaultyServer, words: str) -> None:
    one = node.packages()
    failed = node.fail("UPDATE", "v2")
    assert words in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert node.packages() == one and node.history().current == "v1" and failed.changes == {}
    server.faults.clear()
    assert node.succeed("CREATE", "v2").changes == {"tool": ("1.0-1", "2.0-1")}


@pytest.mark.parametrize("fault", ["503", "corrupt"])
def test_an_index_that_cannot_be_had_stops_the_update(based: Node, server: FaultyServer, fault: str) -> None:
    server.faults[based.hand.index] = fault
    assert_fails_and_is_run_again(based, server, "the package index cannot be refreshed: ")


@pytest.mark.parametrize("options", [{}, {"skip_if_unavailable": "1"}])
def test_a_repository_that_is_down_stops_the_update(based: Node, options: Dict[str, str]) -> None:
    based.hand.use("http://127.0.0.1:9/", retries="1", **options)
    failed = based.fail("UPDATE", "v2")
    assert "the package index cannot be refreshed: " in failed.complaint
    assert based.versions() == VERSIONS_ONE and based.history().current == "v1"


@pytest.mark.parametrize("fault", ["404", "cut", "corrupt"])
def test_a_package_that_cannot_be_had_stops_the_update(based: Node, server: FaultyServer, fault: str) -> None:
    server.faults["tool_2.0" if based.hand.kind == "apt" else "tool-2.0"] = fault
    assert_fails_and_is_run_again(based, server, "packages cannot be fetched: ")


def _gone(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_gone, _cut, _corrupt])
def test_a_package_on_the_nodes_own_disk_that_is_not_what_the_index_says_stops_the_update(
    based: Node, damage: Callable[[Path], None]
) -> None:
    based.offer(Pkg("tool", "2.0"))
    (path,) = based.repository.directory.glob("tool[-_]2.0*")
    sound, one = path.read_bytes(), based.packages()
    damage(path)
    failed = based.fail("UPDATE", "v2")
    assert "packages cannot be fetched: " in failed.complaint and "nothing was changed" in failed.complaint
    assert based.packages() == one
    path.write_bytes(sound)
    assert based.succeed("CREATE", "v2").changes == {"tool": ("1.0-1", "2.0-1")}


@pytest.mark.parametrize("template", ["dnf4", "dnf5"], indirect=True, scope="session")
def test_a_repository_on_the_disk_may_have_any_name(based: Node) -> None:
    based.offer(Pkg("tool", "2.0"))
    odd = based.directory / "100% ours, éé"
    based.repository.directory.rename(odd)
    based.hand.use(odd.as_uri())
    assert based.succeed("UPDATE", "v2").changes == {"tool": ("1.0-1", "2.0-1")}


def test_what_a_killed_download_has_left_goes_with_the_next_run(based: Node, server: FaultyServer) -> None:
    name = "tool_2.0" if based.hand.kind == "apt" else "tool-2.0"
    server.faults[name] = "hang"
    running = based.start("UPDATE", "v2")
    wait_until(lambda: any(name in path for path in server.requests), "the download")
    based.kill(based.processes())
    running.process.wait()
    wait_until(lambda: not based.processes(), "the end of all processes")
    server.faults.clear()
    based.succeed("CREATE", "v2")
    known = {entry.file for entry in based.kept().values()}
    assert {path.name for path in based.archive.iterdir()} - known <= {"lock"}


def test_a_restore_from_the_archive_needs_no_repository_at_all(based: Node, server: FaultyServer) -> None:
    based.succeed("UPDATE", "v2")
    server.faults["/"] = "drop"
    based.succeed("UPDATE", "v1")
    assert based.versions() == VERSIONS_ONE
    server.requests.clear()
    based.succeed("UPDATE", "v2")
    assert server.requests == []


@pytest.mark.parametrize("template", ["dnf4", "dnf5"], indirect=True, scope="session")
def test_only_signed_packages_are_taken_where_the_repository_is_to_be_checked(based: Node, keyring: Path) -> None:
    """apt checks the index (line/test_bad_repository.py); rpm checks each package, with a key that lies on the node."""
    one = based.packages()
    based.offer(Pkg("tool", "2.0"))
    key = based.directory / "key.asc"
    shutil.copy(keyring / "key.asc", key)
    based.hand.use(gpgcheck="1", gpgkey=key.as_uri())
    failed = based.fail("UPDATE", "v2")
    assert "is not signed (repository demo, gpgcheck=1)" in failed.complaint
    assert based.packages() == one

    sign(keyring, based.repository.directory.glob("tool-*.rpm"))
    based.hand.publish()
    done = based.succeed("CREATE", "v2")
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}
