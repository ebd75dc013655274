"""Progress for people: one line that is rewritten on a terminal, dated lines elsewhere."""

import contextlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Optional, TextIO

from os_update_agent.config.settings import Settings
from os_update_agent.model import phases
from os_update_agent.model.errors import AgentError, Damaged
from os_update_agent.model.packages import diff
from os_update_agent.model.runs import Run
from os_update_agent.node.locks import node_holder
from os_update_agent.packages.progress import REFRESH_FILE, STATUS_FILE, Step, counted, last_step
from os_update_agent.packages.state import visible
from os_update_agent.runs.context import ENTERED
from os_update_agent.runtime.context import Site, open_site
from os_update_agent.text.outcomes import shown, when
from os_update_agent.text.printable import printable

# Phases in which the package manager works and reports progress.
_LONG = (phases.CHECK, phases.REFRESH, phases.FETCH, phases.TRANSACT, phases.UNDO)
_COUNTED = ("Unpacking", "Configuring", "Removing")
_TAIL_BYTES = 16 * 1024
# Of a file that is read to count what is done: apt writes 6 MiB for 8,000 packages.
_WHOLE_BYTES = 8 << 20
_LINE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_WONDERING_SECONDS = 2.0
_SENDING = "sending the result to Heat"


class Display:
    """One line that is rewritten on a terminal; dated lines elsewhere. close() clears the terminal's line."""

    def __init__(self, site: Site, stream: Optional[TextIO] = None) -> None:
        self._clock = site.clock
        # Standard error may have been closed before the command started.
        self._stream = stream or sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self.is_terminal = self._stream.isatty()
        self._line = ""
        self._told = time.monotonic()

    def say(self, text: str) -> None:
        text = printable(text)
        self._told = time.monotonic()
        if self.is_terminal:
            self._write(f"\r\x1b[K{text}\n")
            self._line = ""
        else:
            self._write(f"{when(self._clock())} {text}\n")

    def show(self, text: str) -> None:
        """Replace the line of the terminal."""
        text = printable(text)[: max(20, shutil.get_terminal_size().columns - 1)]
        if text != self._line:
            self._write(f"\r\x1b[K{text}")
            self._line = text

    def say_now_and_then(self, text: str) -> None:
        if time.monotonic() - self._told > _LINE_SECONDS:
            self.say(text)

    def close(self) -> None:
        if self.is_terminal and self._line:
            self._write("\r\x1b[K")
            self._line = ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal is gone: go on waiting for the result.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            self.is_terminal = False


