"""Shows a run while it is at work: one line that is rewritten on a terminal, dated lines elsewhere."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Optional, TextIO

from os_update_agent.model import Run, diff
from os_update_agent.packages.progress import STATUS_FILE, Step, counted, last_step
from os_update_agent.packages.state import visible
from os_update_agent.phases import names
from os_update_agent.report import shown, when
from os_update_agent.site import Site

# Where the package manager is at work, and so has something to say.
_LONG = (names.FETCH, names.TRANSACT, names.UNDO)
_COUNTED = ("Unpacking", "Configuring", "Removing")
_TAIL_BYTES = 16 * 1024
_LINE_SECONDS = 10.0


class Watcher:
    """Call it with the run as often as you like; close() leaves the terminal's line clean."""

    def __init__(self, site: Site, stream: Optional[TextIO] = None) -> None:
        self.site = site
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.run = 0
        self.phase = ""
        self.line = ""
        self.told = 0.0
        self.total = 0

    def __call__(self, run: Run) -> None:
        if run.id != self.run:
            self._say(f"run {run.id}: {run.kind} to {shown(run.value)}; log {run.log or self.site.run_log(run.id)}")
            self.run, self.phase = run.id, ""
        if run.phase != self.phase:
            self.phase, self.total = run.phase, 0
            if not self.is_terminal:
                self._say(f"run {run.id}: {run.phase}")
        step = self._step(run) if run.phase in _LONG else None
        if self.is_terminal:
            self._rewrite(run.phase + (f" {step.percent:3.0f} % {step.text}" if step else ""))
        elif step and time.monotonic() - self.told > _LINE_SECONDS:
            self._say(f"run {run.id}: {run.phase} {step.percent:.0f} % {step.text}")

    def close(self) -> None:
        if self.is_terminal and self.line:
            self._write("\r\x1b[K")

    def _step(self, run: Run) -> Optional[Step]:
        """What apt's status file says, else the end of the run's log, where a dnf writes."""
        status = self.site.settings.run / "work" / STATUS_FILE
        text = _read(status, run.started)
        step = last_step(text)
        if step is None:
            return last_step(_read(Path(run.log or self.site.run_log(run.id)), run.started))
        word = step.text.partition(" ")[0]
        if word not in _COUNTED:
            return step
        if not self.total and run.before is not None and run.target is not None:
            ledger = self.site.ledger
            self.total = len(visible(diff(ledger.state(run.before), ledger.state(run.target))))
        return Step(f"{counted(text, word)} of {self.total}: {step.text}", step.percent)

    def _say(self, text: str) -> None:
        self.told = time.monotonic()
        if self.is_terminal:
            self._write(f"\r\x1b[K{text}\n")
        else:
            self._write(f"{when(self.site.clock())} {text}\n")

    def _rewrite(self, text: str) -> None:
        text = text[: max(20, shutil.get_terminal_size().columns - 1)]
        if text != self.line:
            self._write(f"\r\x1b[K{text}")
            self.line = text

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            # The terminal is gone: that is no reason to stop waiting for the result.
            self.stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            self.is_terminal = False


def _read(path: Path, since: float) -> str:
    """The end of a file; '' where it is not there, or is older than the run that it should tell about."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mtime < since - 1:
                return ""
            file.seek(max(0, found.st_size - _TAIL_BYTES) if path.name != STATUS_FILE else 0)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
