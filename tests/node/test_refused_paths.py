"""What another user may have prepared stays as it is, is not obeyed, and is not waited for, also after the refusal."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from os_update_agent.cli import main
from os_update_agent.config.settings import Settings, load
from os_update_agent.model.errors import AgentError
from os_update_agent.node.locks import check_lock
from os_update_agent.node.permissions import make_private
from os_update_agent.runtime.context import note_told, trusted_certificate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory of another user, with a link of that user to a directory of root."""
    (tmp_path / "victim").mkdir(mode=0o755)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "os-update-agent").symlink_to(tmp_path / "victim")
    os.lchown(foreign / "os-update-agent", NOBODY, NOBODY)
    os.chown(foreign, NOBODY, NOBODY)
    return foreign


def assert_untouched(foreign: Path) -> None:
    victim = foreign.parent / "victim"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755 and list(victim.iterdir()) == []
    assert [path.name for path in foreign.iterdir()] == ["os-update-agent"]


@pytest.mark.parametrize("name", ["os-update-agent", "os-update-agent/run", "run"])
def test_no_note_is_left_below_a_directory_of_another_user(foreign: Path, name: str) -> None:
    note_told(Settings(root=foreign.parent, run=foreign / name), "c1")
    assert_untouched(foreign)


def test_a_link_does_not_become_private(foreign: Path) -> None:
    with pytest.raises(AgentError, match="cannot be made or kept private"):
        make_private(foreign / "os-update-agent")
    assert_untouched(foreign)


def test_settings_that_others_may_write_choose_no_certificate(tmp_path: Path) -> None:
    conf = tmp_path / "agent.conf"
    conf.write_text(f"[node]\nroot = {tmp_path}\n[signal]\nca_certificate = /tmp/other.pem\n", encoding="utf-8")
    conf.chmod(0o666)
    assert trusted_certificate(load(str(conf))) is None
    conf.chmod(0o644)
    assert trusted_certificate(load(str(conf))) == "/tmp/other.pem"


@pytest.mark.parametrize("fault", ["mode", "owner", "pipe"])
def test_the_completion_of_roots_shell_neither_obeys_nor_waits(
    tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state, conf = tmp_path / "state", tmp_path / "agent.conf"
    state.mkdir(mode=0o700)
    conf.write_text(f"[node]\nroot = {tmp_path}\n[paths]\nstate = {state}\n", encoding="utf-8")
    if fault == "mode":
        conf.chmod(0o666)
    elif fault == "owner":
        os.chown(state, NOBODY, NOBODY)
    else:
        os.mkfifo(state / "ledger.sqlite")
    assert main.main(["--config", str(conf), "completion", "keys"]) == 0
    assert capsys.readouterr().out == ""


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker.lock").mkdir()
    with pytest.raises(AgentError, match=r"worker\.lock cannot be opened"):
        check_lock(tmp_path / "worker.lock")


@pytest.mark.parametrize(("argv", "output", "status"), [
    ([str(CHECKOUT / "hooks/package-update")], "stderr", 0),
    (["-m", "os_update_agent", "--version"], "stdout", 1),
    (["-m", "os_update_agent", "--help"], "stdout", 1),
])  # fmt: skip
def test_a_full_stream_gives_a_true_exit_status(tmp_path: Path, argv: "list[str]", output: str, status: int) -> None:
    conf = tmp_path / "agent.conf"
    conf.write_text(f"[node]\nroot = {tmp_path}\n", encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT / "agent"), "OS_UPDATE_AGENT_CONFIG": str(conf),
    }  # fmt: skip
    with open("/dev/full", "wb") as full:
        streams: Dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, output: full}
        done = subprocess.run([sys.executable, *argv], input=b"{}", env=environment, cwd="/", check=False, **streams)
    assert done.returncode == status
    assert output == "stdout" or b'"deploy_status_code": 2' in done.stdout
