"""What dnf 5 writes down of why each package is installed, read without dnf."""

from pathlib import Path

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.dnf.history5 import marks
from os_update_agent.packages.dnf.settings import read_settings

PACKAGES = """version = "1.0"

[packages]
"app.x86_64" = {reason = "User"}
"libapp1.x86_64" = {reason = "Dependency"}
"weak.noarch" = {reason = "Weak Dependency"}
"byhand.x86_64" = {reason = "External User"}
"member.x86_64" = {reason = "Dependency"}
"adopted.x86_64" = {reason = "External User"}
"wanted-member.x86_64" = {reason = "User"}
"python3.12-libs.x86_64" = {from_repo = "demo", reason = "Dependency"}

[packages."a-name-that-is-too-long-for-one-line.x86_64"]
from_repo = "demo"
reason = "Dependency"

[packages."another.noarch"]
reason = "User"
"""
GROUPS = """version = "1.0"

[groups]
[groups.core]
package_types = ["Mandatory"]
packages = ["member", "wanted-member",
    "unwritten", "adopted"]
userinstalled = true
"""


@pytest.mark.parametrize(
    ("name", "arch", "mark"),
    [
        ("app", "x86_64", "manual"),
        ("libapp1", "x86_64", "auto"),
        ("weak", "noarch", "weak-dependency"),
        ("byhand", "x86_64", "unknown"),
        ("nobodyknows", "x86_64", "unknown"),
        ("app", "i686", "unknown"),
        ("member", "x86_64", "group"),
        ("unwritten", "noarch", "group"),
        ("adopted", "x86_64", "group"),
        ("wanted-member", "x86_64", "manual"),
        ("python3.12-libs", "x86_64", "auto"),
        ("a-name-that-is-too-long-for-one-line", "x86_64", "auto"),
        ("another", "noarch", "manual"),
    ],
)
def test_marks(tmp_path: Path, name: str, arch: str, mark: str) -> None:
    (tmp_path / "packages.toml").write_text(PACKAGES, encoding="utf-8")
    (tmp_path / "groups.toml").write_text(GROUPS, encoding="utf-8")
    assert marks(tmp_path)(name, arch) == mark


def test_a_node_without_a_record_knows_no_reason(tmp_path: Path) -> None:
    assert marks(tmp_path)("app", "x86_64") == "unknown"


def test_a_record_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "packages.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PackageError, match="the record of dnf"):
        marks(tmp_path)


def test_the_lock_lies_where_the_node_keeps_its_record(tmp_path: Path) -> None:
    (tmp_path / "etc/dnf").mkdir(parents=True)
    assert tmp_path / "var/lib/dnf/system-repo.lock" in read_settings(tmp_path).locks
    assert tmp_path / "usr/lib/sysimage/libdnf5/system-repo.lock" in read_settings(tmp_path).locks
    (tmp_path / "etc/dnf/dnf.conf").write_text(
        "[main]\nsystem_state_dir = /var/lib/libdnf5\npersistdir = /srv/dnf\n", encoding="utf-8"
    )
    for place in ("var/lib/libdnf5", "srv/dnf"):
        assert tmp_path / place / "system-repo.lock" in read_settings(tmp_path).locks
