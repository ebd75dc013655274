"""Files of the chain that everybody may read are found, and only those."""

import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.heat import secret_audit
from os_update_agent.heat.secret_audit import readable_by_all


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node's files, all private, in a directory that everybody may enter (pytest's own are closed)."""
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        directory = Path(scratch)
        directory.chmod(0o755)
        monkeypatch.setenv("HEAT_SHELL_CONFIG", str(directory / "heat-config"))
        monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(directory / "deployed"))
        monkeypatch.setattr(secret_audit, "_CACHES", ())
        for name in ("deployed", "cache"):
            (directory / name).mkdir(mode=0o755)
        (directory / "occ.conf").write_text(f"[DEFAULT]\ncachedir = {directory}/cache\n", encoding="utf-8")
        for name in ("heat-config", "deployed/one.json", "cache/heat.json.last"):
            (directory / name).write_text("secret", encoding="utf-8")
        for path in directory.rglob("*"):
            if path.is_file():
                path.chmod(0o600)
        yield directory


def test_a_node_whose_files_are_private_is_fine(place: Path) -> None:
    assert readable_by_all(place / "occ.conf") == ()


@pytest.mark.parametrize("name", ["heat-config", "deployed/one.json", "cache/heat.json.last", "occ.conf"])
def test_a_file_that_all_may_read_is_named(place: Path, name: str) -> None:
    (place / name).chmod(0o644)
    assert readable_by_all(place / "occ.conf") == (str(place / name),)


def test_a_closed_directory_protects_its_files(place: Path) -> None:
    (place / "deployed/one.json").chmod(0o644)
    (place / "deployed").chmod(0o700)
    assert readable_by_all(place / "occ.conf") == ()


def test_what_is_not_there_exposes_nothing(place: Path) -> None:
    for name in ("heat-config", "deployed/one.json", "cache/heat.json.last", "occ.conf"):
        (place / name).unlink()
    assert readable_by_all(place / "occ.conf") == ()
