"""Real processes, and how they end."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Iterator

import pytest

from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.process import Completed, environment, run, run_to_file, uninterrupted


@pytest.fixture
def output(tmp_path: Path) -> Iterator[IO[bytes]]:
    with open(tmp_path / "log", "ab", buffering=0) as file:
        yield file


def text(output: IO[bytes]) -> str:
    return Path(output.name).read_text(encoding="utf-8")


def test_a_process_that_ends_well() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2"]) == Completed(
        ("sh", "-c", "echo out; echo err >&2"), 0, "out\n", "err\n"
    )


def test_an_exit_status_that_was_not_expected_is_named_with_the_last_words() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "echo out; for n in 1 2 3 4 5 6 7; do echo $n >&2; done; exit 3"])
    assert str(caught.value) == "sh ended with exit status 3: 3\n4\n5\n6\n7"


def test_an_exit_status_that_is_allowed_is_an_answer() -> None:
    assert run(["sh", "-c", "exit 100"], ok=(0, 100)).returncode == 100
    assert run(["sh", "-c", "exit 3"], ok=None).returncode == 3
    with pytest.raises(CommandFailed):
        run(["true"], ok=(1,))


def test_a_process_that_a_signal_ended_has_a_negative_status() -> None:
    with pytest.raises(CommandFailed, match="exit status -9: no output"):
        run(["sh", "-c", "kill -9 $$"])


@pytest.mark.parametrize(("stdout", "stderr", "tail"), [
    ("", "", "no output"), ("out\n", "\n", "out"), ("out\n", "err\n", "err"),
    ("1\n2\n3\n4\n5\n6\n", "", "2\n3\n4\n5\n6"),
])  # fmt: skip
def test_the_tail_is_what_a_person_wants_to_read(stdout: str, stderr: str, tail: str) -> None:
    assert Completed(("x",), 1, stdout, stderr).tail == tail


@pytest.mark.parametrize("argv", [["/no/such/program"], ["no-such-program-anywhere"], ["/"], ["true", "a\0b"]])
def test_what_cannot_be_started_is_a_sentence(argv: "list[str]", output: IO[bytes]) -> None:
    with pytest.raises(CommandFailed, match=f"cannot start {argv[0]}: "):
        run(argv)
    with pytest.raises(CommandFailed, match=f"cannot start {argv[0]}: "):
        run_to_file(argv, output)


def test_there_is_no_shell(tmp_path: Path) -> None:
    assert run(["echo", f"; touch {tmp_path}/x", "$HOME", "`id`"]).stdout == f"; touch {tmp_path}/x $HOME `id`\n"
    assert not (tmp_path / "x").exists()


def test_nothing_can_be_asked(output: IO[bytes]) -> None:
    assert run(["cat"]).stdout == ""
    assert run(["cat"], stdin="given\n").stdout == "given\n"
    run_to_file(["cat"], output)
    assert text(output) == ""


def test_bytes_that_are_no_text_do_not_stop_the_reading() -> None:
    assert run(["printf", r"a\377b"]).stdout == "a\ufffdb"


def test_children_speak_the_c_locale_and_get_what_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("KEPT", "yes")
    assert run(["sh", "-c", "echo $LC_ALL/$LANGUAGE/$KEPT/$TOLD"], env={"TOLD": "x"}).stdout == "C.UTF-8//yes/x\n"
    assert environment({"LC_ALL": "C"})["LC_ALL"] == "C"


def test_what_children_write_is_not_as_private_as_what_we_write(output: IO[bytes]) -> None:
    before = os.umask(0o077)
    try:
        assert run(["sh", "-c", "umask"]).stdout == "0022\n"
        run_to_file(["sh", "-c", "umask"], output)
    finally:
        os.umask(before)
    assert text(output) == "0022\n"


def test_a_process_may_have_a_directory_of_its_own(tmp_path: Path) -> None:
    assert run(["pwd", "-P"], cwd=tmp_path).stdout.strip() == str(tmp_path.resolve())


def test_both_outputs_go_to_the_file_in_their_order(output: IO[bytes]) -> None:
    output.write(b"before\n")
    done = run_to_file(["sh", "-c", "echo one; echo two >&2; echo three"], output)
    assert (done.returncode, text(output)) == (0, "before\none\ntwo\nthree\n")


def test_a_file_run_that_fails_is_named(output: IO[bytes]) -> None:
    with pytest.raises(CommandFailed, match="sh ended with exit status 7"):
        run_to_file(["sh", "-c", "exit 7"], output)
    assert run_to_file(["sh", "-c", "exit 7"], output, ok=None).returncode == 7


def test_a_child_gets_the_descriptors_that_it_needs_and_no_others(tmp_path: Path, output: IO[bytes]) -> None:
    with open(tmp_path / "status", "w+b") as status, open(tmp_path / "other", "w+b") as other:
        run_to_file(["sh", "-c", f"echo hello >/proc/self/fd/{status.fileno()}"], output, pass_fds=[status.fileno()])
        status.seek(0)
        assert status.read() == b"hello\n"
        assert run_to_file(["sh", "-c", f"test -e /proc/$$/fd/{other.fileno()}"], output, ok=None).returncode == 1


def test_a_timeout_kills_the_whole_group(tmp_path: Path, output: IO[bytes]) -> None:
    begun = time.monotonic()
    with pytest.raises(CommandFailed, match=r"sh was ended after 0\.3 s"):
        run_to_file(["sh", "-c", f"(sleep 2; touch {tmp_path}/late) & sleep 60"], output, timeout=0.3)
    assert time.monotonic() - begun < 20
    time.sleep(2.3)
    assert not (tmp_path / "late").exists()


def test_a_child_is_not_reached_by_a_hang_up_of_our_terminal(output: IO[bytes]) -> None:
    run_to_file(["sh", "-c", "ps -o sid= -p $$ | tr -d ' '"], output)
    assert int(text(output)) != os.getsid(0)


WORK = """
import os, signal, sys, time
from os_update_agent.node.process import uninterrupted
# Whoever runs the tests in the background has them ignore some of these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
try:
    with uninterrupted():
        print("inside", flush=True)
        sys.stdin.readline()
        print("done", flush=True)
    time.sleep(30)
    print("never", flush=True)
except KeyboardInterrupt:
    print("interrupted afterwards", flush=True)
"""


@pytest.mark.parametrize(("number", "said", "status"), [
    (signal.SIGTERM, "done\n", -signal.SIGTERM),
    (signal.SIGHUP, "done\n", -signal.SIGHUP),
    (signal.SIGINT, "done\ninterrupted afterwards\n", 0),
])  # fmt: skip
def test_a_signal_waits_for_the_end_of_the_block(number: int, said: str, status: int) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WORK], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(number)
        time.sleep(0.3)
        assert process.poll() is None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.read() == said
        assert process.wait(20) == status


def test_without_a_signal_everything_is_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(ZeroDivisionError), uninterrupted():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_thread_cannot_put_off_signals_and_works_all_the_same() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_what_a_child_is_told_in_its_environment_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(CommandFailed) as caught:
        run(["false"], env={"PASSWORD": "made-up-pass-word"}, stdin="made-up-pass-word")
    assert "made-up-pass-word" not in caplog.text + str(caught.value)


def test_a_question_that_is_not_answered_has_an_end() -> None:
    begun = time.monotonic()
    with pytest.raises(CommandFailed, match=r"sleep has not answered within 0\.2 s and was ended"):
        run(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - begun < 30
