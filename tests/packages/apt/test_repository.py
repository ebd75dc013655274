import os
import subprocess
import time
from email.utils import formatdate
from pathlib import Path
from typing import Callable, Iterator

import pytest

from os_update_agent.model.errors import UsageError
from os_update_agent.testing.repository import Deb, Repository, build, make_root, missing_tools
from packages.aptroot import AptRoot
from packages.faulty import FaultyServer

DAY = 86400
KEY = "Demo Key <demo@example.org>"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    assert missing_tools() == []
    repository = Repository(tmp_path / "repository")
    repository.add(
        Deb(
            "tool", "1.0", fields={"Depends": "libtool1"}, files={"etc/tool.conf": "one\n"}, conffiles=["etc/tool.conf"]
        ),
        Deb("libtool1", "9.0", arch="all", scripts={"postinst": 'echo "$1" >> "$DPKG_ROOT/ran"'}),
    )
    repository.publish()
    return repository


@pytest.fixture
def server(repository: Repository) -> Iterator[FaultyServer]:
    with FaultyServer(repository.directory) as server:
        yield server


@pytest.fixture
def root(tmp_path: Path, repository: Repository, server: FaultyServer) -> AptRoot:
    return AptRoot(make_root(tmp_path / "root", sources=[repository.source_line(server.url)]))


def upgrade_to_two(repository: Repository) -> None:
    repository.add(Deb("tool", "2.0", fields={"Depends": "libtool1 (>= 1:1)"}), Deb("libtool1", "1:1.0", arch="all"))
    repository.remove("tool", "1.0")
    repository.publish()


@pytest.mark.parametrize("transport", ["file", "http"])
def test_packages_install_and_upgrade(
    tmp_path: Path, repository: Repository, server: FaultyServer, transport: str
) -> None:
    line = repository.source_line(server.url if transport == "http" else None)
    root = AptRoot(make_root(tmp_path / transport, sources=[line]))
    root.apt("update")
    root.apt("install", "tool")
    assert root.versions() == {"tool": "1.0", "libtool1": "9.0"}
    assert [name.partition(":")[0] for name in root.auto()] == ["libtool1"]
    assert (root.root / "etc/tool.conf").read_text() == "one\n"
    assert (root.root / "ran").read_text() == "configure\n"

    upgrade_to_two(repository)
    root.apt("update")
    root.apt("dist-upgrade")
    assert root.versions() == {"tool": "2.0", "libtool1": "1:1.0"}
    assert "was not found" in root.apt("--allow-downgrades", "install", "tool=1.0", ok=False)


def test_the_index_says_what_apt_reports_as_origin(repository: Repository, root: AptRoot) -> None:
    repository.publish(Origin="Lab", Label="Lab-Security", Suite="stable-security")
    root.apt("update")
    assert "(1.0 Lab-Security:stable-security [" in root.apt("-s", "install", "tool")


def test_an_expired_index_is_refused(repository: Repository, root: AptRoot) -> None:
    repository.publish(
        Date=formatdate(time.time() - 2 * DAY, usegmt=True), Valid_Until=formatdate(time.time() - DAY, usegmt=True)
    )
    assert "is expired" in root.apt("update", ok=False)


def test_an_index_of_the_future_is_refused(repository: Repository, root: AptRoot) -> None:
    repository.publish(Date=formatdate(time.time() + DAY, usegmt=True))
    assert "is not valid yet" in root.apt("update", ok=False)


@pytest.mark.parametrize(
    "fault, complaint",
    [
        ("404", "404"),
        ("503", "503"),
        ("drop", "Failed to fetch"),
        ("cut", "Failed to fetch"),
        ("corrupt", "Hash Sum mismatch"),
        ("hang", "Failed to fetch"),
    ],
)
def test_a_faulty_server_fails_the_download_and_changes_nothing(
    server: FaultyServer, root: AptRoot, fault: str, complaint: str
) -> None:
    root.apt("update")
    server.faults["tool_1.0"] = fault
    said = root.apt("install", "tool", ok=False)
    assert complaint in said
    assert root.versions() == {}
    assert any("tool_1.0" in path for path in server.requests)

    server.faults.clear()
    root.apt("install", "tool")
    assert root.versions() == {"tool": "1.0", "libtool1": "9.0"}


def test_a_slow_server_is_still_a_good_one(server: FaultyServer, root: AptRoot) -> None:
    server.faults["/"] = "slow"
    root.apt("update")
    root.apt("install", "tool")
    assert root.versions() == {"tool": "1.0", "libtool1": "9.0"}


def test_a_tampered_index_is_refused_where_signatures_count(
    repository: Repository, server: FaultyServer, root: AptRoot, sign: Callable[[], None]
) -> None:
    line = repository.source_line(server.url).replace("[trusted=yes] ", "")
    (root.root / "etc/apt/sources.list").write_text(f"{line}\n")
    assert "is not signed" in root.apt("update", ok=False)
    sign()
    root.apt("update")
    root.apt("install", "tool")

    inline = repository.directory / "InRelease"
    inline.write_text(inline.read_text().replace("Suite: demo", "Suite: devil"))
    os.utime(inline, (time.time() + 5, time.time() + 5))
    said = root.apt("update", ok=False)
    # gpgv's word, and that of sqv, which apt asks since 3.0.
    assert "BADSIG" in said or "has been manipulated" in said


@pytest.fixture
def sign(tmp_path: Path, repository: Repository, root: AptRoot) -> Iterator[Callable[[], None]]:
    """Signs the repository with a new key that the root trusts."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str) -> None:
        subprocess.run(["gpg", "--homedir", str(home), "--batch", "--yes", "-q", *arguments], check=True)

    def sign_now() -> None:
        gpg("--passphrase", "", "--quick-gen-key", KEY, "ed25519", "sign", "never")
        gpg("--output", str(root.root / "etc/apt/trusted.gpg.d/demo.gpg"), "--export", KEY)
        gpg("--clearsign", "--output", str(repository.directory / "InRelease"), str(repository.directory / "Release"))

    yield sign_now
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def test_the_same_package_is_built_to_the_same_bytes(tmp_path: Path) -> None:
    deb = Deb("tool", "1:1.0", arch="all", files={"usr/bin/tool": "#!/bin/sh\n"})
    one, two = build(deb, tmp_path / "one"), build(deb, tmp_path / "two")
    assert one.name == "tool_1%3a1.0_all.deb"
    assert one.read_bytes() == two.read_bytes()


def test_a_version_that_is_not_there_cannot_be_removed(repository: Repository) -> None:
    with pytest.raises(UsageError, match=r"has no package tool 3\.0"):
        repository.remove("tool", "3.0")