class Doing:
    """A thread that shows the ``phase`` of the command itself. If that takes long, it also names the lock's holder.

    ``answer`` is the last answer of a server that refuses; it is shown instead of the lock's holder.
    """

    def __init__(self, site: Site, phase: str = "", stream: Optional[TextIO] = None) -> None:
        self.phase = phase
        self.answer = ""
        self._settings = site.settings
        self._display = Display(site, stream)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    @property
    def phase(self) -> str:
        return self._phase

    @phase.setter
    def phase(self, phase: str) -> None:
        self._phase, self._begun = phase, time.time()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop and clear the terminal's line. Does nothing if it was not started or has ended."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._display.close()

    def _look_on(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            index = self._settings.work / REFRESH_FILE
            step = last_step(_read(index, self._begun)) if self.phase == phases.REFRESH else None
            answer = self.answer
            holder = None if answer else node_holder(self._settings.lock)
            text = _line(self.phase, step, self._begun, holder) + (f"; last answer: {answer}" if answer else "")
            if self._display.is_terminal:
                self._display.show(text)
            else:
                self._display.say_now_and_then(text)


class Watcher:
    """Shows a run of a worker, and who holds the lock while the run waits for it.

    Call it with the run as often as you like, sending() while the result is sent, and close() at the end.
    """

    def __init__(self, site: Site, stream: Optional[TextIO] = None) -> None:
        self.site = site
        self.display = Display(site, stream)
        self._waiting = Doing(site, "waiting", stream)
        self._waiting.start()
        self._sending = Doing(site, _SENDING, stream)
        self._is_sending = False
        self.run = 0
        self.phase = ""
        self.entered = 0.0
        self.total = 0

    def __call__(self, run: Run) -> None:
        self._waiting.end()
        if run.id != self.run:
            self.display.say(
                f"run {run.id}: {run.kind} to {shown(run.value)}; log {run.log or self.site.run_log(run.id)}"
            )
            self.run, self.phase = run.id, ""
        if run.phase != self.phase:
            self.phase, self.entered, self.total = run.phase, time.time(), 0
            if not self.display.is_terminal:
                self.display.say(f"run {run.id}: {run.phase}")
        step = self._step(run) if run.phase in _LONG else None
        if self.display.is_terminal:
            self.display.show(_line(run.phase, step, self.entered))
        elif step:
            self.display.say_now_and_then(f"run {run.id}: {run.phase} {step}")

    def sending(self, answer: str) -> None:
        """Show that a result is being sent. ``answer`` is the answer to the last try, '' before the first one."""
        self._waiting.end()
        if not self._is_sending:
            self._is_sending = True
            self.display.close()
            # Setting the phase starts its clock.
            self._sending.phase = _SENDING
            self._sending.start()
        self._sending.answer = answer

    def close(self) -> None:
        self._waiting.end()
        if self._is_sending:
            self._sending.end()
        self.display.close()

    def _step(self, run: Run) -> Optional[Step]:
        """Return the last step in the package manager's status file, else in the run's log."""
        work = self.site.settings.work
        if run.phase == phases.REFRESH:
            return last_step(_read(work / REFRESH_FILE, run.started))
        # In phase check the file can only be the rest of a worker that was killed.
        text = _read(work / STATUS_FILE, run.started) if run.phase != phases.CHECK else ""
        step = last_step(text)
        if step is None:
            return last_step(self._log(run))
        word = step.text.partition(" ")[0]
        if word not in _COUNTED:
            return step
        if not self.total and run.before is not None and run.target is not None:
            ledger = self.site.ledger
            with contextlib.suppress(Damaged):
                self.total = len(visible(diff(ledger.state(run.before), ledger.state(run.target))))
        return Step(f"{counted(text, word)} of {self.total}: {step.text}", step.percent)

    def _log(self, run: Run) -> str:
        """Return the end of this phase's part of the log; in phase check the whole log, to count all repairs."""
        size = _WHOLE_BYTES if run.phase == phases.CHECK else _TAIL_BYTES
        return _read(Path(run.log or self.site.run_log(run.id)), run.started, size).rpartition(
            f"{ENTERED}{run.phase}\n"
        )[2]


def watcher_of(settings: Settings, *, quiet: bool) -> Optional[Watcher]:
    """Return a watcher; None with --quiet, or if the ledger cannot be opened, which the command itself reports."""
    if not quiet:
        with contextlib.suppress(AgentError):
            return Watcher(open_site(settings))
    return None


def _line(phase: str, step: Optional[Step], since: float, holder: Optional[str] = None) -> str:
    """Return a phase and its step; without a step, add the duration of the phase after 2 s."""
    seconds = time.time() - since
    if step or seconds < _WONDERING_SECONDS:
        return f"{phase} {step or ''}".rstrip()
    return f"{phase}, {seconds:.0f} s" + (f"; at work: {holder}" if holder else "")


def _read(path: Path, since: float, size: int = _WHOLE_BYTES) -> str:
    """Return the end of a file; '' if it is missing or older than the run."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mtime < since - 1:
                return ""
            file.seek(max(0, found.st_size - size))
            return file.read(size).decode("utf-8", "replace")
    except (OSError, ValueError):  # ValueError: a NUL in the path that a damaged record names
        return ""
