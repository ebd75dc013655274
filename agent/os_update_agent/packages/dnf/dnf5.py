"""The backend of dnf 5: its own record and locks. worker/dnf5/ uses libdnf5, under the system's own Python.

Facts of dnf 5 that decide the shape (dnf5(8), dnf5.conf(5), dnf5-system-state(7), and measured): `--store` downloads
everything before it shows a plan, the API does not; the command takes dnf's lock, and waits for it whatever
exit_on_lock says, the API takes none; SIGTERM leaves a transaction halfway.
"""

from pathlib import Path
from typing import Callable, Optional, Sequence

from os_update_agent.model.settings import Setting, SettingChange
from os_update_agent.node.locks import Held, first_held, wait_until_free
from os_update_agent.packages.detect import DNF5
from os_update_agent.packages.dnf import history4, history5
from os_update_agent.packages.dnf.backend import RpmBackend
from os_update_agent.packages.dnf.modules import modules5, set_modules5


class Dnf5(RpmBackend):
    """dnf 5 and rpm."""

    manager = DNF5
    reads_drop_ins = True

    def _wait(self, timeout: float) -> None:
        wait_until_free(self._locks, timeout=timeout)

    def held(self) -> Optional[Held]:
        return first_held(self._locks)

    @property
    def _locks(self) -> Sequence[Path]:
        return *self.settings().locks, self._rpm_lock

    def _modules(self) -> Sequence[Setting]:
        return modules5(self.settings().state)

    def _set_modules(self, changes: Sequence[SettingChange]) -> None:
        set_modules5(changes, self.settings().state)

    def _marks(self) -> Callable[[str, str], str]:
        return history5.marks(self.settings().state)

    def _record_files(self) -> Sequence[Path]:
        settings = self.settings()
        return [path for place in {settings.state, settings.history} for path in place.glob("*")]

    def _is_unfinished(self) -> bool:
        return history5.is_unfinished(self.settings().history)

    def _begun(self) -> Sequence[history4.Begun]:
        return history5.begun(self.settings().history)
