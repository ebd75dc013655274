"""install-hook under a private root: what goes where, twice, away again, and what is in the way."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from os_update_agent.cli import main
from os_update_agent.install import code, place, target
from os_update_agent.install.layout import HOME, PROGRAMS, File, Link, Places, Tree, layout, sealed

HOOK = "usr/libexec/heat-config/hooks/package-update"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that has nothing but the distribution's Python."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3.11").touch()
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    return tmp_path


@pytest.fixture(autouse=True)
def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """test_code.py tests the trial of the code, which takes most of the time."""
    monkeypatch.setattr(code, "try_out", lambda *_: None)


def test_a_node_with_apt_and_without_its_library_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "usr/bin/apt-get").touch()
    before = tree(root)
    assert main.main(["install-hook", "--root", str(root)]) == 1
    assert "next: apt-get install python3-apt" in capsys.readouterr().err
    assert tree(root) == before
    library = root / "usr/lib/python3/dist-packages/apt_pkg.cpython-311-x86_64-linux-gnu.so"
    library.parent.mkdir(parents=True)
    library.touch()
    said(capsys, "--root", str(root), "--dry-run")


def tree(root: Path) -> Dict[str, str]:
    """Every path below the root with its kind, mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        what = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "/"
        found[str(path.relative_to(root))] = f"{stat.S_IMODE(path.lstat().st_mode):04o} {what}"
    return found


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> List[str]:
    assert main.main(["install-hook", *argv]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_node_gets_the_hook_its_directories_and_what_the_chain_needs(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "--root", str(root))

    found = tree(root)
    assert found[HOOK] == f"0777 {PROGRAMS}/package-update"
    assert found["var/lib/os-update-agent"] == "0700 /" and found["var/log/os-update-agent"] == "0700 /"
    assert found["etc/os-update-agent/pre-update.d"] == found["etc/os-update-agent/health.d"] == "0755 /"
    assert "etc/os-update-agent/agent.conf" not in found
    assert found["usr/libexec/os-apply-config/templates/var/run/heat-config/heat-config.oac"] == "0644 mode: 0600\n"
    assert ".TH" in found["usr/local/share/man/man8/os-update-agent.8"]
    assert "complete -F" in found["usr/local/share/bash-completion/completions/os-update-agent"]
    assert not [path for path, text in found.items() if "@PROGRAMS@" in text and "/code/" not in path]


def test_the_results_of_all_hooks_go_through_the_outbox(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--root", str(root))

    environment = root / "usr/libexec/os-refresh-config/environment.d/50-os-update-agent.bash"
    named = subprocess.run(
        ["bash", "-c", f". {environment}; echo $HEAT_CONFIG_NOTIFY"], capture_output=True, text=True, check=True
    ).stdout
    notify = root / named.strip().lstrip("/")
    assert os.access(notify, os.X_OK)
    assert f'exec {PROGRAMS}/os-update-agent notify "$@"' in notify.read_text()


def test_what_was_cut_off_is_taken_up_at_boot_and_before_deployments(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, "--root", str(root))
    assert out[-1] == "enabled: os-update-agent-resume.service os-update-agent-resume.timer"
    found = tree(root)
    assert found["usr/libexec/os-refresh-config/pre-configure.d/10-os-update-agent-resume"].startswith("0755 #!/bin/sh")
    enabled = [path for path in found if ".wants/" in path]
    assert [Path(path).name for path in enabled] == ["os-update-agent-resume.service", "os-update-agent-resume.timer"]

    said(capsys, "--root", str(root), "--remove")
    assert [path for path in tree(root) if "resume" in path] == []


def test_twice_is_as_good_as_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--root", str(root))
    once = tree(root)

    again = said(capsys, "--root", str(root))
    assert tree(root) == once
    assert {line.split(":")[0] for line in again if not line.startswith("enabled")} == {"as it should be"}


def test_what_was_damaged_is_renewed_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--root", str(root))
    once = tree(root)
    (root / "var/lib/os-update-agent").chmod(0o755)
    (root / "usr/libexec/os-update-agent/heat-config-notify").write_text("")

    again = said(capsys, "--root", str(root))
    assert tree(root) == once
    assert [line for line in again if line.startswith("renewed")] == [
        "renewed: /var/lib/os-update-agent",
        "renewed: /usr/libexec/os-update-agent/heat-config-notify",
    ]


CONFIGURATION = (
    "etc/logrotate.d/os-update-agent",
    "etc/tmpfiles.d/os-update-agent.conf",
    "etc/systemd/system/os-update-agent-resume.timer",
)


@pytest.mark.parametrize("path", CONFIGURATION)
@pytest.mark.parametrize("edit", [lambda text: text + "# mine\n", lambda text: text.partition("\n")[2]])
def test_configuration_that_was_edited_stays_and_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], path: str, edit: Callable[[str], str]
) -> None:
    said(capsys, "--root", str(root))
    file = root / path
    file.write_text(edited := edit(file.read_text()))

    assert f"left, it was edited: /{path}" in said(capsys, "--root", str(root))
    assert file.read_text() == edited
    assert f"left: /{path}" in said(capsys, "--root", str(root), "--remove")
    assert file.read_text() == edited


