"""Files below /etc on the way there and back: edited configuration files that a new version drops or moves, and what
maintainer scripts change.
"""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from os_update_agent.testing.repository import Deb
from packages.hand_apt import WAITS
from packages.node import Node

EDITED = "a=mine\n"
# What dpkg-maintscript-helper(1) does to an edited file, in the words of a test root without a shell of its own.
DROPS = 'if [ -e "$DPKG_ROOT/etc/app.conf" ]; then mv "$DPKG_ROOT/etc/app.conf" "$DPKG_ROOT/etc/app.conf.dpkg-bak"; fi'
MOVES = 'if [ "$1" = upgrade ]; then mv "$DPKG_ROOT/etc/app.conf" "$DPKG_ROOT/etc/new.conf"; fi'


def app(version: str, scripts: Dict[str, str] = {}, **files: str) -> Deb:  # noqa: B006
    named = {f"etc/{name}.conf": text for name, text in files.items()}
    return Deb("app", version, fields={"Depends": "libapp1"}, files=named, conffiles=list(named), scripts=scripts)


def edit(node: Node, text: str = EDITED) -> None:
    path = node.root / "etc/app.conf"
    path.write_text(text)
    path.chmod(0o640)


def is_edited(node: Node) -> bool:
    path = node.root / "etc/app.conf"
    return path.exists() and path.read_text() == EDITED and stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("policy", ["keep", "replace"])
def test_the_edit_of_a_file_that_the_new_version_drops_comes_back(based: Node, policy: str) -> None:
    edit(based)
    based.offer(app("2.0-1", {"postinst": DROPS}))
    based.succeed("UPDATE", "v2", config_files=policy)
    assert not (based.root / "etc/app.conf").exists()
    based.succeed("UPDATE", "v1", config_files=policy)
    assert is_edited(based)
    assert based.text("etc/app.conf.dpkg-dist") == "a=1\n"
    # And in every later update.
    based.offer(app("3.0-1", app="a=3\n"))
    based.succeed("UPDATE", "v3")
    assert is_edited(based)
    assert based.text("etc/app.conf.dpkg-dist") == "a=3\n"


def test_the_edit_of_a_file_that_the_new_version_moves_comes_back(based: Node) -> None:
    edit(based)
    based.offer(app("2.0-1", {"preinst": MOVES}, new="a=2\n"))
    based.succeed("UPDATE", "v2")
    assert based.text("etc/new.conf") == EDITED and not (based.root / "etc/app.conf").exists()
    back = based.succeed("UPDATE", "v1")
    assert is_edited(based)
    assert "/etc/new.conf (new)" in back.told


def test_the_undo_brings_the_edit_back(based: Node) -> None:
    edit(based)
    based.offer(app("2.0-1", {"postinst": DROPS}))
    based.step("health.d/10-bad", "exit 1")
    based.fail("UPDATE", "v2")
    assert is_edited(based)


def test_an_edit_that_was_replaced_as_asked_comes_back_with_the_state(based: Node) -> None:
    edit(based)
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2", config_files="replace")
    assert based.text("etc/app.conf") == "a=2\n"
    based.succeed("UPDATE", "v1")
    assert is_edited(based)


def test_a_later_edit_wins(based: Node) -> None:
    edit(based)
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2", config_files="replace")
    edit(based, "a=later\n")
    back = based.succeed("UPDATE", "v1")
    assert based.text("etc/app.conf") == "a=later\n"
    assert "/etc/app.conf (changed, not by the agent)" in back.told


def test_a_file_that_was_removed_stays_removed_although_a_version_without_it_lay_between(based: Node) -> None:
    (based.root / "etc/app.conf").unlink()
    based.offer(app("2.0-1", {"postinst": DROPS}))
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert not (based.root / "etc/app.conf").exists()


def scripted(version: str, line: str) -> Deb:
    return Deb("tool", version, scripts={"postinst": f'cd "$DPKG_ROOT/etc"\n{line}'})


CHANGES = "echo two > list; rm -f gone; ln -sf two link; mkdir -p made; echo new > made/file; chmod 600 mode; :"


@pytest.fixture
def scripting(based: Node) -> Node:
    etc = based.root / "etc"
    for name in ("list", "gone", "mode"):
        (etc / name).write_text("one\n")
    (etc / "gone").chmod(0o604)
    (etc / "link").symlink_to("one")
    based.offer(scripted("2.0-1", CHANGES))
    return based


