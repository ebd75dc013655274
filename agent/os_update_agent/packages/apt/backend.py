"""The apt backend: argument lists for apt-get, apt-mark, dpkg and dpkg-query. parse.py reads what they print.

Laws of the tools that decide the shape (apt-get(8), apt.conf(5), dpkg(1)): `apt-get update` ends with 0 when a
repository is down unless APT::Update::Error-Mode says otherwise; `install name=version` makes a package manually
installed and drops its hold; nothing may be asked, so configuration files are decided by --force-conf*; output goes to
a file, never to a pipe.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import IO, Collection, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import (
    Aftercare,
    Change,
    HeldBack,
    Identity,
    NewKernels,
    Offer,
    Package,
    PackageState,
    Selection,
    Slot,
    Transaction,
)
from os_update_agent.node.locks import Held, first_held, wait_until_free
from os_update_agent.node.process import run, run_to_file
from os_update_agent.packages.apt import parse
from os_update_agent.packages.apt.candidates import candidates
from os_update_agent.packages.apt.commands import AptCalls, exact, native_architecture, plain
from os_update_agent.packages.apt.dpkg_files import listed_files
from os_update_agent.packages.apt.order import NEEDS_FORMAT, parse_needs, successors, unpacked_first
from os_update_agent.packages.apt.parse import Simulation
from os_update_agent.packages.apt.preferences import added_preferences
from os_update_agent.packages.apt.repack import repack
from os_update_agent.packages.backend import Backend, set_marks
from os_update_agent.packages.file_faults import FileFault
from os_update_agent.packages.installed_files import faults_of
from os_update_agent.packages.reboot_forecast import RebootHints

_NOT_REFRESHED = re.compile(
    r"^[EW]: (Failed to fetch|Some index files failed|GPG error|An error occurred during the signature)", re.M
)
# The kernel, what is loaded before or by it, and what every process holds: the callers of notify-reboot-required and
# their like.
_BOOTED = ("linux-image-*", "intel-microcode", "amd64-microcode", "libc6", "systemd", "dbus", "dbus-daemon")


class Apt(AptCalls, Backend):
    """apt and dpkg on a root."""

    name = "apt"
    repacks = True

    # --- reading

    def capture(self) -> PackageState:
        """The state of the package database. dpkg-query, not the status file: after a kill the truth is in dpkg's
        journal.

        Raises PackageError when the database cannot be read or is empty.
        """
        database = self._in_root("var/lib/dpkg")
        files = [database / "status", *(database / "updates").glob("*"), self._in_root("var/lib/apt/extended_states")]
        return self._last.get(files, self._read)

    def _read(self) -> PackageState:
        text = self._query("--show", "--showformat", parse.STATE_FORMAT).stdout
        marks = self._in_root("var/lib/apt/extended_states")
        try:
            auto = parse.parse_extended_states(marks.read_text(encoding="utf-8"))
        except FileNotFoundError:
            auto = frozenset()
        except OSError as error:
            raise PackageError(f"{marks} cannot be read: {error.strerror}") from error
        return parse.parse_installed(text, auto, native_architecture())

    def wait(self) -> None:
        """Wait until no apt or dpkg is at work, perhaps one that has lost its caller. Raises Busy that names the
        holder.
        """
        wait_until_free(self._locks, timeout=self.lock_timeout)

    def held(self) -> Optional[Held]:
        """A lock of apt or dpkg that somebody holds just now, and who does."""
        return first_held([*self._locks, self._index_lock])

    @property
    def _locks(self) -> Tuple[Path, ...]:
        return self._in_root("var/lib/dpkg/lock-frontend"), self._in_root("var/lib/dpkg/lock")

    @property
    def _index_lock(self) -> Path:
        return self._in_root("var/lib/apt/lists/lock")

    def interrupted(self) -> bool:
        """Has a dpkg been ended before it could merge its journal?"""
        try:
            return any(entry.name.isdigit() for entry in self._in_root("var/lib/dpkg/updates").iterdir())
        except OSError:
            return False

    def refresh(self) -> None:
        """Fetch the package index anew; every repository has to answer. Raises PackageError, Busy."""
        done = self._patient("-o", "APT::Update::Error-Mode=any", "update", locks=[self._index_lock])
        if done.returncode or _NOT_REFRESHED.search(done.stdout):
            raise PackageError(f"the package index cannot be refreshed: {parse.first_error(done.stdout)}")

    def simulate(self, *arguments: str, preferences: str = "") -> Simulation:
        """What apt-get would do. Needs no lock. Raises PackageError with apt's reason when it would do nothing at
        all.
        """
        with added_preferences(preferences, own=self._in_root("etc/apt/preferences"), work=self.work) as options:
            done = self._run(self._apt("apt-get", "-s", "-q", *options, *arguments), ok=None)
        if done.returncode:
            raise PackageError(parse.why_impossible(done.stdout + done.stderr))
        return parse.parse_simulation(done.stdout)

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """The updates that the selection asks for and that can be done together, and what is held back with the
        reason.
        """
        return candidates(self.simulate, state, selection)

    def effect(self, transaction: Transaction, *, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """What the transaction would come to: each package that changes with its new version, None for a removal."""
        return self.simulate(*self._install(transaction, forced=forced)).effect

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        """Which of the packages the repositories can give, and which they cannot. The index is not refreshed."""
        if not packages:
            return {}, ()
        with ThreadPoolExecutor(1) as pool:
            shown = pool.submit(self._run, self._apt("apt-cache", "show", *map(exact, packages)), ok=None)
            found, missing = self._downloadable(packages)
        sizes = parse.parse_installed_sizes(shown.result().stdout)
        return {
            package: offer._replace(installed_kb=sizes.get(package.identity)) for package, offer in found.items()
        }, missing

    def _downloadable(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        asked = list(packages)
        missing: List[Package] = []
        while asked:
            done = self._run(self._apt("apt-get", "-q", "-q", "download", "--print-uris", *map(exact, asked)), ok=None)
            gone = parse.parse_unavailable(done.stderr, asked)
            missing += gone
            offers = parse.parse_uris(done.stdout)
            found = {package: offers[self.file_name(package)] for package in asked if self.file_name(package) in offers}
            if not gone:
                if done.returncode or len(found) != len(asked):
                    raise PackageError(f"apt-get download: {parse.first_error(done.stderr)}")
                return found, tuple(missing)
            # An unknown name makes apt print nothing for the others: ask again without it.
            asked = [package for package in asked if package not in gone]
        return {}, tuple(missing)

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """What package files will take on the disk: (name, architecture, version) -> KiB."""
        if not files:
            return {}
        done = self._run(self._apt("apt-cache", "show", *map(str, files)))
        return parse.parse_installed_sizes(done.stdout)

    def present_sizes(self) -> Dict[Identity, int]:
        """What the installed packages say that they take: (name, architecture, version) -> KiB."""
        fmt = (
            "Package: ${Package}\\nArchitecture: ${Architecture}\\nVersion: ${Version}\\nInstalled-Size:"
            " ${Installed-Size}\\n\\n"
        )
        return parse.parse_installed_sizes(self._query("--show", "--showformat", fmt).stdout)

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
        text = self._query("--show", "--showformat", "${Package}\\t${Architecture}\\t${Conffiles}\\n").stdout
        conffiles = parse.parse_all_conffiles(text)
        packages = [package for package in self.capture().packages if package.is_present]
        try:
            listed = listed_files(self._in_root("var/lib/dpkg"), packages, conffiles, changed, files)
            return tuple(faults_of(listed, self.root))
        except OSError as error:
            raise PackageError(f"the package database cannot be read: {error}") from error

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

    # --- changing

    def repack(self, package: Package) -> Path:
        """Rebuild the file of an installed package that no repository has any more, into the archive."""
        return repack(package, self.root, self.archive)

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download the packages into the archive; apt checks each against the signed index. Raises PackageError."""
        if not packages:
            return
        done = self._downloading("-o", "APT::Sandbox::User=root", "download", *map(exact, packages), cwd=self.archive)
        if done.returncode:
            raise PackageError(f"packages cannot be fetched: {parse.first_error(done.stdout)}")

    def mend(self, files: Sequence[Path], output: IO[bytes]) -> Tuple[str, ...]:
        """Go forward out of an interruption: unpack the files, then configure what waits for it."""
        self.wait()
        self._unpack(files, output)
        run_to_file(self._dpkg("--configure", "-a"), output, ok=None, env=self._environment())
        return ()

    def _unpack(self, files: Sequence[Path], output: IO[bytes]) -> None:
        """Unpack package files over half-installed packages. apt refuses to do anything before that, and --fix-broken
        does not do it.
        """
        if files:
            force = ("--force-depends", "--force-breaks", "--force-conflicts", "--force-downgrade")
            run_to_file(self._dpkg(*force, "--unpack", *map(str, files)), output, ok=None, env=self._environment())

    def settle(self, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        """Backward out of an interruption: merge dpkg's journal without running any maintainer script (dpkg(1),
        --set-selections).
        """
        self.wait()
        run_to_file(self._dpkg("--set-selections"), output, env=self._environment())
        return ()

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        """Run one transaction from package files. Returns what the package manager says went wrong; the database has
        the last word.
        """
        self.wait()
        complaints: Tuple[str, ...] = ()
        torn = [file for package, file in zip(transaction.install, transaction.files) if package in transaction.torn]
        self._unpack([Path(file) for file in (*transaction.unpacked, *torn)], output)
        transaction = self._begun(transaction, output) if forced and not transaction.reinstalls else transaction
        if transaction.install or transaction.remove:
            complaints = self._apt_get(self._install(transaction, forced=forced), output)
        if transaction.configures:
            run_to_file(self._dpkg("--configure", "-a"), output, ok=None, env=self._environment())
        return complaints

    def _begun(self, transaction: Transaction, output: IO[bytes]) -> Transaction:
        """Begin a way back with what cannot be left to apt's order. Returns what is left."""
        installed = parse_needs(self._query("--show", "--showformat", NEEDS_FORMAT).stdout)
        files = {package: Path(file) for package, file in zip(transaction.install, transaction.files)}
        first = unpacked_first(installed, transaction.install)
        leaving, coming = successors(installed, transaction.install, transaction.remove)
        if not (first or leaving):
            return transaction
        self._unpack([files[package] for package in first], output)
        if leaving:
            remove = self._dpkg("--force-depends", "--remove", *map(plain, leaving))
            run_to_file(remove, output, ok=None, env=self._environment())
        self._unpack([files[package] for package in coming], output)
        # apt may not even know the name of a package that has gone.
        there = {package.identity for package in self.capture().packages if package.is_present}
        return transaction._replace(remove=tuple(p for p in transaction.remove if p.identity in there), mends=True)

    def finish(self, rest: Aftercare, output: IO[bytes]) -> Tuple[str, ...]:
        if rest.purge:
            run_to_file(self._dpkg("--purge", *map(plain, rest.purge)), output, ok=None, env=self._environment())
        failures = set_marks(self._mark, rest.marks)
        if rest.holds:
            lines = "".join(f"{plain(package)} {package.want}\n" for package in rest.holds)
            self.wait()
            run(self._dpkg("--set-selections"), stdin=lines, env=self._environment())
        return failures

    def _mark(self, packages: Sequence[Package], mark: str) -> None:
        self._run(["apt-mark", "-q", "-q", mark, *map(plain, packages)])
