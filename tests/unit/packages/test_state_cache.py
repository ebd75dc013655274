import os
from pathlib import Path

from os_update_agent.model.packages import PackageState
from os_update_agent.packages.state_cache import LastState, stamp_of


def _aged(path: Path, text: str, seconds: float = 0.0) -> Path:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_700_000_000 + seconds,) * 2)
    return path


def test_the_same_files_have_the_same_stamp_and_changed_ones_another(tmp_path: Path) -> None:
    paths = [_aged(tmp_path / "rpmdb.sqlite", "one"), _aged(tmp_path / "history.sqlite", "two")]
    first = stamp_of(paths)
    assert first is not None and first == stamp_of(reversed(paths))
    _aged(paths[0], "one!")
    second = stamp_of(paths)
    _aged(paths[0], "two!", 1.0)
    third = stamp_of(paths)
    _aged(tmp_path / "new", "one!", 1.0).replace(paths[0])
    assert len({first, second, third, stamp_of(paths), stamp_of(paths[1:])}) == 5


def test_what_readers_write_as_well_does_not_count(tmp_path: Path) -> None:
    paths = [_aged(tmp_path / "rpmdb.sqlite", "one"), _aged(tmp_path / "rpmdb.sqlite-shm", "two")]
    first = stamp_of(paths)
    _aged(paths[1], "other", 1.0)
    assert first is not None and stamp_of(paths) == first


def test_a_file_that_has_just_changed_can_change_again_unseen(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    path.write_text("one", encoding="utf-8")
    assert stamp_of([path]) is None
    assert stamp_of([]) is None
    assert stamp_of([tmp_path / "missing"]) is None


def test_what_has_just_changed_is_read_once_for_all_that_ask(tmp_path: Path) -> None:
    path, reads = tmp_path / "rpmdb.sqlite", []
    path.write_text("one", encoding="utf-8")

    def read() -> PackageState:
        reads.append(path.read_text(encoding="utf-8"))
        return PackageState("dnf", "x86_64", ())

    last = LastState()
    for _ in range(3):
        last.get(iter([path]), read)
    assert reads == ["one"]
    path.write_text("two", encoding="utf-8")
    last.get([path], read)
    assert reads == ["one", "two"]
