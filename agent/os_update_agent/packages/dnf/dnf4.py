"""The backend of dnf 4: its own record and locks. worker/dnf4/ uses its API, under the system's own Python.

Facts of dnf 4 that decide the shape (dnf(8), dnf.conf(5), and measured): only the API gives a plan as data; a
repository with skip_if_unavailable is left out silently; a failing scriptlet does not fail a transaction; kernels over
installonly_limit are erased along the way; after a kill a new upgrade leaves both versions behind.
"""

from pathlib import Path
from typing import Callable, Optional, Sequence

from os_update_agent.model.settings import Setting, SettingChange
from os_update_agent.node.locks import Held
from os_update_agent.packages.detect import DNF4
from os_update_agent.packages.dnf import history4
from os_update_agent.packages.dnf.backend import RpmBackend
from os_update_agent.packages.dnf.locks import first_held, wait_until_free
from os_update_agent.packages.dnf.modules import MODULES, keep_failsafe, modules4, set_modules4


class Dnf4(RpmBackend):
    """dnf 4 and rpm."""

    manager = DNF4

    def _wait(self, timeout: float) -> None:
        wait_until_free(self._locks, self._rpm_lock, timeout=timeout)

    def held(self) -> Optional[Held]:
        return first_held(self._locks, self._rpm_lock)

    @property
    def _locks(self) -> Sequence[Path]:
        settings = self.settings()
        return (
            settings.cache / "metadata_lock.pid",
            settings.cache / "download_lock.pid",
            settings.persistent / "rpmdb_lock.pid",
        )

    def _modules(self) -> Sequence[Setting]:
        return modules4(self.root)

    def _keep_modules(self) -> None:
        keep_failsafe(self.settings().persistent, self.archive / MODULES)

    def _set_modules(self, changes: Sequence[SettingChange]) -> None:
        set_modules4(changes, self.root, self.settings().persistent, self.archive / MODULES)

    def _marks(self) -> Callable[[str, str], str]:
        return history4.marks(self._record)

    def _record_files(self) -> Sequence[Path]:
        # After a kill the truth is in the journal beside it.
        return list(self._record.parent.glob(f"{self._record.name}*"))

    def _is_unfinished(self) -> bool:
        return history4.is_unfinished(self._record)

    def _begun(self) -> Sequence[history4.Begun]:
        return history4.begun(self._record)

    @property
    def _record(self) -> Path:
        return self.settings().persistent / "history.sqlite"
