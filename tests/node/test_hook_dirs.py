import os
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping, Optional

import pytest

from os_update_agent.node.hook_dirs import StepFailed, check_steps, run_steps, step_environment

TIMEOUT = 30.0

Step = Callable[..., Path]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "pre-update.d"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def step(directory: Path) -> Iterator[Step]:
    def write(name: str, body: str = "echo $0 | sed s,.*/,ran:,", mode: int = 0o755) -> Path:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(mode)
        return path

    yield write


class Log:
    """A run's log as the agent opens it: for appending only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("earlier\n", encoding="utf-8")

    def run(self, directory: Path, timeout: float = TIMEOUT, environment: Optional[Mapping[str, str]] = None) -> str:
        with open(self.path, "ab") as output:
            run_steps(directory, environment=environment or {}, output=output, timeout=timeout, is_trial=True)
        return self.text()

    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "run.log")


def failure(log: Log, directory: Path, timeout: float = TIMEOUT) -> str:
    with pytest.raises(StepFailed) as caught:
        log.run(directory, timeout)
    return str(caught.value)


def test_steps_run_in_the_order_of_their_names_below_a_line_each(directory: Path, step: Step, log: Log) -> None:
    for name in ("20-b", "10-a", "a b;c"):
        step(name)
    assert log.run(directory) == (
        "earlier\n--- pre-update.d/10-a\nran:10-a\n--- pre-update.d/20-b\nran:20-b\n--- pre-update.d/a b;c\nran:a b;c\n"
    )


def test_no_directory_is_no_steps(tmp_path: Path, log: Log) -> None:
    assert log.run(tmp_path / "nowhere.d") == "earlier\n"


def test_a_link_to_an_executable_is_a_step(tmp_path: Path, directory: Path, step: Step, log: Log) -> None:
    target = step("x").rename(tmp_path / "elsewhere")
    (directory / "10-link").symlink_to(target)
    assert "ran:10-link\n" in log.run(directory)


@pytest.mark.parametrize(
    "name", [".hidden", "10-a~", "10-a.dpkg-old", "10-a.dpkg-dist", "10-a.rpmnew", "10-a.rpmsave", "10-a.bak"]
)
def test_what_editors_and_package_managers_leave_behind_is_not_run(
    name: str, directory: Path, step: Step, log: Log
) -> None:
    step(name)
    assert log.run(directory) == "earlier\n"


def test_what_cannot_be_run_is_skipped_and_said_in_the_log(directory: Path, step: Step, log: Log) -> None:
    step("10-plain", mode=0o644)
    (directory / "20-directory").mkdir()
    (directory / "30-dangling").symlink_to("nowhere")
    step("40-real")
    text = log.run(directory)
    for name in ("10-plain", "20-directory", "30-dangling"):
        assert f"--- pre-update.d/{name}: skipped, it is not an executable file\n" in text
    assert text.endswith("--- pre-update.d/40-real\nran:40-real\n")


def test_a_step_sees_what_it_is_told_and_reads_nothing(directory: Path, step: Step, log: Log) -> None:
    step("10-env", 'read line; echo "$OS_UPDATE_VALUE/$OS_UPDATE_OPERATION/$OS_UPDATE_OUTCOME/$line."')
    told = step_environment("$(id) ü", "update", "success")
    assert log.run(directory, environment=told).endswith("$(id) ü/update/success/.\n")


def test_the_first_failure_stops_and_names_step_exit_status_and_last_line(
    directory: Path, step: Step, log: Log
) -> None:
    step("10-bad", "echo draining; echo 'no quorum\t' >&2; echo; exit 3")
    step("20-never")
    assert failure(log, directory) == "step pre-update.d/10-bad ended with exit status 3: no quorum"
    assert "20-never" not in log.text()


def test_a_failure_without_a_word_does_not_borrow_an_earlier_line(directory: Path, step: Step, log: Log) -> None:
    step("10-good")
    step("20-bad", "exit 1")
    assert failure(log, directory) == "step pre-update.d/20-bad ended with exit status 1, without a word"


def test_a_step_that_a_signal_ends_is_named_with_it(directory: Path, step: Step, log: Log) -> None:
    step("10-bad", "kill -9 $$")
    assert failure(log, directory).startswith("step pre-update.d/10-bad ended with signal 9")


def test_the_last_line_is_bounded_and_printable(directory: Path, step: Step, log: Log) -> None:
    step("10-bad", r"printf '\033[31mred\n'; exit 1")
    assert failure(log, directory).endswith(": \\x1b[31mred")
    step("10-bad", "head -c 100000 /dev/zero | tr '\\0' x; exit 1")
    assert len(failure(log, directory)) < 500


def test_a_step_that_hangs_is_ended_with_all_its_children(
    tmp_path: Path, directory: Path, step: Step, log: Log
) -> None:
    step("10-hang", f"echo waiting; (sleep 2; touch {tmp_path}/late) & sleep 60")
    begun = time.monotonic()
    said = failure(log, directory, timeout=0.5)
    assert time.monotonic() - begun < 30
    assert "pre-update.d/10-hang" in said
    assert "was ended after 0.5 s" in said
    assert said.endswith(": waiting")
    time.sleep(2.5)
    assert not (tmp_path / "late").exists()


def test_a_step_that_cannot_be_started_is_a_failure_of_that_step(directory: Path, step: Step, log: Log) -> None:
    path = step("10-bad")
    path.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    assert failure(log, directory).startswith("step pre-update.d/10-bad: cannot start ")


def test_steps_that_everybody_can_write_are_refused_before_any_step_runs(directory: Path, step: Step, log: Log) -> None:
    step("10-good")
    step("20-open", mode=0o777)
    assert "can be written by everybody: only root may write to it (chmod o-w)" in failure(log, directory)
    assert "10-good" not in log.text()


def test_a_directory_that_everybody_can_write_is_refused(directory: Path, step: Step, log: Log) -> None:
    step("10-good")
    directory.chmod(0o777)
    assert "can be written by everybody" in failure(log, directory)


def test_a_step_that_belongs_to_somebody_else_is_refused(
    directory: Path, step: Step, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = step("10-foreign")
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert "10-foreign belongs to user 65534 (mode 0755), who could change it: it must belong to root" in failure(
            log, directory
        )
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        assert f"belongs to user {os.getuid()} (mode 0755), who could change it" in failure(log, directory)


def test_all_steps_can_be_checked_before_any_runs(directory: Path, step: Step, log: Log) -> None:
    step("10-good")
    check_steps(directory, is_trial=True)
    check_steps(directory.parent / "nowhere.d", is_trial=True)
    step("20-open", mode=0o775)
    with pytest.raises(StepFailed, match="can be written by its group"):
        check_steps(directory, is_trial=True)
    assert log.text() == "earlier\n"
