"""What is read of files, programs, and documents costs a bounded amount of memory, disk, and time. Errors name the
limit, and what was found.
"""

import json
import os
import socket
import sys
import threading
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

from ledger.stored import ask, old_ledger
from os_update_agent.config.bounded_files import FILE_LIMIT, read_bytes, read_text
from os_update_agent.config.settings import load
from os_update_agent.delivery import notify, result
from os_update_agent.heat import deployed_files, deployment, metadata
from os_update_agent.ledger import FULL_EVERY, Ledger
from os_update_agent.model.bounded_json import DEPTH_LIMIT, TooLarge, read_json
from os_update_agent.model.errors import BadDeployment, BadOption, Damaged, LedgerError
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.model.runs import Run
from os_update_agent.node import hook_dirs
from os_update_agent.node.process import Completed, TooMuchOutput, run_to_file
from os_update_agent.packages import printed
from os_update_agent.packages.worker import wire

MIB = 1 << 20


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Fail if the block has more bytes of memory at one moment."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < count, f"{peak >> 20} MiB"


def sparse(path: Path, size: int, end: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        file.write(end)
    path.chmod(0o600)
    return path


# --- files


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\r\nb\r" + b"x" * (FILE_LIMIT - 5))
    assert len(read_bytes(path)) == FILE_LIMIT
    assert read_text(path).startswith("a\nb\nx")
    path.write_bytes(b"x" * (FILE_LIMIT + 1))
    with pytest.raises(OSError, match=rf"is longer than 1 MiB \(it has {FILE_LIMIT + 1} bytes\)"):
        read_bytes(path)
    with at_most(2 * MIB), pytest.raises(OSError, match="longer than 1 MiB"):
        read_bytes(sparse(path, 400 * MIB))
    with at_most(4 * MIB), pytest.raises(OSError, match="longer than 1 MiB"):
        read_bytes(Path("/dev/zero"))
    assert read_bytes(Path("/dev/null")) == b""
    assert b"MemTotal" in read_bytes(Path("/proc/meminfo"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: os.mkfifo(path), "is a FIFO"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "No such device"),
    ],
)
def test_only_a_file_is_read(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "it")
    with pytest.raises(OSError, match=words):
        read_bytes(tmp_path / "it")


def test_a_configuration_file_of_any_length_or_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"the configuration file .*agent.conf cannot be read: is longer than 1 MiB"):
        load(str(sparse(tmp_path / "agent.conf", 400 * MIB)))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadOption, match="fifo cannot be read: is a FIFO"):
        load(str(tmp_path / "fifo"))
    (tmp_path / "nul").write_text("[paths]\nstate = /a\0b\n", encoding="utf-8")
    with pytest.raises(BadOption, match="without quotes and control characters"):
        load(str(tmp_path / "nul"))


def test_lists_and_copies_of_heat_config_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = sparse(tmp_path / "c1.json", 400 * MIB)
    monkeypatch.setenv("HEAT_SHELL_CONFIG", str(large))
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(tmp_path))
    with at_most(MIB):
        assert metadata.overtaken_on_arrival("c1") is None
        deployed_files.forget_signal("c1")
    assert large.stat().st_size == 400 * MIB


