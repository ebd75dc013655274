"""The operator's own steps: the executables of pre-update.d, post-update.d and health.d, one after the other, first
failure stops.
"""

import contextlib
import hashlib
import logging
import os
import re
from pathlib import Path
from typing import IO, Dict, List, Mapping, Tuple

from os_update_agent.model.errors import AgentError, CommandFailed
from os_update_agent.node import process
from os_update_agent.node.trusted_paths import Untrusted, check_trusted
from os_update_agent.text.log_lines import logged
from os_update_agent.text.printable import printable

log = logging.getLogger(__name__)

VALUE_LENGTH = 4096
_LAST_LINE_LENGTH = 300
# It goes to the log of the run, and so to the disk that the ledger may be on.
OUTPUT_LIMIT = 64 << 20

# 10-drain~   10-drain.dpkg-old   10-drain.rpmnew   10-drain.rpmsave   10-drain.bak
_LEFT_OVER = re.compile(r"(~|\.dpkg-[^.]*|\.rpmnew|\.rpmsave|\.bak)$")


class StepFailed(AgentError):
    """A step ended badly, in time or not, or may not be run: the text names the step, how it ended, and its last
    line.
    """


def run_steps(
    directory: Path, *, environment: Mapping[str, str], output: IO[bytes], timeout: float, is_trial: bool = False
) -> None:
    """Run the steps of a directory in the order of their names; a directory that does not exist has none.

    Each step writes to ``output``, a regular file, below a line with its name, in a process group of its own that is
    killed after ``timeout`` seconds or OUTPUT_LIMIT bytes of output. All steps are checked before the first one runs:
    nobody but root, or the agent's own user, may be able to write or replace one. ``is_trial``: the agent works in a
    private root.

    Raises StepFailed.
    """
    steps, skipped = _found(directory, is_trial)
    for path in skipped:
        _say(output, f"--- {directory.name}/{path.name}: skipped, it is not an executable file")
        log.warning(logged(step=path, skipped="yes", why="it is not an executable file"))
    for step in steps:
        label = printable(f"{directory.name}/{step.name}")
        _say(output, f"--- {label}")
        log.info(logged(step=step))
        start = os.fstat(output.fileno()).st_size
        try:
            returncode = process.run_to_file(
                [str(step)], output, ok=None, env=environment, timeout=timeout, longest=OUTPUT_LIMIT
            ).returncode
        except CommandFailed as error:
            raise StepFailed(f"step {label}: {error}{_last_words(output, start)}") from error
        if returncode:
            how = f"exit status {returncode}" if returncode > 0 else f"signal {-returncode}"
            raise StepFailed(f"step {label} ended with {how}{_last_words(output, start)}")


def check_steps(directory: Path, *, is_trial: bool = False) -> None:
    """Check the steps of a directory without running any. Raises StepFailed."""
    _found(directory, is_trial)


def step_environment(value: str, operation: str, outcome: str = "") -> Dict[str, str]:
    """What a step is told. ``outcome`` is '' before the update; after it 'success', 'failed', or 'undone' (failed and
    restored).

    An environment takes no NUL and not any length: the digest is that of the whole value in UTF-8.
    """
    return {
        "OS_UPDATE_VALUE": _printable_anywhere(value.replace("\0", "")[:VALUE_LENGTH]),
        "OS_UPDATE_VALUE_SHA256": hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest(),
        "OS_UPDATE_OPERATION": operation,
        "OS_UPDATE_OUTCOME": outcome,
    }


def _found(directory: Path, is_trial: bool) -> Tuple[List[Path], List[Path]]:
    """Return the steps of a directory, and the paths that are no executable files. Raises StepFailed."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise StepFailed(f"the steps in {directory} cannot be listed: {error.strerror}") from error
    _check(directory, is_trial)
    steps: List[Path] = []
    skipped: List[Path] = []
    for name in names:
        step = directory / name
        if name.startswith(".") or _LEFT_OVER.search(name):
            continue
        if not step.is_file() or not os.access(step, os.X_OK):
            skipped.append(step)
            continue
        _check(step, is_trial)
        steps.append(step)
    return steps, skipped


def _check(path: Path, is_trial: bool) -> None:
    """A step runs with the rights of the agent, so nobody else may be able to write or replace it."""
    try:
        check_trusted(path, is_trial=is_trial, link=True)
    except Untrusted as error:
        raise StepFailed(f"no step of {printable(path.name)} is run: {error}") from error


def _say(output: IO[bytes], line: str) -> None:
    # A full disk keeps a line from the log, not a node from coming back.
    with contextlib.suppress(OSError):
        output.write(os.fsencode(line) + b"\n")
        output.flush()


def _last_words(output: IO[bytes], start: int) -> str:
    """The last line that was written to ``output`` from the offset ``start`` on; the file need not be open for
    reading.
    """
    try:
        with open(f"/proc/self/fd/{output.fileno()}", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start, size - 4 * _LAST_LINE_LENGTH))
            # A process that the step has left may be writing on.
            lines = file.read(4 * _LAST_LINE_LENGTH).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return f": {printable(said[-1][:_LAST_LINE_LENGTH])}" if said else ", without a word"


def _printable_anywhere(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
