"""A link of another user leads nobody elsewhere, wherever it is in a path."""

import os
from pathlib import Path

import pytest

from os_update_agent.node.owned_directories import open_directory, write_file

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")
NOBODY = 65534


def _give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _opened(path: Path) -> str:
    descriptor = open_directory(path)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("target", ["real", "../x/real", "{base}/x/real", "./real/."])
def test_a_link_of_root_is_followed_as_the_kernel_does(tmp_path: Path, target: str) -> None:
    (tmp_path / "x/real/deep").mkdir(parents=True)
    (tmp_path / "x/link").symlink_to(target.format(base=tmp_path))
    assert _opened(tmp_path / "x/link/deep") == str(tmp_path / "x/real/deep")
    _give_away(tmp_path / "x/link")
    with pytest.raises(OSError, match="is a link of user 65534"):
        open_directory(tmp_path / "x/link/deep")


def test_a_link_in_the_target_of_a_link_counts(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "inner").symlink_to("real")
    (tmp_path / "outer").symlink_to("inner")
    assert _opened(tmp_path / "outer") == str(tmp_path / "real")
    _give_away(tmp_path / "inner")
    with pytest.raises(OSError, match="is a link of user 65534"):
        open_directory(tmp_path / "outer")


def test_links_in_a_circle_and_files_are_errors_and_leave_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd")
    for name in ("one/x", "file", "file/x", "missing/x"):
        with pytest.raises(OSError):
            open_directory(tmp_path / name)
    assert os.listdir("/proc/self/fd") == before


def test_a_file_is_written_in_one_step_and_replaces_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "file.prom").symlink_to("victim")
    write_file(tmp_path / "file.prom", "new", 0o644)
    assert (tmp_path / "file.prom").read_text() == "new" and not (tmp_path / "file.prom").is_symlink()
    assert oct((tmp_path / "file.prom").stat().st_mode)[-3:] == "644"
    assert (tmp_path / "victim").read_text() == "untouched"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / "full", "new", 0o644)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.prom", "full", "victim"]
