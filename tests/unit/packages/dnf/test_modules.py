"""The files in which dnf 4 and dnf 5 keep the streams of modules."""

from pathlib import Path

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.settings import MODULE, MODULES_ARE_KNOWN, Setting, SettingChange
from os_update_agent.packages.dnf import default_streams
from os_update_agent.packages.dnf.modules import modules4, modules5, set_modules4, set_modules5

PERL = Setting(MODULE, "perl", ("enabled", "5.26", "common", "minimal"))
RUBY = Setting(MODULE, "ruby", ("disabled", ""))
NODE = Setting(MODULE, "node.js", ("enabled", "20"))
EVIL = Setting(MODULE, "../../evil", ("enabled", "1"))
TOML = """version = "1.0"

[modules]
[modules."node.js"]
enabled_stream = "20"
installed_profiles = []
state = "Enabled"

[modules.perl]
enabled_stream = "5.26"
installed_profiles = ["common", "minimal"]
state = "Enabled"

[modules.ruby]
enabled_stream = ""
installed_profiles = []
state = "Disabled"

[modules.tool]
enabled_stream = ""
installed_profiles = []
state = "Available"

"""
APP = ("app", "x86_64", "2-1")


def test_the_file_of_dnf_5_is_read_and_written_as_dnf_does(tmp_path: Path) -> None:
    assert modules5(tmp_path) == [MODULES_ARE_KNOWN]
    (tmp_path / "modules.toml").write_text(TOML)
    assert modules5(tmp_path) == [MODULES_ARE_KNOWN, NODE, PERL, RUBY]
    changes = [SettingChange(None, setting) for setting in (PERL, RUBY, NODE, EVIL)]
    set_modules5([*changes, SettingChange(Setting(MODULE, "tool", ("enabled", "1")), None)], tmp_path)
    assert (tmp_path / "modules.toml").read_text() == TOML
    (tmp_path / "modules.toml").write_text(TOML.replace('"5.26"', '"5.26'))
    with pytest.raises(PackageError, match="perl"):
        modules5(tmp_path)


def test_the_files_of_dnf_4_are_read_and_written_as_dnf_does(tmp_path: Path) -> None:
    root, persistent, kept = tmp_path / "root", tmp_path / "root/var/lib/dnf", tmp_path / "kept"
    failsafe = persistent / "modulefailsafe"
    for directory in (failsafe, kept):
        directory.mkdir(parents=True)
    (kept / "perl:5.26:x86_64.yaml").write_text("kept")
    (failsafe / "perl:5.24:x86_64.yaml").write_text("old")
    set_modules4([SettingChange(None, setting) for setting in (PERL, RUBY, EVIL)], root, persistent, kept)
    directory = root / "etc/dnf/modules.d"
    text = "[perl]\nname=perl\nstream=5.26\nprofiles=common,minimal\nstate=enabled\n"
    assert (directory / "perl.module").read_text() == text
    assert sorted(path.name for path in directory.iterdir()) == ["perl.module", "ruby.module"]
    assert [path.name for path in failsafe.iterdir()] == ["perl:5.26:x86_64.yaml"]
    (directory / "tool.module").write_text("[tool]\nname=tool\nstream=\nprofiles=\nstate=\n")
    assert modules4(root) == [MODULES_ARE_KNOWN, PERL, RUBY]
    set_modules4([SettingChange(PERL, None)], root, persistent, kept)
    assert modules4(root) == [MODULES_ARE_KNOWN, RUBY] and list(failsafe.iterdir()) == []
    (directory / "ruby.module").write_text("no section")
    with pytest.raises(PackageError, match="ruby"):
        modules4(root)


def test_notes_of_another_plan_do_no_harm(tmp_path: Path) -> None:
    default_streams.keep(tmp_path, [APP], [(APP, "app", "2")])
    default_streams.keep(tmp_path, [("other", "x86_64", "1-1")], [])
    assert default_streams.kept(tmp_path, [APP]) == (("app", "2"),)
    default_streams.keep(tmp_path, [APP], [])
    assert default_streams.kept(tmp_path, [APP]) == ()
    (tmp_path / "default-streams.json").write_text("[[1]]")
    assert default_streams.kept(tmp_path, [APP]) == ()