def test_configuration_that_an_older_version_has_written_is_renewed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "--root", str(root))
    once = tree(root)
    (root / CONFIGURATION[0]).write_text(sealed("# what an older version wrote\n"))
    assert f"renewed: /{CONFIGURATION[0]}" in said(capsys, "--root", str(root))
    assert tree(root) == once


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_modes_do_not_depend_on_the_callers_umask(
    root: Path, capsys: pytest.CaptureFixture[str], umask: int
) -> None:
    before = set(tree(root))
    previous = os.umask(umask)
    try:
        said(capsys, "--root", str(root))
    finally:
        os.umask(previous)
    # To switch units on is systemctl's work.
    made = {path: line.split()[0] for path, line in tree(root).items() if path not in before and ".wants" not in path}
    private = {"var/lib/os-update-agent", "var/log/os-update-agent"}
    directories = {
        path: mode for path, mode in made.items() if (root / path).is_dir() and not (root / path).is_symlink()
    }
    assert {mode for path, mode in directories.items() if path not in private} == {"0755"}
    assert {directories[path] for path in private} == {"0700"}


def test_a_dry_run_changes_nothing_and_says_what_a_run_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(root)
    dry = said(capsys, "--root", str(root), "--dry-run")
    assert tree(root) == before
    assert dry == said(capsys, "--root", str(root))