def test_the_result_names_the_files_that_differ_and_the_diff_does(scripting: Node) -> None:
    scripting.succeed("UPDATE", "v2")
    back = scripting.succeed("UPDATE", "v1")
    for words in (
        "/etc/gone (gone)",
        "/etc/link (changed)",
        "/etc/list (changed)",
        "/etc/made/file (new)",
        "/etc/mode",
    ):
        assert words in back.told, back.told
    assert "/etc/app.conf" not in back.told
    assert (scripting.root / "etc/list").read_text() == "two\n"


def test_they_are_put_back_where_that_is_asked_for(scripting: Node) -> None:
    etc = scripting.root / "etc"
    scripting.succeed("UPDATE", "v2")
    back = scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert (etc / "list").read_text() == (etc / "gone").read_text() == "one\n"
    assert stat.S_IMODE((etc / "gone").stat().st_mode) == 0o604 and stat.S_IMODE((etc / "mode").stat().st_mode) == 0o644
    assert os.readlink(etc / "link") == "one" and not (etc / "made/file").exists()
    assert "from the recorded state" not in back.told


def test_what_somebody_else_has_changed_since_is_left_alone_and_named(scripting: Node) -> None:
    etc = scripting.root / "etc"
    scripting.succeed("UPDATE", "v2")
    (etc / "list").write_text("operator\n")
    (etc / "own").write_text("operator\n")
    back = scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert (etc / "list").read_text() == (etc / "own").read_text() == "operator\n"
    assert "/etc/list (changed, not by the agent)" in back.told and "/etc/own (new, not by the agent)" in back.told
    assert (etc / "gone").exists()


def test_several_updates_back_the_right_content_comes(scripting: Node) -> None:
    scripting.succeed("UPDATE", "v2")
    scripting.offer(scripted("3.0-1", "echo three > list"))
    scripting.succeed("UPDATE", "v3")
    scripting.succeed("UPDATE", "v2", etc_files="restore")
    assert scripting.text("etc/list") == "two\n"
    scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert scripting.text("etc/list") == "one\n"


def test_an_undo_names_them_and_puts_them_back_where_that_is_asked_for(scripting: Node) -> None:
    scripting.step("health.d/10-bad", "exit 1")
    failed = scripting.fail("UPDATE", "v2")
    assert "/etc/list (changed)" in failed.complaint
    (scripting.root / "etc/list").write_text("one\n")
    failed = scripting.fail("UPDATE", "v2", etc_files="restore")
    assert scripting.text("etc/list") == "one\n" and "from the recorded state" not in failed.complaint


def test_the_kept_contents_are_private_few_and_never_in_a_log(scripting: Node) -> None:
    secret = "hunter2hunter2\n"
    (scripting.root / "etc/list").write_text(secret)
    (scripting.root / "etc/other").write_text("another\n")
    scripting.succeed("UPDATE", "v2")
    (kept,) = (scripting.directory / "state/etc").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    content = kept.read_bytes()
    assert secret.encode() in content and b"another" not in content
    back = scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert scripting.text("etc/list") == secret
    logs = "".join(path.read_text() for path in (scripting.directory / "log").iterdir())
    assert secret.strip() not in logs + back.told + back.complaint + str(back.body)


def test_nothing_is_written_into_a_directory_that_others_may_write(scripting: Node, tmp_path: Path) -> None:
    trap = scripting.root / "etc/open"
    trap.mkdir()
    (trap / "file").write_text("one\n")
    scripting.offer(scripted("2.0-1", "echo two > open/file"))
    scripting.succeed("UPDATE", "v2")
    trap.chmod(0o777)
    back = scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert (trap / "file").read_text() == "two\n"
    assert "/etc/open/file (another user may write its directory)" in back.complaint


