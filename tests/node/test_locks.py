"""Locks that real processes hold."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from os_update_agent.model.errors import AgentError, Busy
from os_update_agent.node.locks import (
    claim,
    holder,
    is_held,
    node_holder,
    node_lock,
    note_in,
    process_name,
    shared_lock,
    try_lock,
    wait_until_free,
)

HOLD_NODE = """
import sys
from pathlib import Path
from os_update_agent.node.locks import node_lock
with node_lock(Path(sys.argv[1]), doing="deployment 4711 (UPDATE)", timeout=5):
    print("held", flush=True)
    sys.stdin.readline()
"""
HOLD_RECORD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held(program: str, path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the lock until its standard input says something or it is killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def let_go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def free(path: Path) -> None:
    with node_lock(path, doing="test", timeout=10):
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "lock"


def test_the_lock_is_made_for_its_owner_only(path: Path) -> None:
    with node_lock(path, doing="test", timeout=0):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_holder_is_named_after_the_timeout(path: Path) -> None:
    with held(HOLD_NODE, path) as process:
        begun = time.monotonic()
        with pytest.raises(Busy) as caught, node_lock(path, doing="test", timeout=0.3):
            raise AssertionError("the lock is held by somebody else")
        assert time.monotonic() - begun >= 0.3
        assert f"deployment 4711 (UPDATE) (process {process.pid})" in str(caught.value)
        assert "waited 0.3 s" in str(caught.value)
        assert caught.value.exit_status == 75


def test_a_lock_that_comes_free_is_taken(path: Path) -> None:
    with held(HOLD_NODE, path) as process:
        let_go(process)
        free(path)


def test_a_holder_that_is_killed_holds_nothing(path: Path) -> None:
    with held(HOLD_NODE, path) as process:
        process.kill()
        process.wait()
        free(path)
        assert node_holder(path) is None


def test_the_lock_can_be_taken_again_and_again(path: Path) -> None:
    for _ in range(3):
        free(path)
    with pytest.raises(ZeroDivisionError), node_lock(path, doing="test", timeout=0):
        raise ZeroDivisionError
    free(path)


def test_a_thread_of_the_same_process_has_to_wait_too(path: Path) -> None:
    with (
        node_lock(path, doing="first", timeout=0),
        pytest.raises(Busy, match="first"),
        node_lock(path, doing="second", timeout=0),
    ):
        pass


def test_who_holds_the_lock_can_be_asked(path: Path) -> None:
    assert node_holder(path) is None
    with held(HOLD_NODE, path) as process:
        assert node_holder(path) == f"deployment 4711 (UPDATE) (process {process.pid})"


def test_any_number_can_share_a_lock_that_tells_that_somebody_is_there(path: Path) -> None:
    assert not is_held(path)
    with shared_lock(path, 7):
        with shared_lock(path, 7):
            assert is_held(path, 7)
        assert is_held(path, 7) and not is_held(path, 8)
    assert not is_held(path, 7)


def test_each_byte_is_a_lock_and_the_whole_file_is_all_of_them(path: Path) -> None:
    with try_lock(path, 0) as first, try_lock(path, 1) as second, try_lock(path, 0) as again, try_lock(path) as whole:
        assert (first, second, again, whole) == (True, True, False, False)
    with try_lock(path) as whole, try_lock(path, 2**33) as far:
        assert (whole, far, is_held(path), is_held(path, 2**33)) == (True, False, True, True)


def test_the_last_holder_s_note_stays(path: Path) -> None:
    assert note_in(path) == ""
    with try_lock(path, 0, note="a longer one"), try_lock(path, 0, note="not mine"):
        assert note_in(path) == "a longer one"
    with try_lock(path, 0, note="short"):
        pass
    assert note_in(path) == "short"


HOLD_CLAIM = """
import sys
from pathlib import Path
from os_update_agent.node.locks import claim
with claim(Path(sys.argv[1]), 7, stale=60.0) as other:
    assert other is None
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_claim_is_not_waited_for_and_names_its_holder(path: Path) -> None:
    with held(HOLD_CLAIM, path) as process:
        with claim(path, 7, stale=60.0) as other:
            assert other is not None and other.pid == process.pid and 0 <= other.age < 30
        with claim(path, 8, stale=60.0) as other:
            assert other is None
        process.kill()
        process.wait()
        with claim(path, 7, stale=60.0) as other:
            assert other is None


def test_a_claim_of_a_stopped_process_ends_with_its_time_and_one_other_takes_its_place(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held(HOLD_CLAIM, path) as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        time.sleep(0.3)
        with held(HOLD_CLAIM.replace("60.0", "0.2"), path) as second, claim(path, 7, stale=0.2) as third:
            assert third is not None and third.pid == second.pid
        assert f"(process {stopped.pid})" in caplog.text and "so it does not count" in caplog.text


def test_a_claim_without_a_record_is_new(path: Path) -> None:
    """A full disk takes none, and a killed holder leaves an old one."""
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(10_000))
    with held(HOLD_CLAIM, path) as process:
        path.write_bytes(bytes(10_000))
        with claim(path, 7, stale=1.0) as other:
            assert other is not None and (other.pid, other.age) == (process.pid, 0.0)


def test_a_note_that_a_full_disk_does_not_take_leaves_the_lock(path: Path) -> None:
    full = path.with_name("full")
    full.parent.mkdir(exist_ok=True)
    os.mknod(full, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    with node_lock(full, doing="deployment 4711 (UPDATE)", timeout=0.0), try_lock(path, 0) as other:
        assert other


def test_a_note_that_cannot_be_read_is_no_failure(path: Path) -> None:
    with held(HOLD_NODE, path):
        for text in ("", "no json", "[]", "{}", '"x"', "null"):
            path.write_text(text)
            assert node_holder(path) == "a process that has not said what it does"


def test_a_place_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(AgentError, match="cannot be opened: "),
        node_lock(tmp_path / "file" / "lock", doing="x", timeout=0),
    ):
        pass


def test_a_record_lock_names_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock-frontend"
    path.touch()
    assert holder(path) == 0
    with held(HOLD_RECORD, path) as process:
        assert holder(path) == process.pid
        assert process_name(process.pid).startswith("python")
        with pytest.raises(Busy, match=rf"lock-frontend is held by python\S* \(process {process.pid}\); waited 0.2 s"):
            wait_until_free([tmp_path / "other", path], timeout=0.2)


def test_a_record_lock_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with held(HOLD_RECORD, path) as process:
        let_go(process)
        wait_until_free([path], timeout=10)
        assert holder(path) == 0


def test_a_lock_file_that_is_not_there_is_free(tmp_path: Path) -> None:
    wait_until_free([tmp_path / "nowhere", tmp_path / "no" / "where"], timeout=0)


def test_looking_at_a_record_lock_does_not_lock_and_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with held(HOLD_RECORD, path):
        begun = time.monotonic()
        assert holder(path)
        assert time.monotonic() - begun < 5
    with held(HOLD_RECORD, path):
        assert holder(path)


def test_a_process_that_is_gone_is_a_process() -> None:
    assert process_name(2**22 + 1) == "a process"
