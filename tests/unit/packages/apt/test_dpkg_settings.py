"""dpkg's settings of leaving packages are put back, also after a kill."""

import hashlib
from pathlib import Path

import pytest

from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.dpkg_settings import put_back, set_aside

PATH = "/etc/dpkg/dpkg.cfg.d/60helper"
HELPER = Package("helper", "amd64", "2.0-1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings of an installed helper, and those of the operator, moved aside as far as they leave."""
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "helper.list").write_text(f"/.\n{PATH}\n", encoding="utf-8")
    found = tmp_path / PATH.lstrip("/")
    found.parent.mkdir(parents=True)
    found.write_text("new\n", encoding="utf-8")
    found.with_name("own").write_text("own\n", encoding="utf-8")
    return found


def aside(root: Path, packaged: str) -> None:
    text = PackagedText("md5", hashlib.md5(packaged.encode(), usedforsecurity=False).hexdigest(), "helper")
    assert set_aside(root, [HELPER], {PATH: text})


@pytest.mark.parametrize("packaged", ["new\n", "other\n"])
def test_settings_of_a_package_that_stays_are_put_back(tmp_path: Path, file: Path, packaged: str) -> None:
    aside(tmp_path, packaged)
    assert not file.exists() and file.with_name("own").exists()
    assert all("." in path.name for path in file.parent.iterdir() if path.name != "own")
    put_back(tmp_path)
    assert sorted(path.name for path in file.parent.iterdir()) == ["60helper", "own"]
    assert file.read_text(encoding="utf-8") == "new\n"
    assert not set_aside(tmp_path, [], {})


@pytest.mark.parametrize(("packaged", "left"), [("new\n", "old\n"), ("other\n", "new\n")])
def test_an_older_version_takes_the_place_unless_the_file_is_edited(
    tmp_path: Path, file: Path, packaged: str, left: str
) -> None:
    aside(tmp_path, packaged)
    file.write_text("old\n", encoding="utf-8")
    put_back(tmp_path)
    assert sorted(path.name for path in file.parent.iterdir()) == ["60helper", "own"]
    assert file.read_text(encoding="utf-8") == left


def test_settings_of_a_package_that_has_gone_are_dropped(tmp_path: Path, file: Path) -> None:
    aside(tmp_path, "new\n")
    (tmp_path / "var/lib/dpkg/info/helper.list").unlink()
    put_back(tmp_path)
    assert [path.name for path in file.parent.iterdir()] == ["own"]
