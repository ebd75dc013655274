"""What a bad repository gets: the update fails before anything changes, and is run again when the repository is
well.
"""

import os
import socket
import subprocess
import time
from email.utils import formatdate
from pathlib import Path
from typing import Callable, Iterator

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import PackageError
from os_update_agent.packages.apt import commands
from os_update_agent.packages.apt.options import NETWORK
from os_update_agent.testing.repository import Deb
from packages.faulty import FaultyServer
from packages.node import VERSIONS_ONE, Node, Result
from packages.scene import Pkg

DAY = 86400
KEY = "Demo Key <demo@example.org>"
TWO = Deb("tool", "2.0-1")


@pytest.fixture
def server(based: Node) -> Iterator[FaultyServer]:
    """Serves the node's repository, which has a new tool."""
    based.offer(TWO)
    with FaultyServer(based.repository.directory) as server:
        based.use_sources(based.repository.source_line(server.url))
        yield server


def assert_untouched(node: Node, failed: Result) -> None:
    assert failed.status == 1
    assert "nothing was changed" in failed.complaint
    assert [request.body.decode() for request in failed.received] == [failed.stdout]
    assert node.versions() == VERSIONS_ONE
    assert node.history().current == "v1"
    assert failed.changes == {}


def assert_mended(node: Node) -> None:
    """The failed value is not taken for done."""
    done = node.succeed("CREATE", "v2")
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}


@pytest.mark.parametrize("fault", ["404", "drop", "cut"])
def test_an_index_that_cannot_be_had_stops_the_update(based: Node, server: FaultyServer, fault: str) -> None:
    server.faults["Packages"] = fault
    failed = based.fail("UPDATE", "v2")
    assert "the package index cannot be refreshed: " in failed.complaint
    assert_untouched(based, failed)
    server.faults.clear()
    assert_mended(based)


