"""Whose scriptlet has failed."""

import pytest

from os_update_agent.packages.complaints import is_of_leaving
from os_update_agent.packages.dnf.worker.scriptlets import marked

GOES = [("tool", "x86_64", "1:2.0-1"), ("plain", "noarch", "2.0-1")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("%preun(other-1.0-1.x86_64)", True),
        ("%triggerin(tool-1:2.0-1.x86_64)", True),
        ("%triggerin(tool-2.0-1.x86_64)", True),
        ("%post(plain-2.0-1.noarch)", True),
        ("%triggerin(tool-2:2.0-1.x86_64)", False),
        ("%post(tool-1.0-1.x86_64)", False),
    ],
)
def test_a_package_that_leaves_is_known_with_and_without_its_epoch(said: str, expected: bool) -> None:
    message = f'error: lua script failed: [string "{said}"]:1: simulated failure'
    assert is_of_leaving(marked("failed", "", [message], GOES)) is expected


def test_the_kind_counts_if_rpm_has_said_nothing() -> None:
    assert is_of_leaving(marked("failed", "PREUN", [], GOES)) and not is_of_leaving(marked("failed", "POST", [], GOES))
