"""Which package manager a node has: the distribution is the hint, what is installed decides."""

import shutil
from pathlib import Path
from typing import Dict, Optional, Type

import distro
import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.options import BackendName
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.dnf5 import Dnf5
from os_update_agent.packages.implementations import backend_for


def choose(tmp_path: Path, name: BackendName) -> Backend:
    return backend_for(
        name, root=tmp_path, archive=tmp_path, work=tmp_path, lock_timeout=1.0, config_files="keep", value="v1"
    )


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    """What this node has, by the name of the program; the value is the file that it is."""
    found: Dict[str, str] = {}

    def which(program: str) -> Optional[str]:
        if program not in found:
            return None
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        if found[program] != program and not path.is_symlink():
            path.symlink_to(found[program])
        return str(path)

    monkeypatch.setattr(shutil, "which", which)
    return found


def is_of(monkeypatch: pytest.MonkeyPatch, name: str, like: str = "") -> None:
    monkeypatch.setattr(distro, "id", lambda: name)
    monkeypatch.setattr(distro, "like", lambda: like)


@pytest.mark.parametrize(
    ("name", "like", "there", "expected"),
    [
        ("debian", "", {"apt-get": "apt-get"}, "apt"),
        ("debian", "", {"apt-get": "apt-get", "dnf": "dnf-3"}, "apt"),
        ("linuxmint", "ubuntu debian", {"apt-get": "apt-get"}, "apt"),
        ("rocky", "rhel centos fedora", {"dnf": "dnf-3", "yum": "dnf-3"}, "dnf"),
        ("fedora", "", {"dnf": "dnf-3", "apt-get": "apt-get"}, "dnf"),
        ("nobodyknows", "", {"dnf": "dnf-3"}, "dnf"),
        ("nobodyknows", "", {"apt-get": "apt-get"}, "apt"),
        ("debian", "", {"dnf": "dnf-3"}, "dnf"),
    ],
)
def test_the_node_decides(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: Dict[str, str],
    name: str,
    like: str,
    there: Dict[str, str],
    expected: str,
) -> None:
    is_of(monkeypatch, name, like)
    programs.update(there)
    assert choose(tmp_path, "auto").name == expected


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ({"dnf": "dnf5", "dnf5": "dnf5"}, "dnf", Dnf5),
        ({"dnf": "dnf-3", "dnf5": "dnf5"}, "dnf", Dnf4),
        ({"dnf": "dnf-3", "dnf5": "dnf5"}, "dnf5", Dnf5),
        ({"dnf5": "dnf5"}, "dnf", Dnf5),
        ({"dnf": "dnf-3", "yum": "dnf-3"}, "dnf", Dnf4),
    ],
)
def test_what_dnf_itself_is_decides(
    tmp_path: Path, programs: Dict[str, str], there: Dict[str, str], asked: BackendName, expected: Type[Backend]
) -> None:
    programs.update(there)
    assert type(choose(tmp_path, asked)) is expected


def test_a_fedora_with_dnf_5_is_known_without_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Dict[str, str]
) -> None:
    is_of(monkeypatch, "fedora")
    programs.update({"dnf": "dnf5", "dnf5": "dnf5"})
    assert type(choose(tmp_path, "auto")) is Dnf5


def test_yum_3_is_recognised_and_refused(tmp_path: Path, programs: Dict[str, str]) -> None:
    programs["yum"] = "yum"
    with pytest.raises(PackageError, match=r"yum 3 .Enterprise Linux 7. is not supported"):
        choose(tmp_path, "dnf")


def test_a_node_without_any_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Dict[str, str]
) -> None:
    is_of(monkeypatch, "slackware")
    with pytest.raises(PackageError, match=r"set backend in agent\.conf"):
        choose(tmp_path, "auto")
    with pytest.raises(PackageError, match="neither dnf nor yum"):
        choose(tmp_path, "dnf")
