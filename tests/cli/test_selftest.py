"""The selftest with the real package managers, and failures that are made real."""

import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterator, Tuple

import pytest

from cli.documents import documented, names_in
from os_update_agent.cli import main
from os_update_agent.config.settings import Settings, load
from os_update_agent.model.errors import PackageError
from os_update_agent.node.process import run
from os_update_agent.packages.apt.repositories import PYTHON
from os_update_agent.selftest import apt_checks, node_checks, questions, rehearsal, rpm_checks
from os_update_agent.selftest.examine import Check, examine
from os_update_agent.selftest.findings import Finding, ok
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.scene import Scene
from packages import sid
from packages.node import CHECKOUT

PROBE = CHECKOUT / "agent/os_update_agent/selftest/probe.py"


@pytest.fixture(params=["apt", "dnf"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver, request.param)


@pytest.fixture
def apt(tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver, "apt")


@pytest.fixture
def dnf(tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver, "dnf")


def tree(directory: Path) -> Dict[str, Tuple[int, int, int, bytes]]:
    """Every path with its mode, owner, time of change, and content."""
    found = {}
    for path in directory.rglob("*"):
        looks = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(looks.st_mode) else b""
        found[str(path)] = (looks.st_mode, looks.st_uid, looks.st_mtime_ns, content)
    return found


def finding(scene: Scene, name: str) -> Finding:
    """Run one check of the scene's node."""
    settings: Settings = load(str(scene.agent_conf))
    work = scene.directory / "generated"
    work.mkdir(exist_ok=True)
    own = apt_checks.checks(settings, work) if scene.backend == "apt" else rpm_checks.checks(settings, "dnf")
    (check,) = (one for one in (*node_checks.checks(settings), *own) if one.name == name)
    return next(examine([check], 60.0)).finding


def test_the_selftest_finds_a_good_node_and_changes_nothing(
    scene: Scene, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = tree(scene.directory)
    status = main.main(["--config", str(scene.agent_conf), "selftest", "--json"])
    after = tree(scene.directory)
    found = json.loads(capfd.readouterr().out)
    results = {one["check"]: one["result"] for one in found["checks"]}
    assert (status, results["rehearsal"], results["bindings"]) == (0, "ok", "ok"), found
    assert set(found) - {"schema"} == documented("selftest")
    readme = (CHECKOUT / "README.rst").read_text(encoding="utf-8")
    assert [name for name in names_in(found) if f"``{name}``" not in readme] == []
    assert sum(found["results"].values()) == len(found["checks"]) > 12
    # The directory of the rehearsal is gone; the time of the directory that it was in has changed.
    # SQLite's readers change the shared memory of the database; "rpm -q" does so, too.
    beside = {str(temporary), str(scene.root / "var/lib/rpm/rpmdb.sqlite-shm")}
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} <= beside


def test_a_mode_that_is_too_wide_is_a_failure_and_the_exit_status_says_so(
    apt: Scene, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "rehearse", lambda *_, **__: ok("left out here"))
    state = apt.directory / "state"
    state.mkdir()
    state.chmod(0o777)
    assert main.main(["--config", str(apt.agent_conf), "selftest"]) == 1
    said = capfd.readouterr().out
    assert f"failed       owners and modes: {state}" in said and "mode 0777) can be written by everybody" in said
    assert "next: correct the owner or the mode of that path" in said
    assert "ok           bindings: apt_pkg" in said


def test_a_setting_of_apt_that_is_refused(apt: Scene) -> None:
    assert finding(apt, "apt.conf").result == "ok"
    conf = apt.root / "etc/apt/apt.conf.d/90"
    conf.write_text('DPkg::Options { "--no-such-option"; };\n', encoding="utf-8")
    found = finding(apt, "apt.conf")
    assert found.result == "failed" and "unknown option --no-such-option" in found.found
    conf.write_text('APT::Get::Download-Only "true";\n', encoding="utf-8")
    assert "Download-Only" in finding(apt, "apt.conf").found


def test_an_interrupted_dpkg_and_a_database_that_cannot_be_read(apt: Scene) -> None:
    admin = apt.root / "var/lib/dpkg"
    assert finding(apt, "dpkg's database").found.startswith("6 packages; 0 files")
    status = admin / "status"
    text = status.read_text(encoding="utf-8")
    status.write_text(text.replace("ok installed", "ok half-installed", 1), encoding="utf-8")
    found = finding(apt, "dpkg's database")
    assert found.result == "attention" and "not completely installed: clock" in found.found
    status.write_text("nonsense\n", encoding="utf-8")
    assert finding(apt, "dpkg's database").result == "failed"


def test_a_database_of_rpm_that_cannot_be_read(dnf: Scene) -> None:
    database = dnf.root / "var/lib/rpm"
    assert finding(dnf, "rpm's database").found == f"{database} (sqlite), 6 packages"
    (database / "rpmdb.sqlite").write_bytes(b"nonsense" * 1000)
    assert finding(dnf, "rpm's database").result == "failed"
    shutil.rmtree(database)
    assert finding(dnf, "rpm's database").found == f"{database} has no database"
    # rpm would have made one.
    assert not database.exists()


def test_dnfs_plugins_and_the_kernel_choice(dnf: Scene) -> None:
    assert "left out by the agent: " in finding(dnf, "dnf's plugins").found
    assert "show_leaves" in finding(dnf, "dnf's plugins").found
    place = dnf.root / "etc/sysconfig"
    place.mkdir()
    (place / "kernel").write_text("# chosen\nUPDATEDEFAULT=no\n", encoding="utf-8")
    assert finding(dnf, "kernel of the next boot").result == "attention"
    streams = dnf.root / "etc/dnf/modules.d"
    streams.mkdir(exist_ok=True)
    (streams / "perl.module").write_text("[perl]\nstream=5.26\nstate=enabled\n", encoding="utf-8")
    assert "without kept metadata (modulefailsafe): perl:5.26" in finding(dnf, "module streams").found


@pytest.mark.parametrize(("manager", "module"), [("apt", "apt_pkg"), ("dnf", "hawkey")])
def test_a_module_that_the_workers_python_lacks(tmp_path: Path, manager: str, module: str) -> None:
    """The same Python without the distribution's packages: a virtual environment."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    found = questions.probe(str(tmp_path / "bare/bin/python3"), manager)
    assert found.errors[module] == f"ModuleNotFoundError: No module named '{module}'"
    assert questions.probe(PYTHON, manager).errors == {}


def test_a_python_that_does_not_answer() -> None:
    with pytest.raises(PackageError, match="/bin/false ended with 1 while it loaded the worker"):
        questions.probe("/bin/false", "apt")


def test_the_rehearsal_is_left_out_without_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("dnf", "rpm"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = rehearsal.rehearse("dnf", tmp_path, is_root=True)
    assert found.result == "not checked" and "rpmbuild and createrepo_c" in found.found
    assert "rpm-build" in found.advice


def test_a_check_that_raises_or_hangs_does_not_end_the_others() -> None:
    def raises() -> Finding:
        raise ValueError("no number")

    def asks() -> Finding:
        run(["sleep", "60"], timeout=0.1)
        return ok("")

    def hangs() -> Finding:
        time.sleep(5)
        return ok("")

    checks = [Check("a", raises), Check("b", asks), Check("c", hangs, 0.1), Check("d", lambda: ok("fine"))]
    found = [one.finding for one in examine(checks, 60.0)]
    assert [one.result for one in found] == ["failed", "not checked", "not checked", "ok"]
    assert found[0].found == "ValueError: no number" and "has not answered within 0.1 s" in found[1].found
    assert [one.finding.result for one in examine(checks, 0.0)] == ["not checked"] * 4


def test_dnf5_loads_in_its_own_root() -> None:
    sid.needed()
    done = subprocess.run(
        [*sid.enter(), PYTHON, "-I", "-B", str(PROBE), "dnf5"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    found = json.loads(done.stdout)
    assert found["errors"] == {} and set(found["versions"]) > {"libdnf5", "rpm"}
