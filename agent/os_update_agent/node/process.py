"""The only module that starts a process; every folder above node/ may call it. No shell; standard input is the given
text or nothing; the C locale; the working directory "/"; an environment that leads to nobody else's files; exit
statuses that the caller allows.
"""

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.bounded_json import size
from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.child_environment import inherited

# Parsers read the C locale only, and nothing may stop to ask a question.
BASE_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
# Ours keeps our files private; what a package manager and its hooks write is for everybody who may read it otherwise.
UMASK = 0o022
# Anybody may write to the directory in which the agent was started.
DIRECTORY = Path("/")
TAIL_LINES, TAIL_BYTES = 5, 4096
# For questions to systemd and needrestart. systemd's own programs give up after 90 s without an answer.
QUESTION_SECONDS = 100.0
_LINE_LENGTH = 1000
_TAIL_LENGTH = 16 * 1024
# Between two looks at how much a program with a limit has written.
_LOOK_SECONDS = 0.05


class TooMuchOutput(CommandFailed):
    """A program was ended because it wrote more than it may."""


class TimedOut(CommandFailed):
    """A program was ended because it took longer than it may."""


class Completed(NamedTuple):
    """How a process ended."""

    argv: Tuple[str, ...]
    returncode: int
    stdout: str = ""
    stderr: str = ""

    @property
    def tail(self) -> str:
        """The last lines of what the process said, its complaints first: material for an error message."""
        return tail_of(self.stderr) or tail_of(self.stdout) or "no output"


def tail_of(said: str) -> str:
    """Return the last lines of an output, each cut."""
    lines = said[-_TAIL_LENGTH:].strip().splitlines()[-TAIL_LINES:]
    return "\n".join(line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}..." for line in lines)


def run(
    argv: Sequence[str],
    *,
    ok: Optional[Sequence[int]] = (0,),
    env: Optional[Mapping[str, str]] = None,
    stdin: str = "",
    cwd: Path = DIRECTORY,
    timeout: Optional[float] = None,
) -> Completed:
    """Run argv and keep its output. ``ok`` lists the exit statuses that do not raise; None allows all.

    Without ``timeout`` (seconds) there is no limit, on purpose: a package manager killed halfway leaves a broken
    database. With one the process is killed: for questions to programs that change nothing.

    Raises CommandFailed; TimedOut after ``timeout``.
    """
    argv = tuple(argv)
    try:
        process = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            env=environment(env),
            cwd=cwd,
            umask=UMASK,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{argv[0]} has not answered within {timeout:g} s and was ended") from error
    except (OSError, ValueError) as error:
        raise CommandFailed(f"cannot start {argv[0]}: {error}") from error
    return _checked(Completed(argv, process.returncode, process.stdout, process.stderr), ok)


def run_to_file(
    argv: Sequence[str],
    output: IO[bytes],
    *,
    ok: Optional[Sequence[int]] = (0,),
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = DIRECTORY,
    pass_fds: Sequence[int] = (),
    timeout: Optional[float] = None,
    longest: Optional[int] = None,
    errors: bool = True,
    endable: bool = False,
) -> Completed:
    """Run argv with its outputs going to a file, never to a pipe whose reader can die (apt and dnf end halfway then).

    Without ``errors`` the standard error goes nowhere. ``timeout`` (seconds) and ``longest`` (bytes that it may write)
    kill the whole process group: only for programs that may be killed. ``endable``: who presses Ctrl-C where we were
    called ends it with us.

    Raises CommandFailed; TooMuchOutput beyond ``longest``, TimedOut after ``timeout``.
    """
    begin = os.fstat(output.fileno()).st_size
    process = start(argv, output, env=env, cwd=cwd, pass_fds=pass_fds, errors=errors, endable=endable)
    try:
        returncode = _wait(process, output, timeout, begin + longest if longest is not None else None)
    except subprocess.TimeoutExpired as error:
        _kill(process)
        raise TimedOut(f"{argv[0]} was ended after {timeout:g} s") from error
    except _Beyond as error:
        _kill(process)
        raise TooMuchOutput(f"{argv[0]} was ended because it wrote more than {size(longest or 0)}") from error
    if ok is not None and returncode not in ok:
        return _checked(Completed(tuple(argv), returncode, _said(output, begin)), ok)
    return Completed(tuple(argv), returncode)


class _Beyond(Exception):
    """The output is longer than allowed."""


def _wait(
    process: "subprocess.Popen[bytes]", output: IO[bytes], timeout: Optional[float], largest: Optional[int]
) -> int:
    """Return the exit status. Raises TimeoutExpired, and _Beyond once the output is longer than ``largest`` bytes."""
    if largest is None:
        return process.wait(timeout)
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            returncode = process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if end is not None and time.monotonic() >= end:
                raise
            returncode = None
        if os.fstat(output.fileno()).st_size > largest:
            raise _Beyond
        if returncode is not None:
            return returncode


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process group, unless the process has ended: its number may be that of another one by now."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(output: IO[bytes], begin: int) -> str:
    """Return the end of what was written to a file since it had ``begin`` bytes, "" if it cannot be read."""
    try:
        with open(f"/proc/self/fd/{output.fileno()}", "rb") as file:
            file.seek(max(begin, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def start(
    argv: Sequence[str],
    output: IO[bytes],
    *,
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = DIRECTORY,
    pass_fds: Sequence[int] = (),
    errors: bool = True,
    endable: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start argv with its outputs going to a file, and do not wait for it. Raises CommandFailed."""
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            env=environment(env),
            cwd=cwd,
            pass_fds=pass_fds,
            umask=UMASK,
            # Ctrl-C and a hang-up of the terminal are not for the package manager.
            start_new_session=not endable,
        )
    except (OSError, ValueError) as error:
        raise CommandFailed(f"cannot start {argv[0]}: {error}") from error


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C, a hang-up and a polite request to end until the block is over: nobody ends a transaction
    halfway.
    """
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    came: List[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in wanted}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    if came:
        os.kill(os.getpid(), came[0])


def environment(extra: Optional[Mapping[str, str]] = None) -> Mapping[str, str]:
    """The environment of a child: what it may inherit of ours, in the C locale, with ``extra`` on top."""
    return {**inherited(os.environ), **BASE_ENVIRONMENT, **(extra or {})}


def _checked(done: Completed, ok: Optional[Sequence[int]]) -> Completed:
    if ok is not None and done.returncode not in ok:
        raise CommandFailed(f"{done.argv[0]} ended with exit status {done.returncode}: {done.tail}")
    return done
