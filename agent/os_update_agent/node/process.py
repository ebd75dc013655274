"""The only module that starts a process; every folder above node/ may call it. No shell; standard input is the given
text or nothing; the C locale; the working directory "/"; an environment that leads to nobody else's files; exit
statuses that the caller allows.
"""

import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.errors import CommandFailed
from os_update_agent.node.child_environment import inherited

# Parsers read the C locale only, and nothing may stop to ask a question.
BASE_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
# Ours keeps our files private; what a package manager and its hooks write is for everybody who may read it otherwise.
UMASK = 0o022
# Anybody may write to the directory in which the agent was started.
DIRECTORY = Path("/")
TAIL_LINES, TAIL_BYTES = 5, 4096


class Completed(NamedTuple):
    """How a process ended."""

    argv: Tuple[str, ...]
    returncode: int
    stdout: str = ""
    stderr: str = ""

    @property
    def tail(self) -> str:
        """The last lines of what the process said, its complaints first: material for an error message."""
        said = self.stderr.strip() or self.stdout.strip() or "no output"
        return "\n".join(said.splitlines()[-TAIL_LINES:])


def run(
    argv: Sequence[str],
    *,
    ok: Optional[Sequence[int]] = (0,),
    env: Optional[Mapping[str, str]] = None,
    stdin: str = "",
    cwd: Path = DIRECTORY,
) -> Completed:
    """Run argv and keep its output. ``ok`` lists the exit statuses that do not raise; None allows all.

    There is no timeout on purpose: a package manager killed halfway leaves a broken database.

    Raises CommandFailed.
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
        )
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
    errors: bool = True,
    endable: bool = False,
) -> Completed:
    """Run argv with its outputs going to a file, never to a pipe whose reader can die (apt and dnf end halfway then).

    Without ``errors`` the standard error goes nowhere. ``timeout`` (seconds) kills the whole process group: only for
    programs that may be killed. ``endable``: who presses Ctrl-C where we were called ends it with us.

    Raises CommandFailed.
    """
    begin = os.fstat(output.fileno()).st_size
    process = start(argv, output, env=env, cwd=cwd, pass_fds=pass_fds, errors=errors, endable=endable)
    try:
        returncode = process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise CommandFailed(f"{argv[0]} was ended after {timeout:g} s") from error
    if ok is not None and returncode not in ok:
        return _checked(Completed(tuple(argv), returncode, _said(output, begin)), ok)
    return Completed(tuple(argv), returncode)


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
