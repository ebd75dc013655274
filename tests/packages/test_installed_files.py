"""Comparing what is on the disk with what packages list."""

import hashlib
from pathlib import Path
from typing import List

import pytest

from os_update_agent.packages.file_faults import MOST_PATHS, FileFault, Listed, Type, new_faults, topmost
from os_update_agent.packages.installed_files import faults_of, network_mounts


def listed(path: str, kind: Type = "any", content: str = "", algorithm: str = "md5") -> Listed:
    return Listed(path, path, "app", "amd64", "1.0", kind, content, algorithm)


def kinds(root: Path, *some: Listed) -> List[str]:
    return [fault.kind for fault in faults_of(some, root)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/data").write_text("data")
    (tmp_path / "usr/lib/link").symlink_to("data")
    # An absolute link means a place in the root.
    (tmp_path / "lib").symlink_to("/usr/lib")
    return tmp_path


@pytest.mark.parametrize("path", ["/usr/lib/data", "/lib/data", "/usr/lib/link", "/lib", "/usr"])
def test_what_is_there_has_no_fault(root: Path, path: str) -> None:
    assert kinds(root, listed(path)) == []


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (listed("/usr/lib/none"), "missing"),
        (listed("/usr/lib/data/below"), "missing"),
        (listed("/usr/lib/link", "file"), "of another type"),
        (listed("/usr/lib/data", "directory"), "of another type"),
        (listed("/usr/lib/data", "link"), "of another type"),
        (listed("/usr/lib/data", "file", "0" * 32), "with other content"),
        (listed("/usr/lib/link", "link", "elsewhere"), "with other content"),
    ],
)
def test_what_is_not_as_it_is_listed_has_a_fault(root: Path, one: Listed, kind: str) -> None:
    assert kinds(root, one) == [kind]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_content_is_compared_by_the_hash_that_the_database_has(root: Path, algorithm: str) -> None:
    right = hashlib.new(algorithm, b"data").hexdigest()
    assert kinds(root, listed("/usr/lib/data", "file", right, algorithm)) == []


def test_the_machines_own_root_is_looked_at_as_it_is() -> None:
    assert kinds(Path("/"), listed("/etc/passwd", "file"), listed("/etc/no-such-file")) == ["missing"]


@pytest.mark.parametrize("path", ["/run/app", "/var/run/app/socket", "/tmp/app"])
def test_what_comes_and_goes_with_services_is_passed_over(root: Path, path: str) -> None:
    assert kinds(root, listed(path)) == []


def test_the_mounts_of_network_file_systems_are_named_with_a_slash() -> None:
    assert all(place.endswith("/") and place != "/" for place in network_mounts())


def fault(path: str) -> FileFault:
    return FileFault(path, "app", "amd64", "1.0", "missing")


def test_what_lies_below_an_earlier_fault_is_none_of_ours() -> None:
    faults = [
        fault("/usr/share/doc"),
        fault("/usr/share/doc/app"),
        fault("/usr/share/doc/app/a"),
        fault("/usr/bin/app"),
    ]
    assert topmost(faults) == ("/usr/bin/app", "/usr/share/doc")
    assert new_faults([*faults, fault("/usr/bin/other")], topmost(faults)) == (fault("/usr/bin/other"),)


def test_very_many_faults_are_remembered_by_their_directories() -> None:
    many = [fault(f"/usr/share/doc/app{number}/file") for number in range(3 * MOST_PATHS)]
    assert len(topmost([*many, fault("/usr/bin/app")])) <= MOST_PATHS
    assert new_faults(many, topmost(many)) == ()
