"""A child inherits no variable that leads to files of another user, or that makes an interpreter run other code."""

import os
from pathlib import Path

import pytest

from os_update_agent.node.child_environment import inherited, trusted_path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
NOBODY = 65534


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    directory = tmp_path / "foreign"
    directory.mkdir()
    (directory / "settings").touch()
    for path in (directory, directory / "settings"):
        os.chown(path, NOBODY, NOBODY)
    return directory


@pytest.fixture
def own(tmp_path: Path) -> Path:
    directory = tmp_path / "own"
    directory.mkdir()
    (directory / "settings").touch(mode=0o644)
    return directory


def test_programs_come_from_directories_that_only_root_can_write(foreign: Path, own: Path) -> None:
    open_to_all = own / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    (own / "link").symlink_to(foreign)
    given = f"{foreign}:.::bin:{own}:{open_to_all}:{own}/link:/nowhere:/usr/bin"
    assert trusted_path(given).split(":") == [str(own), "/usr/bin"]


@pytest.mark.parametrize("given", ["", "/usr/bin", "/nowhere"])
def test_programs_of_the_system_are_found_whatever_the_path_is(given: str) -> None:
    assert {"/usr/sbin", "/usr/bin"} <= set(inherited({"PATH": given})["PATH"].split(":"))


@pytest.mark.parametrize("name", ["TMPDIR", "TMP", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "GNUPGHOME", "RPM_CONFIGDIR"])
def test_a_variable_that_names_a_directory_is_kept_if_the_directory_is_trusted(
    name: str, foreign: Path, own: Path
) -> None:
    assert inherited({name: str(own)})[name] == str(own)
    for value in (str(foreign), f"{foreign}/missing", "relative", "", "/nowhere"):
        assert name not in inherited({name: value}), value


def test_a_sticky_directory_will_do_for_temporary_files_and_no_link_of_another_user(own: Path) -> None:
    own.chmod(0o1777)
    assert inherited({"TMPDIR": str(own)})["TMPDIR"] == str(own)
    (own / "link").symlink_to("/tmp")
    os.chown(own / "link", NOBODY, NOBODY, follow_symlinks=False)
    assert "TMPDIR" not in inherited({"TMPDIR": f"{own}/link"})


def test_a_variable_that_names_a_file_of_settings_is_kept_if_the_file_is_trusted(foreign: Path, own: Path) -> None:
    assert "APT_CONFIG" in inherited({"APT_CONFIG": f"{own}/settings"})
    for value in (f"{foreign}/settings", "settings", f"{own}/missing", str(own)):
        assert "APT_CONFIG" not in inherited({"APT_CONFIG": value}), value


def test_the_home_of_another_user_is_not_that_of_root(foreign: Path, own: Path) -> None:
    assert inherited({"HOME": str(foreign)})["HOME"] == "/root"
    assert inherited({"HOME": str(own)})["HOME"] == str(own)
    assert "HOME" not in inherited({})


@pytest.mark.parametrize(
    "name",
    ["BASH_ENV", "ENV", "IFS", "PERL5LIB", "PYTHONHOME", "PYTHONPATH", "DPKG_ROOT", "DPKG_FORCE", "BASH_FUNC_x%%"],
)
def test_what_makes_an_interpreter_run_other_code_is_left_out(name: str) -> None:
    assert inherited({name: "x", "LANG": "C", "http_proxy": "p"}).keys() == {"LANG", "http_proxy", "PATH"}
