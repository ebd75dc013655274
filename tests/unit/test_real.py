"""The pure parts of the proof on real packages (tests/real): comparing trees, allowed differences, sources."""

import os
from pathlib import Path
from typing import Tuple

import pytest

from real import allowed, mirrors, settings, tree
from real.legs import changed
from real.tree import Difference, Entry, Tree

FILE = Entry("file", 0o644, "0:0", "a")
LINK = Entry("link", 0, "0:0", "target")
SOURCES = """\
# http://old.example/debian
URIs: http://mirror.example/debian
Suites: bookworm
URIs: http://mirror.example/debian-security/
deb http://other.example/debian bookworm main
"""


@pytest.mark.parametrize(
    ("after", "parts", "words"),
    [
        ({}, ("missing",), "missing (file 0644 0:0)"),
        ({"/a": LINK}, ("type",), "type file -> link"),
        ({"/a": FILE._replace(mode=0o600)}, ("mode",), "mode 0644 -> 0600"),
        ({"/a": FILE._replace(owner="0:4", content="b")}, ("owner", "content"), "owner 0:0 -> 0:4, content"),
        ({"/a": FILE._replace(attributes=(("user.x", "00"),))}, ("attributes",), None),
    ],
)
def test_every_part_of_a_path_is_compared(after: Tree, parts: Tuple[str, ...], words: str) -> None:
    (found,) = tree.compare({"/a": FILE}, after)
    assert found.parts == parts
    assert words is None or tree.told(found) == words


def test_a_new_link_and_another_target_are_told() -> None:
    found = tree.compare({"/a": LINK}, {"/a": LINK._replace(content="other"), "/b": LINK})
    assert [f"{one.path} {tree.told(one)}" for one in found] == [
        "/a content target -> other",
        "/b new (link 0000 0:0 -> target)",
    ]


def test_a_reading_sees_files_links_modes_and_directories(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(0o750)
    (tmp_path / "d/file").write_text("1")
    (tmp_path / "link").symlink_to("nowhere")
    os.chmod(tmp_path / "d/file", 0o4755)
    before = tree.read(tmp_path)
    assert {path: (entry.type, entry.mode) for path, entry in before.items()} == {
        "/d": ("directory", 0o750),
        "/d/file": ("file", 0o4755),
        "/link": ("link", 0),
    }
    (tmp_path / "d/file").write_text("2")
    assert [(one.path, one.parts) for one in tree.compare(before, tree.read(tmp_path))] == [("/d/file", ("content",))]


def difference(path: str, *parts: str) -> Difference:
    return Difference(path, parts, FILE, FILE)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/var/log/dpkg.log", "content"),
        ("/boot/initrd.img-6.1.0-1-amd64", "content"),
        ("/etc/nginx/nginx.conf.dpkg-dist", "new"),
        ("/usr/lib/python3/dist-packages/__pycache__/six.cpython-311.pyc", "missing"),
    ],
)
def test_an_expected_difference_is_allowed_with_a_reason(path: str, part: str) -> None:
    assert allowed.judge([difference(path, part)])[0].reason


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", ("missing",)),
        ("/etc/nginx/nginx.conf", ("content",)),
        ("/etc/alternatives/editor", ("content",)),
        ("/boot/vmlinuz-6.1.0-1-amd64", ("content",)),
        # What may differ is not all that does.
        ("/boot/initrd.img-6.1.0-1-amd64", ("missing",)),
        ("/etc/ld.so.cache", ("mode", "content")),
        ("/var/lib/dpkg/info/nginx.list", ("content",)),
    ],
)
def test_another_difference_is_not_allowed(path: str, parts: Tuple[str, ...]) -> None:
    assert allowed.judge([difference(path, *parts)])[0].reason is None


def test_every_rule_has_a_reason_and_known_parts() -> None:
    assert all(rule.reason and set(rule.parts) <= set(allowed.ANY) for rule in allowed.RULES)


def test_the_mirrors_are_those_of_apt_unless_the_environment_names_others() -> None:
    assert mirrors.chosen(SOURCES, {})[:2] == ("http://mirror.example/debian", "http://mirror.example/debian-security")
    environment = {mirrors.MAIN: "http://mine.example/debian/", mirrors.SECURITY: "http://mine.example/security"}
    assert mirrors.chosen(SOURCES, environment)[:2] == ("http://mine.example/debian", "http://mine.example/security")
    with pytest.raises(LookupError, match=mirrors.MAIN):
        mirrors.chosen("", {})


def test_a_suite_that_is_not_whole_gives_no_foreign_packages() -> None:
    found = mirrors.Mirrors("http://m/debian", "http://m/debian-security", frozenset({"bookworm-security"}))
    assert found.sources("bookworm", updates=False) == "deb http://m/debian bookworm main\n"
    assert found.sources("bookworm", updates=True).splitlines()[1:] == [
        "deb http://m/debian bookworm-updates main",
        "deb [arch=amd64] http://m/debian-security bookworm-security main",
    ]


def test_the_settings_of_dpkg_and_apt_are_read_as_lines() -> None:
    assert settings.diversions("/bin/sh\n/bin/sh.distrib\ndash\n") == ["/bin/sh to /bin/sh.distrib by dash"]
    text = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: amd64\nAuto-Installed: 0\n"
    assert settings.auto(text) == ["a:amd64"]
    assert settings.auto("") == []


def test_a_package_counts_once_when_its_row_differs() -> None:
    before = frozenset({"a:amd64 1 install ok installed", "b:all 1 install ok installed"})
    after = frozenset(
        {"a:amd64 2 install ok installed", "b:all 1 install ok installed", "c:all 1 install ok installed"}
    )
    assert changed(before, after) == {"a:amd64", "c:all"}
