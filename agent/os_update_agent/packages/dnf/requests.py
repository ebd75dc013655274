"""Asking dnf: its worker, which lives as long as it serves, and its locks, which are waited for."""

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Iterator, Optional, Tuple

from os_update_agent.model.errors import AgentError, Busy, PackageError
from os_update_agent.model.options import ConfigFiles
from os_update_agent.packages.detect import Manager
from os_update_agent.packages.dnf.client import Child, child_for
from os_update_agent.packages.dnf.protocol import Request
from os_update_agent.packages.dnf.settings import DnfSettings, read_settings, settings_files
from os_update_agent.packages.rpm.database import RpmCalls
from os_update_agent.packages.state_cache import Stamp, stamp_of

_COMMENT_LENGTH = 80
_BUSY_PAUSE = 0.2


@dataclass
class DnfCalls(RpmCalls):
    """dnf and rpm on ``root``. ``archive`` is where package files are kept, ``work`` is for the files of the worker.

    ``lock_timeout`` (seconds) bounds the waiting for the locks of dnf and rpm; then Busy names the holder. ``value``
    goes into the comment that dnf's history keeps. ``config_files``: rpm has no switch for it. It always keeps a
    changed %config(noreplace) file and lays the new one beside it as .rpmnew; it always replaces a changed %config file
    and keeps the old one as .rpmsave.
    """

    archive: Path
    work: Path
    lock_timeout: float = 600.0
    config_files: ConfigFiles = "keep"
    value: str = ""
    manager: ClassVar[Manager]
    # Does this dnf read its settings from drop-in directories as well?
    reads_drop_ins: ClassVar[bool] = False
    _child: Optional[Child] = field(default=None, init=False, repr=False)
    _settings: Optional[Tuple[Optional[Stamp], DnfSettings]] = field(default=None, init=False, repr=False)

    def settings(self) -> DnfSettings:
        """Return the settings of dnf.conf, read again where a file has changed. Raises PackageError if it cannot be
        read.
        """
        stamp = stamp_of(settings_files(self.root, drop_ins=self.reads_drop_ins))
        if self._settings is None or stamp is None or stamp != self._settings[0]:
            self._settings = stamp, read_settings(self.root, drop_ins=self.reads_drop_ins)
        return self._settings[1]

    def wait(self) -> None:
        """Wait until nobody holds one of the locks of dnf and rpm. Raises Busy that names the holder."""
        self._wait(self.lock_timeout)

    def _wait(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for the locks of dnf and rpm. Raises Busy that names the holder."""
        raise NotImplementedError

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep one worker for all requests. It is started at once and imports dnf while the database is read."""
        with suppress(AgentError):
            # The first request that needs the worker reports the error.
            self._worker()
        try:
            yield
        finally:
            self._dismiss()

    def _ask(self, request: Request, output: Optional[IO[bytes]] = None) -> Any:
        """Return what the worker answers, whose shape protocol.py describes with each request. What the worker prints
        goes to ``output``; without one it is kept for an error. Raises PackageError, Busy.
        """
        left, end = self.lock_timeout, time.monotonic() + self.lock_timeout
        while True:
            self._wait(left)
            reply = self._worker().ask(request, output)
            if not reply.busy or time.monotonic() > end:
                break
            # Another process has taken the lock since we looked.
            time.sleep(_BUSY_PAUSE)
            left = max(0.0, round(end - time.monotonic(), 1))
        if reply.busy:
            raise Busy(f"the package manager is locked: {reply.busy}")
        if reply.error:
            raise PackageError(" ".join(reply.error.split()))
        return reply.answer

    @property
    def _comment(self) -> str:
        """What dnf's history keeps of the value."""
        value = self.value if len(self.value) <= _COMMENT_LENGTH else f"{self.value[: _COMMENT_LENGTH - 3]}..."
        return f"os-update-agent {value}".strip()

    def _dismiss(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _worker(self) -> Child:
        if self._child is None or not self._child.is_alive:
            self._dismiss()
            self._child = child_for(self.manager, self.root, self.work)
        return self._child
