"""Puts back the settings outside of packages, before and after the transaction of a way back."""

from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.errors import NotRestorable, PackageError
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.model.settings import ALTERNATIVE, SettingChange, Settings
from os_update_agent.node.process import uninterrupted
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.settings import due_before, targets_of, unmet_settings, without_override
from os_update_agent.packages.settings_files import missing_below


def unmet_below(root: Path, now: Settings, target: Settings) -> Tuple[SettingChange, ...]:
    """Return the settings that are not as in the target. No target of an alternative is demanded that does not exist
    below the root.
    """
    changes = unmet_settings(now, target)
    dead = missing_below(root, sorted(targets_of(changes)))
    return unmet_settings(now, target, dead) if dead else changes


class Arrangement(NamedTuple):
    """The settings of one node. ``root`` is where they are; ``output`` takes what the tools print."""

    backend: Backend
    archive: Archive
    root: Path
    output: IO[bytes]

    def unmet(self, now: PackageState, target: PackageState) -> Tuple[SettingChange, ...]:
        """Return the settings that are not as in the target; none if the target has unknown ones."""
        return unmet_below(self.root, now.settings, target.settings)

    def fetch(self, now: PackageState, target: PackageState) -> None:
        """Get hold of the package files that before() needs, as far as they can be had."""
        for package in self._owners(unmet_settings(now.settings, target.settings), target):
            with suppress(PackageError):
                self.archive.obtain([package])

    def before(self, now: PackageState, target: PackageState) -> None:
        """Change what the transaction needs."""
        self._arrange(due_before(unmet_settings(now.settings, target.settings)), target)

    def after(self, target: PackageState) -> None:
        """Change the rest. Alternatives come last: the end of a diversion may bring their targets."""
        if target.settings is None:
            return
        changes = self.unmet(self.backend.capture(), target)
        others = tuple(change for change in changes if change.kind != ALTERNATIVE)
        self._arrange(others, target)
        self._arrange(self.unmet(self.backend.capture(), target) if others else changes, target)

    def _arrange(self, changes: Sequence[SettingChange], target: PackageState) -> None:
        if changes:
            files = {package: self._file(package) for package in self._owners(changes, target)}
            with uninterrupted():
                self.backend.arrange(changes, files, self.output)

    def _owners(self, changes: Sequence[SettingChange], target: PackageState) -> Tuple[Package, ...]:
        """Return the packages whose files have the owners and modes that are needed again."""
        paths = without_override(changes)
        return self.backend.owners(paths, target) if paths else ()

    def _file(self, package: Package) -> Optional[Path]:
        """Return the kept file of a package, None if there is none.

        A rebuilt file will do: it has what was there before the override, unless it was rebuilt after that.
        """
        try:
            return self.archive.files([package])[0]
        except NotRestorable:
            return None