def test_what_is_removed_is_ours_and_what_stays_is_not(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--root", str(root))
    (root / "etc/os-update-agent/agent.conf").write_text("[defaults]\nkeep = 7\n")
    (root / "etc/logrotate.d/os-update-agent").write_text("# of the operator\n")
    (root / "var/lib/os-update-agent/ledger.sqlite").write_text("history")

    out = said(capsys, "--root", str(root), "--remove")
    left = tree(root)
    assert "left: /etc/logrotate.d/os-update-agent" in out
    assert {
        "etc/os-update-agent/agent.conf",
        "etc/logrotate.d/os-update-agent",
        "var/lib/os-update-agent/ledger.sqlite",
    } <= set(left)
    assert HOOK not in left and "usr/libexec/os-update-agent/heat-config-notify" not in left


def test_an_operators_file_is_never_touched(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = root / "etc/os-update-agent/agent.conf"
    mode = root / "usr/libexec/os-apply-config/templates/etc/os-collect-config.conf.oac"
    for path in (conf, mode):
        path.parent.mkdir(parents=True)
        path.write_text("mode: 0640\n")
    said(capsys, "--root", str(root))
    said(capsys, "--root", str(root), "--remove")
    assert conf.read_text() == mode.read_text() == "mode: 0640\n"


def test_a_closed_directory_of_the_operator_stays_closed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--root", str(root))
    (root / "etc/os-update-agent").chmod(0o700)
    assert "as it should be: /etc/os-update-agent" in said(capsys, "--root", str(root))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_in_the_way_is_named_before_anything_is_changed(
    root: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    hook = root / HOOK
    hook.parent.mkdir(parents=True)
    if kind == "file":
        hook.write_text("#!/bin/sh\n")
    elif kind == "directory":
        hook.mkdir()
    else:
        hook.symlink_to("/opt/another/hook")
    before = tree(root)

    assert main.main(["install-hook", "--root", str(root)]) == 1
    assert (
        capsys.readouterr().err
        == f"os-update-agent: /{HOOK}: something else is there already; move it away and run the command again\n"
        "next: 'os-update-agent status' says how the node stands\n"
    )
    assert tree(root) == before


def test_an_agent_that_has_moved_takes_its_place_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hook = root / HOOK
    hook.parent.mkdir(parents=True)
    hook.symlink_to("/opt/old/bin/package-update")
    assert f"renewed: /{HOOK}" in said(capsys, "--root", str(root))
    assert os.readlink(hook) == f"{PROGRAMS}/package-update"


def test_where_only_the_old_places_are_the_old_places_are_taken(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "opt/stack/os-config-refresh").mkdir(parents=True)
    said(capsys, "--root", str(root), "--hooks-dir", "/var/lib/heat-config/hooks/")
    assert (root / "opt/stack/os-config-refresh/environment.d/50-os-update-agent.bash").is_file()
    assert not (root / "usr/libexec/os-refresh-config").exists()
    assert (root / "var/lib/heat-config/hooks/package-update").is_symlink()
    assert (root / "usr/libexec/os-apply-config/templates/etc/os-update-agent/agent.conf").is_file()


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--root", "relative"], "--root is 'relative'; it must be the absolute path of a directory"),
        (["--root", "/nowhere/at/all"], "--root is '/nowhere/at/all'; it must be the absolute path of a directory"),
        (["--hooks-dir", "hooks"], "--hooks-dir is 'hooks'; it must be an absolute path inside the root"),
        (["--refresh-dir", "/a/../b"], "--refresh-dir is '/a/../b'; it must be an absolute path inside the root"),
        (["--templates-dir", "/"], "--templates-dir is '/'; it must be an absolute path inside the root"),
    ],
)
def test_nonsense_is_refused_by_name(
    root: Path, capsys: pytest.CaptureFixture[str], argv: List[str], text: str
) -> None:
    before = tree(root)
    assert main.main(["install-hook", "--root", str(root), *argv]) == 2
    told = (
        f"os-update-agent: {text}\nnext: 'os-update-agent install-hook --help' says what can be given; nothing was"
        " done\n"
    )
    assert capsys.readouterr().err == told
    assert tree(root) == before


def test_without_the_agent_the_results_go_by_upstreams_program(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "--root", str(root))
    upstream = tmp_path / "heat-config-notify"
    upstream.write_text('#!/bin/sh\necho "upstream: $1"\n')
    upstream.chmod(0o755)
    ours = (root / "usr/libexec/os-update-agent/heat-config-notify").read_text().replace(PROGRAMS, "/nowhere")
    done = subprocess.run(
        ["sh", "-c", ours, "sh", "a.json"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.stdout == "upstream: a.json\n"


def test_a_link_out_of_the_root_is_not_followed(
    root: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "etc").symlink_to(outside)
    assert main.main(["install-hook", "--root", str(root)]) == 1
    assert f"leads to {outside}" in capsys.readouterr().err
    assert list(outside.iterdir()) == []


def test_the_hook_comes_last_because_deployments_arrive_from_then_on() -> None:
    texts = {name: "" for name in target.files()} | {"os-update-agent.8": "", "completion.bash": ""}
    items = layout(Places(), Tree(f"{HOME}/code/1", {}), texts)
    assert items[-1] == Link("/usr/libexec/heat-config/hooks/package-update", f"{PROGRAMS}/package-update")
    assert len({item.path for item in items}) == len(items)


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    item = File("/etc/thing", "new")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/thing").write_text("old")
    before = (tmp_path / "etc/thing").open()
    place.put(tmp_path, item)
    assert before.read() == "old" and (tmp_path / "etc/thing").read_text() == "new"
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["thing"]
