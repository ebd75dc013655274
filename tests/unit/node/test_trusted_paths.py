"""Paths that another user owns, may write to, or may replace are refused before the agent uses them."""

import os
from pathlib import Path
from typing import Callable

import pytest

from os_update_agent.config.settings import Settings
from os_update_agent.node import trusted_paths
from os_update_agent.node.trusted_paths import Untrusted, check_paths, check_trusted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file in a directory in a directory; all of them belong to root alone."""
    file = tmp_path / "upper" / "lower" / "file"
    file.parent.mkdir(parents=True, mode=0o755)
    file.touch(mode=0o600)
    return file


def _give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def _open_to_all(path: Path) -> None:
    path.chmod(0o777)


def _open_to_group(path: Path) -> None:
    path.chmod(0o775)


WAYS = [
    (_give_away, r"belongs to user 65534 \(mode 0\d+\), who could change it: it must belong to root"),
    (_open_to_all, r"\(owner 0, group 0, mode 0777\) can be written by everybody: only root may write to it"),
    (_open_to_group, r"\(owner 0, group 0, mode 0775\) can be written by its group: only root may write to it"),
]


def test_what_only_root_can_write_is_trusted(place: Path) -> None:
    check_trusted(place, is_trial=True)


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["file", "parent", "grandparent"])
@pytest.mark.parametrize(("change", "said"), WAYS, ids=["foreign", "everybody", "group"])
def test_each_part_of_a_path_counts(place: Path, depth: int, change: Callable[[Path], None], said: str) -> None:
    part = [place, *place.parents][depth]
    change(part)
    with pytest.raises(Untrusted, match=rf"^{part} {said}"):
        check_trusted(place, is_trial=True)


@pytest.mark.parametrize(("change", "said"), WAYS, ids=["foreign", "everybody", "group"])
def test_a_path_that_does_not_exist_yet_is_judged_by_its_parents(
    place: Path, change: Callable[[Path], None], said: str
) -> None:
    missing = place.parent / "missing" / "deeper"
    check_trusted(missing, is_trial=True)
    change(place.parent)
    with pytest.raises(Untrusted, match=said):
        check_trusted(missing, is_trial=True)


def test_the_last_part_is_no_link(place: Path) -> None:
    link = place.parent / "link"
    link.symlink_to(place)
    with pytest.raises(Untrusted, match=rf"^{link} is a link"):
        check_trusted(link, is_trial=True)
    check_trusted(link, is_trial=True, link=True)


@pytest.mark.parametrize("is_relative", [False, True])
def test_the_target_of_a_link_higher_up_counts(place: Path, tmp_path: Path, is_relative: bool) -> None:
    link = tmp_path / "link"
    link.symlink_to(Path("upper/lower") if is_relative else place.parent)
    check_trusted(link / "file", is_trial=True)
    _give_away(place.parent)
    with pytest.raises(Untrusted, match=rf"^{place.parent} belongs to user"):
        check_trusted(link / "file", is_trial=True)


def test_a_link_of_another_user_is_not_followed(place: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place.parent)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(Untrusted, match=rf"^{link} belongs to user"):
        check_trusted(link / "file", is_trial=True)


def test_dots_behind_a_link_lead_to_the_parent_of_its_target(place: Path, tmp_path: Path) -> None:
    """normpath() would take "way/.." for the directory of the link."""
    (tmp_path / "foreign/inner").mkdir(parents=True)
    _give_away(tmp_path / "foreign")
    (tmp_path / "way").symlink_to("foreign/inner")
    (tmp_path / "link").symlink_to("way/../missing")
    with pytest.raises(Untrusted, match=rf"^{tmp_path}/foreign belongs to user"):
        check_trusted(tmp_path / "link", is_trial=True, link=True)
    (tmp_path / "safe").symlink_to("upper/lower/../lower/file")
    check_trusted(tmp_path / "safe", is_trial=True, link=True)


@pytest.mark.parametrize("name", ["/proc/self/root", "link"])
def test_a_private_root_is_not_this_machines_by_another_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(Untrusted, match=r"/ by another name|cannot be checked"):
        check_paths(Settings(root=tmp_path / name, state=tmp_path, log=tmp_path, run=tmp_path))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(Untrusted, match="from link to link"):
        check_trusted(tmp_path / "one" / "file", is_trial=True)


def test_a_sticky_parent_will_do_for_a_trial_only(place: Path) -> None:
    place.parent.chmod(0o1777)
    check_trusted(place, is_trial=True)
    with pytest.raises(Untrusted, match="can be written by everybody: choose a directory that only root can write"):
        check_trusted(place)
    with pytest.raises(Untrusted, match="can be written by everybody"):
        check_trusted(place.parent, is_trial=True)


def test_the_group_of_the_log_daemon_may_write_to_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu has /var/log with group syslog and mode 0775. It may be a link to another disk."""
    logs = tmp_path / "log"
    logs.mkdir()
    logs.chmod(0o775)
    monkeypatch.setattr(trusted_paths, "_OF_A_DAEMON", logs)
    check_trusted(logs / "os-update-agent", is_trial=True)
    link = tmp_path / "link"
    link.symlink_to(logs)
    monkeypatch.setattr(trusted_paths, "_OF_A_DAEMON", link)
    check_trusted(link / "os-update-agent", is_trial=True)
    logs.chmod(0o777)
    with pytest.raises(Untrusted, match="can be written by everybody"):
        check_trusted(link / "os-update-agent", is_trial=True)


def test_a_link_may_lead_below_a_sticky_directory_in_a_trial(tmp_path: Path) -> None:
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "link").symlink_to("sticky")
    check_trusted(tmp_path / "link" / "file", is_trial=True)
    with pytest.raises(Untrusted, match="can be written by everybody"):
        check_trusted(tmp_path / "link" / "file")


def test_a_name_with_controls_is_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;title\x07"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    with pytest.raises(Untrusted, match=r"\\x1b]0;title\\x07 \(owner"):
        check_trusted(path / "file", is_trial=True)


@pytest.mark.parametrize("name", ["state", "log", "run", "source", "systemctl"])
@pytest.mark.parametrize(("change", "said"), WAYS, ids=["foreign", "everybody", "group"])
def test_everything_that_the_agent_obeys_is_checked(
    place: Path, tmp_path: Path, name: str, change: Callable[[Path], None], said: str
) -> None:
    paths = {one: tmp_path / one for one in ("state", "log", "run", "source", "systemctl")}
    for path in paths.values():
        path.mkdir(mode=0o700) if path.name in ("state", "log", "run") else path.touch(mode=0o700)
    settings = Settings(
        root=tmp_path / "root",
        state=paths["state"],
        log=paths["log"],
        run=paths["run"],
        source=paths["source"],
        systemctl=paths["systemctl"],
    )
    check_paths(settings)
    change(paths[name])
    with pytest.raises(Untrusted, match=rf"^{paths[name]} {said}"):
        check_paths(settings)
