"""The alternatives of an rpm node: where they are read, and how chkconfig's tool is called."""

from pathlib import Path
from typing import IO, List, Sequence

import pytest

from os_update_agent.model.errors import CommandFailed
from os_update_agent.model.settings import SettingChange
from os_update_agent.packages.rpm import alternatives
from os_update_agent.packages.rpm.alternatives import arrange_alternatives, settings_below

FILE = """\
auto
/usr/sbin/sendmail
mta-mailq
/usr/bin/mailq

/usr/sbin/sendmail.postfix
@mta@60 postfix
/usr/bin/mailq.postfix

"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose tool is in the middle of another change."""
    for directory in ("var/lib/alternatives", "etc/alternatives"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "var/lib/alternatives/mta").write_text(FILE, encoding="utf-8")
    (tmp_path / "var/lib/alternatives/mta.new").write_text("auto\n", encoding="utf-8")
    (tmp_path / "etc/alternatives/mta").symlink_to("/usr/sbin/sendmail.postfix")
    return tmp_path


def test_the_files_of_chkconfig_are_read(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (found,) = settings_below(root)
    assert found.as_json() == {
        **{"mode": "auto", "selected": "/usr/sbin/sendmail.postfix", "link": "/usr/sbin/sendmail"},
        "slaves": [{"name": "mta-mailq", "link": "/usr/bin/mailq"}],
        "choices": [
            {
                **{"path": "/usr/sbin/sendmail.postfix", "priority": "@mta@60 postfix"},
                "slaves": [{"name": "mta-mailq", "path": "/usr/bin/mailq.postfix"}],
            }
        ],
    }
    assert settings_below(tmp_path_factory.mktemp("none")) == ()


def test_the_tool_works_inside_of_a_private_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options for other directories leave the links where they are: on the machine's own root."""
    calls: List[Sequence[str]] = []
    monkeypatch.setattr(alternatives, "run_to_file", lambda argv, output, ok: calls.append(argv))
    (found,) = settings_below(root)
    with open(root / "log", "wb") as output:
        arrange_alternatives([SettingChange(None, found)], Path("/"), output)
        arrange_alternatives([SettingChange(None, found)], root, output)
    install = ("--install", "/usr/sbin/sendmail", "mta", "/usr/sbin/sendmail.postfix", "60")
    more = ("--family", "mta", "--initscript", "postfix")
    slave = ("--slave", "/usr/bin/mailq", "mta-mailq", "/usr/bin/mailq.postfix")
    assert calls[:2] == [["alternatives", *install, *more, *slave], ["alternatives", "--auto", "mta"]]
    assert calls[2:] == [["chroot", str(root), *call] for call in calls[:2]]


def test_a_node_without_the_tool_has_its_reason_in_the_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: Sequence[str], output: IO[bytes], ok: object) -> None:
        raise CommandFailed(f"cannot start {argv[0]}: No such file or directory")

    monkeypatch.setattr(alternatives, "run_to_file", fail)
    (found,) = settings_below(root)
    with open(root / "log", "wb") as output:
        arrange_alternatives([SettingChange(found, None)], Path("/"), output)
    assert (root / "log").read_text(encoding="utf-8") == "cannot start alternatives: No such file or directory\n"
