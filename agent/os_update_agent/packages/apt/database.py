"""What dpkg's database and package files say: the state, the files and their faults, builds, and locks.

dpkg-query answers, not the status file: after a kill the truth is in dpkg's journal.
"""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Collection, Dict, FrozenSet, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text
from os_update_agent.model.errors import PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Identity, Package, PackageState
from os_update_agent.node.locks import Held, first_held, wait_until_free
from os_update_agent.packages.apt import parse
from os_update_agent.packages.apt.builds import FORMAT, digests_of_files
from os_update_agent.packages.apt.commands import native_architecture, plain
from os_update_agent.packages.apt.dpkg_files import (
    filter_lines,
    left_out,
    listed_files,
    packaged_texts,
    registered_texts,
)
from os_update_agent.packages.apt.edited_texts import found_text
from os_update_agent.packages.apt.order import NEEDS_FORMAT, Needs, parse_needs
from os_update_agent.packages.apt.settings import AptSettings
from os_update_agent.packages.file_faults import FileFault
from os_update_agent.packages.installed_files import faults_of
from os_update_agent.packages.interruption import Unfinished
from os_update_agent.packages.reboot_forecast import RebootHints
from os_update_agent.packages.state import broken

# The kernel, what is loaded before or by it, and what every process holds: the callers of notify-reboot-required and
# their like.
_BOOTED = ("linux-image-*", "intel-microcode", "amd64-microcode", "libc6", "systemd", "dbus", "dbus-daemon")


_CONFFILES_FORMAT = "${Package}\\t${Architecture}\\t${Conffiles}\\n"
_SIZES_FORMAT = (
    "Package: ${Package}\\nArchitecture: ${Architecture}\\nVersion: ${Version}\\n"
    "Installed-Size: ${Installed-Size}\\n\\n"
)
# One process prints all parts of each package.
_FORMATS = (parse.STATE_FORMAT, FORMAT, _CONFFILES_FORMAT, _SIZES_FORMAT, NEEDS_FORMAT)
_PART = "\x1d"


class _Texts(NamedTuple):
    """What dpkg-query has printed of all packages, a text in each of the formats."""

    state: str = ""
    builds: str = ""
    conffiles: str = ""
    sizes: str = ""
    needs: str = ""


