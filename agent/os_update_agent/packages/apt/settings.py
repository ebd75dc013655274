"""Diversions, overrides and alternatives of a Debian node: read from dpkg's files, changed by dpkg's tools.

Facts (dpkg 1.21, and measured): dpkg-divert renames no file over another one. Removing an override leaves the owner and
mode of the file. Unpacking gives them to a file, and not to a directory that is there already.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Dict, Mapping, Optional, Sequence, Set, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Package, PackageState
from os_update_agent.model.settings import DIVERSION, NOBODY, OVERRIDE, Setting, SettingChange
from os_update_agent.node.locks import wait_until_free
from os_update_agent.node.process import run, run_to_file
from os_update_agent.packages.apt.commands import AptCalls, native_architecture
from os_update_agent.packages.apt.dpkg_files import Look, listed_paths, packed_looks
from os_update_agent.packages.installed_files import on_disk
from os_update_agent.packages.settings import (
    Call,
    alternative_calls,
    divert_call,
    override_calls,
    read_diversions,
    read_overrides,
    spellings,
    without_override,
)
from os_update_agent.packages.settings_files import alternatives, text_of, watched

# Added to the name of the administrator's own file when his diversion ends.
_SAVED = ".os-update-agent-saved"


class AptSettings(AptCalls):
    """The settings outside of packages on ``root``."""

    def _settings_files(self) -> Tuple[Path, ...]:
        """Return the files and directories one of which changes with each setting."""
        database = self._in_root("var/lib/dpkg")
        links = self._in_root("etc/alternatives")
        return database / "diversions", database / "statoverride", *watched(database / "alternatives", links)

    def _settings(self) -> Tuple[Setting, ...]:
        """Read the settings. Raises PackageError."""
        database = self._in_root("var/lib/dpkg")
        try:
            found = [
                *read_diversions(text_of(database / "diversions")),
                *read_overrides(text_of(database / "statoverride")),
                *alternatives(database / "alternatives", self._in_root("etc/alternatives")),
            ]
        except OSError as error:
            raise PackageError(f"{error.filename} cannot be read: {error.strerror}") from error
        return tuple(sorted(found))

    def owners(self, paths: Sequence[str], state: PackageState) -> Tuple[Package, ...]:
        """See Backend."""
        wanted = frozenset(one for path in paths for one in spellings(path))
        database = self._in_root("var/lib/dpkg")
        found = []
        for package in state.packages if wanted else ():
            with suppress(OSError):
                if package.is_present and not wanted.isdisjoint(listed_paths(database, package)):
                    found.append(package)
        return tuple(found)

    def arrange(
        self, changes: Sequence[SettingChange], files: Mapping[Package, Optional[Path]], output: IO[bytes]
    ) -> None:
        """See Backend."""
        wait_until_free(self._locks, timeout=self.lock_timeout)
        self._arrange_overrides([change for change in changes if change.kind == OVERRIDE], files, output)
        for change in changes:
            if change.kind == DIVERSION:
                try:
                    self._arrange_diversion(change, output)
                except OSError as error:
                    _say(output, f"the diversion of {change.name} cannot be put back: {error}")
        for call in alternative_calls(changes):
            self._call("update-alternatives", call, output)

    def _call(self, tool: str, arguments: Call, output: IO[bytes]) -> bool:
        """Run one of dpkg's tools. Returns whether it has succeeded. The log has its words, a capture the last one."""
        options = ["--root", str(self.root)] if self._is_private else []
        if options and tool == "update-alternatives":
            # dpkg 1.20 (Debian 11) puts the root in front of this directory twice.
            options += ["--admindir", str(self._in_root("var/lib/dpkg/alternatives"))]
        return not run_to_file([tool, *options, *arguments], output, ok=None, env=self._environment()).returncode

    # --- overrides

    def _arrange_overrides(
        self, changes: Sequence[SettingChange], files: Mapping[Package, Optional[Path]], output: IO[bytes]
    ) -> None:
        """Add and remove overrides. One stays if its file cannot get the owner and mode of its package back."""
        looks = self._packed_looks(without_override(changes), [file for file in files.values() if file is not None])
        listed = self._listed_by([package for package, file in files.items() if file is None])
        for change in changes:
            look = looks.get(change.name)
            if change.after is None and look is None:
                if not listed.isdisjoint(spellings(change.name)):
                    _say(output, f"{change.name} keeps its override: the package file with its mode is not available")
                    continue
                _say(output, f"{change.name} keeps its mode without its override: no package file has it")
            # First: a run that is ended between the two finds the override again.
            if look is None or self._has_look(change.name, look, output):
                for call in override_calls(change):
                    self._call("dpkg-statoverride", call, output)

    def _packed_looks(self, paths: Sequence[str], files: Sequence[Path]) -> Dict[str, Look]:
        """Return how those of the paths look that are in the package files."""
        wanted = {spelled: path for path in paths for spelled in spellings(path)}
        found: Dict[str, Look] = {}
        for file in files:
            text = run(["dpkg-deb", "--contents", str(file)]).stdout
            found.update((wanted[spelled], look) for spelled, look in packed_looks(text, wanted).items())
        return found

    def _listed_by(self, packages: Sequence[Package]) -> Set[str]:
        """Return the paths that the installed packages list."""
        found: Set[str] = set()
        for package in packages:
            with suppress(OSError):
                found.update(listed_paths(self._in_root("var/lib/dpkg"), package))
        return found

    def _has_look(self, path: str, look: Look, output: IO[bytes]) -> bool:
        """Give a path the look that it has in its package. Returns whether that has worked.

        Another user than root cannot give files away.
        """
        place = on_disk(self.root, path, follow=False)
        try:
            if place.is_symlink() or not place.exists():
                return True
            # By descriptor: the owner of the directory may put a link there meanwhile.
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if os.geteuid() == 0:
                    user, group = (int(name) if name.isdigit() else name for name in look[:2])
                    shutil.chown(descriptor, user, group)
                os.fchmod(descriptor, look.mode)
            finally:
                os.close(descriptor)
        except (OSError, LookupError) as error:
            _say(output, f"{path} keeps its override: its owner and mode cannot be changed: {error}")
            return False
        return True

    # --- diversions

    def _arrange_diversion(self, change: SettingChange, output: IO[bytes]) -> None:
        if change.before is None and change.after is not None:
            self._divert(change.after, output)
        elif change.before is not None and change.after is None:
            self._end_diversion(change.before, output)
        elif change.before is not None and change.after is not None:
            # dpkg-divert moves a file only between its own place and another one.
            old, new = (self._on_disk(setting.value[0]) for setting in (change.before, change.after))
            self._call("dpkg-divert", divert_call(change.before, "--remove", renames=False), output)
            if old != new and os.path.lexists(old) and not os.path.lexists(new):
                os.rename(old, new)
            self._call("dpkg-divert", divert_call(change.after, "--add", renames=False), output)

    def _divert(self, setting: Setting, output: IO[bytes]) -> None:
        """Add a diversion. Nothing is moved if both places have a file."""
        renames = self._is_of_another(setting) and not os.path.lexists(self._on_disk(setting.value[0]))
        self._call("dpkg-divert", divert_call(setting, "--add", renames=renames), output)

    def _end_diversion(self, setting: Setting, output: IO[bytes]) -> None:
        if self._call("dpkg-divert", divert_call(setting, "--remove", renames=True), output):
            return
        # The place has a file that the transaction has not removed: a script has made it, or the administrator.
        path, (diverted, by) = setting.name, setting.value
        listed = self._listed_by([Package(by, native_architecture(), "")])
        is_needed = not listed.isdisjoint(spellings(path)) or not self._is_of_another(setting)
        if is_needed or not os.path.lexists(self._on_disk(diverted)):
            return
        if by == NOBODY:
            _say(output, f"{path} is kept as {path}{_SAVED}")
            os.replace(self._on_disk(path), self._on_disk(f"{path}{_SAVED}"))
        else:
            _say(output, f"{path} is of no package; the file that it had diverted takes its place")
            self._on_disk(path).unlink()
        self._call("dpkg-divert", divert_call(setting, "--remove", renames=True), output)

    def _is_of_another(self, setting: Setting) -> bool:
        """Is the diverted path a file of another package than the one that diverts?

        Debian 13 diverts /bin, and files below the link /bin, only so that nobody removes them: to move such a path
        away would break the system.
        """
        path, by = setting.name, setting.value[1]
        directory = os.path.dirname(path)
        is_a_link = on_disk(self.root, directory, follow=True) != self.root / directory.lstrip("/")
        if is_a_link or on_disk(self.root, path, follow=True).is_dir():
            return False
        lists = self._in_root("var/lib/dpkg/info").glob("*.list")
        return any(path in text_of(file).split("\n") for file in lists if file.stem.partition(":")[0] != by)

    def _on_disk(self, path: str) -> Path:
        return on_disk(self.root, path, follow=False)


def _say(output: IO[bytes], text: str) -> None:
    """Write a line into the log."""
    with suppress(OSError):
        output.write(f"{text}\n".encode("utf-8", "replace"))