def test_a_link_in_the_way_is_not_followed(scripting: Node, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (scripting.root / "etc/dir").mkdir()
    (scripting.root / "etc/dir/file").write_text("one\n")
    scripting.offer(scripted("2.0-1", f"rm -r dir; ln -s {outside} dir"))
    scripting.succeed("UPDATE", "v2")
    scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert list(outside.iterdir()) == []


def test_a_run_that_was_killed_in_its_transaction_still_knows_what_was_before(scripting: Node) -> None:
    scripting.hand.add(scripted("2.0-1", f"{CHANGES}\n{WAITS}"))
    scripting.hand.publish()
    scripting.cut_off("UPDATE", "v2")
    assert scripting.text("etc/list") == "two\n"
    scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert scripting.text("etc/list") == "one\n"


def without_old_file(node: Node, new: str = "a=2\n") -> None:
    """Nobody has the installed version of the package any more: an update has to rebuild its file."""
    node.hand.remove_from_repository("app", "1.0-1")
    node.offer(app("2.0-1", app=new))
    node.succeed("CREATE", "v1")


def test_the_edit_survives_a_rebuilt_package_and_every_later_update(node: Node) -> None:
    """Nobody has the old file any more, and so nobody knows the packaged text."""
    edit(node)
    without_old_file(node)
    there = node.succeed("UPDATE", "v2")
    assert "app:amd64 1.0-1" in there.told and node.kept()["app 1.0-1"].origin == "repack"
    back = node.succeed("UPDATE", "v1")
    assert is_edited(node)
    assert "the packaged text is not known" in back.complaint and "/etc/app.conf" in back.complaint
    assert not (node.root / "etc/app.conf.dpkg-dist").exists()
    node.offer(app("3.0-1", app="a=3\n"))
    node.succeed("UPDATE", "v3")
    assert is_edited(node)
    assert node.text("etc/app.conf.dpkg-dist") == "a=3\n"


def test_the_edit_comes_back_with_a_rebuilt_package_although_the_update_replaced_it(node: Node) -> None:
    edit(node)
    without_old_file(node)
    node.succeed("UPDATE", "v2", config_files="replace")
    assert node.text("etc/app.conf") == "a=2\n"
    shutil.rmtree(node.directory / "state/etc")
    node.succeed("UPDATE", "v1")
    assert is_edited(node)
    node.offer(app("3.0-1", app="a=3\n"))
    node.succeed("UPDATE", "v3")
    assert is_edited(node)


def test_the_packaged_text_of_a_rebuilt_package_is_taken_from_another_version(node: Node) -> None:
    edit(node)
    without_old_file(node, "a=1\n")
    node.succeed("UPDATE", "v2")
    back = node.succeed("UPDATE", "v1")
    assert is_edited(node) and "not known" not in back.complaint
    (node.root / "etc/app.conf").unlink()
    (node.root / "etc/app.conf").write_text("a=1\n")
    # dpkg knows the packaged text: the file is as packaged again, and follows the update.
    node.offer(app("3.0-1", app="a=3\n"))
    node.succeed("UPDATE", "v3")
    assert node.text("etc/app.conf") == "a=3\n"


def test_a_removed_file_stays_removed_with_a_rebuilt_package(node: Node) -> None:
    (node.root / "etc/app.conf").unlink()
    without_old_file(node)
    node.succeed("UPDATE", "v2")
    node.succeed("UPDATE", "v1")
    assert not (node.root / "etc/app.conf").exists()
    node.offer(app("3.0-1", app="a=3\n"))
    node.succeed("UPDATE", "v3")
    assert not (node.root / "etc/app.conf").exists()


def test_a_pipe_beside_an_edited_file_does_not_block(node: Node) -> None:
    edit(node)
    os.mkfifo(node.root / "etc/app.conf.dpkg-old")
    without_old_file(node)
    node.succeed("UPDATE", "v2")


@pytest.mark.parametrize("name", ["app[1]", "my app", "b\\c"])
def test_any_name_of_a_configuration_file_will_do(node: Node, name: str) -> None:
    file = f"etc/{name}.conf"
    node.offer(Deb("app", "1.1-1", fields={"Depends": "libapp1"}, files={file: "x=1\n"}, conffiles=[file]))
    node.install_by_hand("app")
    path = node.root / file
    path.write_text("x=mine\n")
    node.hand.remove_from_repository("app", "1.1-1")
    node.succeed("CREATE", "v1")
    node.offer(app("2.0-1", {"postinst": 'cd "$DPKG_ROOT/etc"; rm -f *.conf'}))
    node.succeed("UPDATE", "v2")
    back = node.succeed("UPDATE", "v1")
    assert path.read_text() == "x=mine\n" and f"/{file}" in back.complaint


def test_a_link_in_the_place_of_a_configuration_file_comes_back(based: Node) -> None:
    path = based.root / "etc/app.conf"
    path.rename(based.root / "etc/real.conf")
    path.symlink_to("real.conf")
    based.offer(app("2.0-1", {"postinst": DROPS}))
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert os.readlink(path) == "real.conf"


def test_files_that_ucf_has_registered_are_configuration_files(based: Node) -> None:
    conf, database = based.root / "etc/made.conf", based.root / "var/lib/ucf"
    conf.write_text("mine\n")
    database.mkdir(parents=True)
    (database / "registry").write_text("tool /etc/made.conf\n")
    (database / "hashfile").write_text("d41d8cd98f00b204e9800998ecf8427e  /etc/made.conf\n")
    based.offer(scripted("2.0-1", "rm made.conf"))
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert conf.read_text() == "mine\n"


def test_the_way_back_of_one_key_leaves_the_files_of_another_keys_packages(node: Node) -> None:
    conf, moved = node.root / "etc/tool.conf", node.root / "etc/tool.d.conf"
    node.offer(Deb("tool", "1.5-1", files={"etc/tool.conf": "t=1\n"}, conffiles=["etc/tool.conf"]))
    node.install_by_hand("tool")
    conf.write_text("t=mine\n")
    node.succeed("CREATE", "a1", resource="a", packages=["app"])
    node.succeed("CREATE", "b1", resource="b", packages=["tool"])
    moves = 'if [ "$1" = upgrade ]; then mv "$DPKG_ROOT/etc/tool.conf" "$DPKG_ROOT/etc/tool.d.conf"; fi'
    tool = Deb(
        "tool", "2.0-1", files={"etc/tool.d.conf": "t=2\n"}, conffiles=["etc/tool.d.conf"], scripts={"preinst": moves}
    )
    node.offer(app("2.0-1", app="a=2\n"), tool)
    node.succeed("UPDATE", "a2", resource="a", packages=["app"])
    node.succeed("UPDATE", "b2", resource="b", packages=["tool"])
    node.succeed("UPDATE", "a1", resource="a", packages=["app"], etc_files="restore")
    assert not conf.exists() and moved.read_text() == "t=mine\n"


@pytest.mark.parametrize("change", ["substr(body, 1, 20)", "body || 'more'"])
def test_a_damaged_listing_stops_no_way_back(scripting: Node, change: str) -> None:
    one = scripting.packages()
    scripting.succeed("UPDATE", "v2")
    with sqlite3.connect(scripting.directory / "state/ledger.sqlite") as ledger:
        assert ledger.execute(f"UPDATE states SET body = {change} WHERE backend = 'files'").rowcount
    scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert scripting.packages() == one


def test_directories_that_are_gone_come_back_with_their_modes(scripting: Node) -> None:
    etc = scripting.root / "etc"
    for name, mode in (("open", 0o755), ("closed", 0o700)):
        (etc / name).mkdir()
        (etc / name).chmod(mode)
        (etc / name / "file").write_text("one\n")
    scripting.offer(scripted("2.0-1", "rm -r open closed"))
    scripting.succeed("UPDATE", "v2")
    scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert [stat.S_IMODE((etc / name).stat().st_mode) for name in ("open", "closed")] == [0o755, 0o700]


def test_the_history_of_etckeeper_is_left_alone(scripting: Node) -> None:
    (scripting.root / "etc/.git/objects").mkdir(parents=True)
    scripting.offer(scripted("2.0-1", "echo two > .git/objects/two"))
    scripting.succeed("UPDATE", "v2")
    back = scripting.succeed("UPDATE", "v1", etc_files="restore")
    assert (scripting.root / "etc/.git/objects/two").exists() and ".git" not in back.told


def test_what_a_way_back_has_only_named_can_be_put_back_later(scripting: Node) -> None:
    scripting.succeed("UPDATE", "v2")
    scripting.succeed("UPDATE", "v1")
    assert scripting.text("etc/list") == "two\n"
    done = subprocess.run(
        [sys.executable, "-m", "os_update_agent", "rollback", "v1", "--set", "etc_files=restore"],
        env=scripting.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert scripting.text("etc/list") == "one\n"
