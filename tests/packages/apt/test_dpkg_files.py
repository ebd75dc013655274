"""The paths that dpkg's database lists and that have to be on the disk."""

from typing import List

import pytest

from os_update_agent.packages.apt.dpkg_files import left_out, packed_paths
from os_update_agent.packages.apt.parse import parse_all_conffiles

DOC, COPYRIGHT = "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"
MAN_PAGE = "/usr/share/man/man1/app.1.gz"


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        ([], "/usr/share/doc/app/changelog", False),
        ([DOC], "/usr/share/doc/app/changelog", True),
        ([DOC], "/usr/share/app", False),
        (
            [DOC, COPYRIGHT],
            "/usr/share/doc/a/copyright",
            False,
        ),
        (
            [COPYRIGHT, DOC],
            "/usr/share/doc/a/copyright",
            True,
        ),
        (["  --path-exclude = /usr/share/man/*"], MAN_PAGE, True),
        (["path-exclude /usr/share/man/*"], MAN_PAGE, True),
        (["# path-exclude=/usr/share/man/*", "force-unsafe-io"], MAN_PAGE, False),
    ],
)
def test_the_last_glob_that_matches_decides_whether_dpkg_leaves_a_path_out(
    lines: List[str], path: str, expected: bool
) -> None:
    is_left_out = left_out(lines)
    assert (is_left_out is not None and is_left_out(path)) is expected


def test_configuration_files_belong_to_the_package_before_them() -> None:
    text = "app\tamd64\t /etc/a 0123\n /etc/b 4567 obsolete\ntool\tall\t\nlib\tamd64\t\n /etc/c newconffile\n"
    assert parse_all_conffiles(text) == {
        ("app", "amd64"): " /etc/a 0123\n /etc/b 4567 obsolete\n",
        ("lib", "amd64"): " /etc/c newconffile\n",
    }


def test_the_paths_of_a_package_file_are_those_that_tar_shows() -> None:
    text = (
        "drwxr-xr-x root/root         0 2026-01-02 10:11 ./\n"
        "drwxr-xr-x root/root         0 2026-01-02 10:11 ./usr/\n"
        "-rw-r--r-- root/root        12 2026-01-02 10:11 ./usr/a b\n"
        "-rw-r--r-- root/root        12 2026-01-02 10:11 ./usr/system-a\\\\x2db.slice\n"
        "-rw-r--r-- root/root        12 2026-01-02 10:11 ./usr/\\303\\244\n"
        "lrwxrwxrwx root/root         0 2026-01-02 10:11 ./usr/link -> a b\n"
        "hrw-r--r-- root/root         0 2026-01-02 10:11 ./usr/other link to ./usr/a b\n"
    )
    assert list(packed_paths(text)) == [
        *("/usr", "/usr/a b", "/usr/system-a\\x2db.slice", "/usr/\u00e4", "/usr/link", "/usr/other"),
    ]
