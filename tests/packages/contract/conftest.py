"""Every test in this folder is run once for each package manager, through the same front door."""

import pytest

from packages import sid
from packages.node import HANDS, Template


@pytest.fixture(scope="session", params=HANDS)
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    kind = request.param
    assert HANDS[kind].missing_tools() == []
    if kind == "dnf5":
        try:
            sid.root()
        except sid.Impossible as why:
            pytest.skip(f"NOTHING IS TESTED WITH DNF 5: {why}")
    return Template.made_in(tmp_path_factory.mktemp(kind), kind)