def test_a_collector_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "os-collect-config"
    program.write_text("#!/bin/sh\nexec yes 0123456789\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(metadata, "LIST_LIMIT", MIB)
    (tmp_path / "collect.conf").write_text("[heat]\n", encoding="utf-8")
    start = time.monotonic()
    assert metadata.is_current("c1", ("s", "r"), tmp_path / "collect.conf") is None
    assert time.monotonic() - start < 10


# --- programs and logs


def test_a_program_that_writes_more_than_it_may_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w+b") as output:
        with pytest.raises(TooMuchOutput, match="yes was ended because it wrote more than 2 MiB"):
            run_to_file(["yes"], output, longest=2 * MIB)
        with pytest.raises(TooMuchOutput):
            run_to_file(["head", "-c", str(3 * MIB), "/dev/zero"], output, longest=2 * MIB)
        assert run_to_file(["true"], output, longest=MIB).returncode == 0
    assert path.stat().st_size < 1 << 31


def test_a_step_that_prints_without_end_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = tmp_path / "health.d"
    steps.mkdir(mode=0o755)
    (steps / "10-loud").write_text("#!/bin/sh\nexec yes made up\n", encoding="utf-8")
    (steps / "10-loud").chmod(0o755)
    monkeypatch.setattr(hook_dirs, "OUTPUT_LIMIT", MIB)
    with (tmp_path / "log").open("wb") as output, pytest.raises(hook_dirs.StepFailed) as failed:
        hook_dirs.run_steps(steps, environment={}, output=output, timeout=60, is_trial=True)
    assert "step health.d/10-loud" in str(failed.value) and "because it wrote more than 1 MiB: " in str(failed.value)


def test_the_tail_of_an_output_is_short() -> None:
    done = Completed(("x",), 1, "", "a" * MIB + "\n" + "b" * MIB)
    assert len(done.tail) < 20_000


def test_a_log_of_any_length_is_read_in_little_memory(tmp_path: Path) -> None:
    lines = b"\n2026-11-30T10:00:00Z === transact\nother\ncomplaint: one\n" + b"x" * MIB + b"\ncomplaint: two\n"
    log = sparse(tmp_path / "log", 300 * MIB, lines)
    with at_most(MIB):
        assert printed.telling_lines(str(log), "=== transact") == "complaint: one\ncomplaint: two\n"
        assert printed.telling_lines(str(log), "=== verify") == ""
    with at_most(16 * MIB):
        said = printed.printed_since(str(log), 10)
    assert said.endswith("complaint: two\n") and len(said) <= printed.PRINTED_LIMIT + 1
    assert printed.printed_since(str(log), 300 * MIB).startswith("\n2026")
    large = sparse(tmp_path / "large", 5 << 30, b"the end")
    with at_most(MIB):
        assert result._tail(large).endswith("the end")


def test_a_line_of_dnfs_worker_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINE_LIMIT", MIB)
    ours, theirs = socket.socketpair()

    def write() -> None:
        with theirs:
            try:
                while True:
                    theirs.sendall(b"x" * 65536)
            except OSError:
                pass

    thread = threading.Thread(target=write)
    thread.start()
    with ours, pytest.raises(ValueError, match="longer than 1 MiB"):
        wire.receive_reply(ours)
    thread.join()


# --- documents


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [DEPTH_LIMIT + 1, 900, 100_000])
def test_json_is_read_up_to_a_depth(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    with pytest.raises(TooLarge, match=f"is nested deeper than {DEPTH_LIMIT} levels"):
        read_json(opening * depth + "1" + closing * depth, MIB)
    assert read_json(opening * DEPTH_LIMIT + "1" + closing * DEPTH_LIMIT, MIB)


@pytest.mark.parametrize("place", ["inputs", "config", "options", "outputs", "id", "name"])
@pytest.mark.parametrize("depth", [200, 2000, 50_000])
def test_a_deployment_of_any_depth_is_refused_in_words(place: str, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    text = f'{{"id": "c", "{place}": {nested}, "inputs": [{{"name": "deploy_action", "value": "UPDATE"}}]}}'
    if place == "inputs":
        text = f'{{"id": "c", "inputs": [{{"name": "x", "value": {nested}}}]}}'
    with pytest.raises(BadDeployment, match="nested deeper than 100 levels"):
        deployment.parse(text)


def test_a_result_of_another_hook_that_is_too_large_is_a_failure_that_says_so() -> None:
    body = json.loads(notify._body(b'{"deploy_stdout": ' + b"[" * 5000 + b"]" * 5000 + b"}"))
    assert "nested deeper than 100 levels" in body["deploy_stderr"] and body["deploy_status_code"] == 1
    body = json.loads(notify._body(b'"' + b"x" * (notify.RESULT_LIMIT + 1)))
    assert "longer than 64 MiB" in body["deploy_stderr"]


def test_a_packed_state_of_any_size_is_damaged(tmp_path: Path) -> None:
    path = old_ledger(tmp_path)
    bomb = zlib.compress(b"+" + b"x" * (200 * MIB), 1)
    ask(path, "UPDATE states SET body = ? WHERE id = 1", bomb)
    ledger = Ledger(path)
    with at_most(200 * MIB), pytest.raises(Damaged, match=r"state 1 cannot be unpacked: .* longer than 64 MiB"):
        ledger.state(1)
    ask(path, "UPDATE states SET body = ? WHERE id = 1", zlib.compress(b"+a\tb\tc")[:-3])
    with pytest.raises(Damaged, match="state 1 cannot be unpacked"):
        ledger.state(1)
    ledger.close()


def test_a_chain_of_deltas_has_an_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for version in range(2 * FULL_EVERY):
        number = ledger.put_state(PackageState("apt", "amd64", (Package("a", "all", str(version)),) * 1))
    ask(tmp_path / "ledger.sqlite", "UPDATE states SET base = id - 1 WHERE id > 1")
    fresh = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(Damaged, match="whose base is not older or too far away"):
        fresh.state(number)
    fresh.close()
    ledger.close()


def test_a_record_that_could_not_be_read_again_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_update_agent.model import documents

    ledger = Ledger(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(documents, "DOCUMENT_LIMIT", MIB)
    with pytest.raises(LedgerError, match=r"takes no record that is longer than 1 MiB \(it has"):
        ledger.open_run(Run(0, "k", "v", "update", "check", 1.0, failure="x" * MIB))
    assert ledger.runs() == ()
    ledger.close()