class DpkgDatabase(AptSettings):
    """The members of Backend that read dpkg's database and package files."""

    _texts = _Texts()

    def capture(self) -> PackageState:
        """The state of the package database. dpkg-query, not the status file: after a kill the truth is in dpkg's
        journal.

        Raises PackageError when the database cannot be read or is empty.
        """
        database = self._in_root("var/lib/dpkg")
        files = [database / "status", *(database / "updates").glob("*"), self._in_root("var/lib/apt/extended_states")]
        return self._last.get([*files, *self._settings_files()], self._read)

    def _read(self) -> PackageState:
        parts = self._query("--show", "--showformat", _PART.join((*_FORMATS, ""))).stdout.split(_PART)
        self._texts = _Texts(*("".join(parts[number :: len(_FORMATS)]) for number in range(len(_FORMATS))))
        marks = self._in_root("var/lib/apt/extended_states")
        try:
            auto = parse.parse_extended_states(read_text(marks, RECORD_LIMIT, errors="surrogateescape"))
        except FileNotFoundError:
            auto = frozenset()
        except OSError as error:
            raise PackageError(f"{marks} cannot be read: {error.strerror}") from error
        state = parse.parse_installed(self._texts.state, auto, native_architecture())
        try:
            builds = self._builds.digests(self._texts.builds)
        except OSError as error:
            raise PackageError(f"the package database cannot be read: {error}") from error
        return replace(parse.with_builds(state, builds), settings=self._settings())

    def _current(self) -> _Texts:
        """Return the texts as of now. The database is read again only if it has changed."""
        self.capture()
        return self._texts

    def wait(self) -> None:
        """Wait until no apt or dpkg is at work, perhaps one that has lost its caller. Raises Busy that names the
        holder.
        """
        wait_until_free(self._locks, timeout=self.lock_timeout)

    def held(self) -> Optional[Held]:
        """A lock of apt or dpkg that somebody holds just now, and who does."""
        return first_held([*self._locks, self._index_lock])

    @property
    def _admin(self) -> Path:
        return self._in_root("var/lib/dpkg")

    @property
    def _index_lock(self) -> Path:
        return self._in_root("var/lib/apt/lists/lock")

    def interrupted(self) -> bool:
        """Has a dpkg been ended before it could merge its journal?"""
        try:
            return any(entry.name.isdigit() for entry in self._in_root("var/lib/dpkg/updates").iterdir())
        except OSError:
            return False

    def unfinished(self) -> Optional[Unfinished]:
        """See Backend. A status of a package that is not whole is the trace of an interruption."""
        if self.held() is not None:
            return None
        names = tuple(sorted({package.name for package in broken(self.capture())}))
        return Unfinished(names) if names or self.interrupted() else None

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """What package files will take on the disk: (name, architecture, version) -> KiB."""
        if not files:
            return {}
        done = self._run(self._apt("apt-cache", "show", *map(str, files)))
        return parse.parse_installed_sizes(done.stdout)

    def present_sizes(self) -> Dict[Identity, int]:
        """What the installed packages say that they take: (name, architecture, version) -> KiB."""
        return parse.parse_installed_sizes(self._current().sizes)

    def builds(self, files: Sequence[Path]) -> Dict[Path, str]:
        return digests_of_files(files, self.work, left_out(filter_lines()))

    def kernels(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """Those of the packages that may put a kernel into /boot."""
        return tuple(package for package in packages if package.name.startswith("linux-image-"))

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]:
        """All files of installed packages."""
        if not packages:
            return frozenset()
        return frozenset(self._query("--listfiles", *map(plain, packages)).stdout.splitlines())

    def file_faults(
        self, changed: Collection[Identity] = (), files: Mapping[Identity, Path] = MappingProxyType({})
    ) -> Tuple[FileFault, ...]:
        """The paths of all installed packages that are not there as dpkg lists them, configuration files left out."""
        conffiles = self._conffiles()
        packages = [package for package in self.capture().packages if package.is_present]
        try:
            listed = listed_files(self._in_root("var/lib/dpkg"), packages, conffiles, changed, files)
            return tuple(faults_of(listed, self.root))
        except OSError as error:
            raise PackageError(f"the package database cannot be read: {error}") from error

    def _conffiles(self) -> Mapping[Tuple[str, str], str]:
        return parse.parse_all_conffiles(self._current().conffiles)

    def _needs(self) -> Tuple[Needs, ...]:
        return parse_needs(self._current().needs)

    def packaged_texts(self) -> Mapping[str, PackagedText]:
        by_package = self._conffiles().items()
        own = {path: text for (name, _), texts in by_package for path, text in packaged_texts(texts, name).items()}
        return {**registered_texts(self._in_root("var/lib/ucf")), **own}

    def packaged_content(self, path: str, known: PackagedText) -> Optional[bytes]:
        """The text from beside the file, or from a kept file of its package."""
        kept = sorted(self.archive.glob(f"{known.package}_*.deb")) if known.package else ()
        return found_text(path, known.content, self.root, kept)

    def reboot_hints(self, since: Optional[float] = None) -> RebootHints:
        """See Backend. dpkg's database has no times, and Debian's index suggests no boot: packages leave their wish
        below /run when they are installed.
        """
        return RebootHints(_BOOTED)

    def new_kernels(self, files: Sequence[Path]) -> NewKernels:
        """What the package files put below /boot: a kernel each."""
        total = 0
        for file in files:
            for line in self._run(["dpkg-deb", "--contents", str(file)]).stdout.splitlines():
                # -rw-r--r-- root/root   8155072 2026-01-02 10:11 ./boot/vmlinuz-6.1.0-40-amd64
                fields = line.split(None, 5)
                if len(fields) == 6 and fields[5].startswith("./boot/") and fields[2].isdigit():
                    total += int(fields[2])
        return NewKernels(len(files), total)

    def file_name(self, package: Package) -> str:
        """The name under which apt keeps a package file: an epoch's colon is escaped."""
        return f"{package.name}_{package.version.replace(':', '%3a')}_{package.arch}.deb"
