"""Which paths dpkg's database lists, and which of them have to be on the disk."""

from typing import List

import pytest

from os_update_agent.packages.apt.dpkg_files import left_out
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
    text = "app\tamd64\t\n /etc/a 0123\n /etc/b 4567 obsolete\n\ntool\tall\t\nlib\tamd64\t\n /etc/c newconffile\n"
    assert parse_all_conffiles(text) == {
        ("app", "amd64"): " /etc/a 0123\n /etc/b 4567 obsolete\n",
        ("lib", "amd64"): " /etc/c newconffile\n",
    }