def test_a_second_repository_that_is_down_stops_it_too(based: Node, server: FaultyServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down = f"deb [trusted=yes] http://127.0.0.1:{taken.getsockname()[1]}/ ./"
        based.use_sources(based.repository.source_line(server.url), down)
        failed = based.fail("UPDATE", "v2")
    assert_untouched(based, failed)


@pytest.mark.parametrize(
    "fault, words",
    [
        ("503", "503"),
        ("drop", "Failed to fetch"),
        ("cut", "Failed to fetch"),
    ],
)
def test_a_package_that_cannot_be_had_stops_the_update(
    based: Node, server: FaultyServer, fault: str, words: str
) -> None:
    """404: the version has gone between plan and fetch."""
    server.faults["tool_2.0"] = fault
    failed = based.fail("UPDATE", "v2")
    assert "packages cannot be fetched: " in failed.complaint
    assert words in failed.complaint and "tool_2.0" in failed.complaint
    assert_untouched(based, failed)
    server.faults.clear()
    assert_mended(based)


def test_a_repository_that_accepts_and_says_nothing_is_given_up(
    based: Node, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt waits 30 s, four times. Here it has the same options with shorter times, which would take four minutes."""
    patient = NETWORK
    assert {"Acquire::Retries=3", "Acquire::http::Timeout=30", "Acquire::https::Timeout=30"} <= set(patient)
    monkeypatch.setattr(commands, "NETWORK", [one.replace("=30", "=1").replace("=3", "=1") for one in patient])
    server.faults["Release"] = "hang"
    site = based.site()
    with pytest.raises(PackageError, match="index cannot be refreshed"):
        site.backend(Policy()).refresh()
    site.ledger.close()
    server.faults.clear()
    assert_mended(based)


def test_a_slow_repository_is_still_a_good_one(based: Node, server: FaultyServer) -> None:
    server.faults["/"] = "slow"
    assert_mended(based)


def test_an_old_package_that_is_listed_and_cannot_be_had_is_rebuilt(based: Node, server: FaultyServer) -> None:
    before = based.packages()
    server.faults["tool_1.0"] = "404"
    done = based.succeed("UPDATE", "v2")
    assert "kept as rebuilt packages" in done.told and "tool" in done.told
    based.succeed("UPDATE", "v1")
    assert based.packages() == before


def test_an_expired_index_is_refused(based: Node, server: FaultyServer) -> None:
    day = time.time() - 2 * DAY
    based.repository.publish(Date=formatdate(day, usegmt=True), Valid_Until=formatdate(day + DAY, usegmt=True))
    failed = based.fail("UPDATE", "v2")
    assert "is expired" in failed.complaint
    assert_untouched(based, failed)


def test_an_index_of_the_future_is_refused(based: Node, server: FaultyServer) -> None:
    based.repository.publish(Date=formatdate(time.time() + DAY, usegmt=True))
    failed = based.fail("UPDATE", "v2")
    assert "is not valid yet" in failed.complaint
    assert_untouched(based, failed)


def signed_source(node: Node, server: FaultyServer) -> str:
    line: str = node.repository.source_line(server.url)
    return line.replace("[trusted=yes] ", "")


def test_an_unsigned_repository_is_refused(based: Node, server: FaultyServer) -> None:
    based.use_sources(signed_source(based, server))
    failed = based.fail("UPDATE", "v2")
    assert "is not signed" in failed.complaint
    assert_untouched(based, failed)


def test_unsigned_packages_are_refused_even_where_the_index_is_allowed(based: Node, server: FaultyServer) -> None:
    based.use_sources(signed_source(based, server))
    (based.root / "etc/apt/apt.conf.d/10-careless").write_text('Acquire::AllowInsecureRepositories "true";\n')
    failed = based.fail("UPDATE", "v2")
    assert "authenticated" in failed.complaint
    assert_untouched(based, failed)
    assert "tool 2.0-1" not in based.kept()


@pytest.fixture
def sign(tmp_path: Path, based: Node) -> Iterator[Callable[[], None]]:
    """Signs the repository with a key that the node trusts."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str) -> None:
        subprocess.run(["gpg", "--homedir", str(home), "--batch", "--yes", "-q", *arguments], check=True)

    def sign_now() -> None:
        release = based.repository.directory / "Release"
        gpg("--clearsign", "--output", str(release.with_name("InRelease")), str(release))

    gpg("--passphrase", "", "--quick-gen-key", KEY, "ed25519", "sign", "never")
    gpg("--output", str(based.root / "etc/apt/trusted.gpg.d/demo.gpg"), "--export", KEY)
    yield sign_now
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def test_a_signed_repository_is_accepted_and_a_tampered_one_refused(
    based: Node, server: FaultyServer, sign: Callable[[], None]
) -> None:
    based.use_sources(signed_source(based, server))
    sign()
    assert_mended(based)

    based.offer(Deb("tool", "3.0-1"))
    sign()
    inline = based.repository.directory / "InRelease"
    inline.write_text(inline.read_text().replace("Suite: demo", "Suite: devil"))
    os.utime(inline, (time.time() + 5, time.time() + 5))
    failed = based.fail("UPDATE", "v3")
    assert "BADSIG" in failed.complaint or "signature" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert based.versions()["tool"] == "2.0-1"
    assert based.history().current == "v2"


def test_what_came_whole_of_a_failed_download_is_not_fetched_again(based: Node, server: FaultyServer) -> None:
    """Over a line that breaks once in each try a large update still comes to its end."""
    based.offer(Pkg("tool", "2.0"), Pkg("libapp1", "1.5"))
    server.faults["libapp1_1.5"] = "404"
    based.fail("UPDATE", "v2")
    based.fail("UPDATE", "v3")
    fetched = [path for path in server.requests if path.endswith(".deb") and "libapp1_1.5" not in path]
    assert fetched and len(fetched) == len(set(fetched))
    server.faults.clear()
    assert set(based.succeed("UPDATE", "v4").changes) == {"tool", "libapp1"}
