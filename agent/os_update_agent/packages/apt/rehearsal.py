"""Rehearses a transaction: apt-get simulates the transaction's own call, with its options, files and -y.

Facts (apt's sources 2.2 to 3.0, and measured with 2.6): with -s and -y apt goes through the checks of -y, orders its
calls of dpkg and prints what it would do. With Debug::pkgDPkgPM it would go on to dpkg itself; that finds nothing more
and costs a checksum of each file. -s runs some hooks: they are left out. -s ignores APT::Get::Download-Only.
"""

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text
from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.packages import Package, Slot, Transaction
from os_update_agent.node.process import run
from os_update_agent.packages.apt import parse
from os_update_agent.packages.apt.builds import control_of, packed_paths
from os_update_agent.packages.apt.commands import native_architecture, plain
from os_update_agent.packages.apt.database import DpkgDatabase
from os_update_agent.packages.apt.dpkg_files import listed_paths
from os_update_agent.packages.apt.leaving import HOOKS, other_settings
from os_update_agent.packages.apt.made_up import status_after
from os_update_agent.packages.apt.order import NEEDS_FORMAT, Needs, parse_needs, successors, unpacked_first
from os_update_agent.packages.apt.preferences import added_preferences, wanted
from os_update_agent.packages.undo_check import UndoCheck
from os_update_agent.packages.writable import read_only_below
from os_update_agent.text.phrases import named, other_effect

# dpkg's own call for what cannot be left to apt.
UNPACK = ("--force-depends", "--force-breaks", "--force-conflicts", "--force-downgrade", "--unpack")
REMOVE = ("--force-depends", "--force-remove-essential")
_DATABASES = ("/var/lib/dpkg/status", "/var/lib/apt/extended_states")

# apt describes each plan, also of a simulation, in this file (apt.conf(5)).
_NO_LOG = ("-o", "Dir::Log::Planner=/dev/null")
_NO_HOOKS = "".join(f"#clear {hook};\n" for hook in HOOKS)


class Rehearsals(DpkgDatabase):
    """The members of Backend that rehearse a transaction on ``root``."""

    def effect(self, transaction: Transaction, *, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """See Backend."""
        self._check_writable(transaction)
        self._check_foreign(transaction)
        if forced and not transaction.reinstalls:
            for call in self._early_calls(transaction, self._needs()):
                self._rehearse_dpkg(call)
        if self._downloads_only and not forced:
            raise PackageError("APT::Get::Download-Only is set in apt's configuration: apt would install nothing")
        if not forced:
            return self._rehearsed(transaction, forced=False)
        try:
            return self._rehearsed(transaction, forced=True)
        except PackageError:
            # letting_go() makes another attempt without the settings of the packages that leave.
            with self._without_settings((*transaction.remove, *self._replaced(transaction))):
                if not self._other_settings:
                    raise
                return self._rehearsed(transaction, forced=True)

    def _rehearsed(self, transaction: Transaction, *, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        effect = self._effect(transaction, forced=forced)
        self._check_options()
        return effect

    def _check_options(self) -> None:
        """Raise PackageError if dpkg refuses the options that apt's settings give it. A simulation does not see them.

        dpkg reads them before what it is asked for.
        """
        wanted = ("Dir::Bin::dpkg", "DPkg::Options")
        lines = self._run(["apt-config", "--format", "%f %v%n", "dump", *wanted]).stdout.splitlines()
        values = [(tag, value) for tag, _, value in (line.partition(" ") for line in lines) if value]
        program = next((value for tag, value in values if tag == "Dir::Bin::dpkg"), "dpkg")
        options = [value for tag, value in values if tag.startswith("DPkg::Options")]
        try:
            done = self._run([program, *options, "--print-architecture"], ok=None)
        except CommandFailed as error:
            raise PackageError(f"dpkg cannot be run with apt's settings: {error}") from error
        if done.returncode:
            raise PackageError(f"dpkg cannot be run with apt's settings: {parse.first_error(done.stderr)}")

    @contextmanager
    def _without_settings(self, packages: Sequence[Package]) -> Iterator[None]:
        """Until the end of the block, leave out apt's configuration files of the packages."""
        try:
            with other_settings(self.root, packages, self.work, self._own_config) as self._other_settings:
                yield
        finally:
            self._other_settings = ""

    def _replaced(self, transaction: Transaction) -> Tuple[Package, ...]:
        """Return the installed packages that a transaction replaces. An empty database, of a new root, has none."""
        try:
            state = self.capture()
        except PackageError:
            return ()
        slots = {state.slot(package) for package in transaction.install}
        return tuple(package for package in state.packages if package.is_present and state.slot(package) in slots)

    def _rehearse_dpkg(self, call: Sequence[str]) -> None:
        """Raise PackageError with dpkg's reason if it refuses a call."""
        done = self._run(self._dpkg("--log=/dev/null", "--no-act", *call), ok=None)
        if done.returncode:
            raise PackageError(parse.first_error(done.stdout + done.stderr))

    def _check_foreign(self, transaction: Transaction) -> None:
        """Raise PackageError if dpkg refuses a file of a foreign architecture, which apt takes unseen."""
        files = dict(zip(transaction.install, transaction.files))
        foreign = [file for package, file in files.items() if package.arch not in (native_architecture(), "all")]
        if foreign:
            self._rehearse_dpkg((*UNPACK, *foreign))

    def _simulated(self, *arguments: str, preferences: str = "") -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """Return what apt-get would do under -y. No lock is needed and no hook is run. Raises PackageError with apt's
        reason if apt would do nothing at all.
        """
        settings = self._generated("no-hooks.conf", _NO_HOOKS)
        with added_preferences(preferences, own=self._in_root("etc/apt/preferences"), work=self.work) as options:
            call = self._apt("apt-get", "-s", "-q", "-y", "-c", str(settings), *_NO_LOG, *options, *arguments)
            done = self._run(call, ok=None)
        if done.returncode:
            raise PackageError(parse.why_impossible(done.stdout + done.stderr))
        return parse.parse_simulation(done.stdout)

    def _effect(self, transaction: Transaction, *more: str, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """Return what apt would do in a transaction. ``more`` are further options. Raises PackageError."""
        install = self._install(transaction, forced=forced)
        return self._simulated(*more, *install, preferences=wanted(transaction, forced))

    def check_undo(self, forward: Transaction, back: Transaction) -> UndoCheck:
        """See Backend. apt reads a made-up status file, in which ``forward`` has been done."""
        try:
            with self._database_after(forward) as admin:
                self._check_foreign(back)
                if not back.reinstalls:
                    needs = parse_needs(self._query(f"--admindir={admin}", "-f", NEEDS_FORMAT, "-W").stdout)
                    for call in self._early_calls(back, needs):
                        self._rehearse_dpkg((f"--admindir={admin}", *call))
                effect = self._effect(back, "-o", f"Dir::State::status={admin}/status", forced=True)
        except PackageError as error:
            return UndoCheck(refused=(f"apt would not go back: {error}",))
        slot = self.capture().slot
        comes: Set[Tuple[Slot, Optional[str]]] = {(slot(package), package.version) for package in back.install}
        planned = comes | {(slot(package), None) for package in back.remove}
        if effect == planned:
            return UndoCheck()
        return UndoCheck(refused=(f"apt would go another way back: {other_effect(effect, planned)}",))

    @contextmanager
    def _database_after(self, transaction: Transaction) -> Iterator[Path]:
        """Yield a directory like dpkg's in which the transaction has been done. Only its status file is its own."""
        text = self._status_after(transaction)
        with tempfile.TemporaryDirectory(dir=self.work, prefix="admin-") as place:
            admin = Path(place)
            for entry in self._admin.iterdir():
                if not entry.name.startswith(("status-", "lock")) and entry.name not in ("status", "updates"):
                    (admin / entry.name).symlink_to(entry)
            (admin / "updates").mkdir()
            (admin / "status").write_text(text, encoding="utf-8", errors="surrogateescape")
            yield admin

    def _status_after(self, transaction: Transaction) -> str:
        """Return the status file as it will be after a transaction. Raises PackageError."""
        native = native_architecture()
        slot = self.capture().slot
        controls = [control_of(Path(file)) for file in transaction.files]
        try:
            status = read_text(self._admin / "status", RECORD_LIMIT, errors="surrogateescape")
        except OSError as error:
            raise PackageError(f"{error.filename} cannot be read: {error.strerror}") from error
        return status_after(status, [slot(package) for package in transaction.remove], controls, native)

    def _early_calls(self, transaction: Transaction, installed: Sequence[Needs]) -> List[Tuple[str, ...]]:
        """Return the calls of dpkg with which a way back begins: what cannot be left to apt's order."""
        files = dict(zip(transaction.install, transaction.files))
        first = unpacked_first(installed, transaction.install)
        leaving, coming = successors(installed, transaction.install, transaction.remove)
        calls = [
            (*UNPACK, *(files[package] for package in first)) if first else (),
            (*REMOVE, *self._protection(), "--remove", *map(plain, leaving)) if leaving else (),
            (*UNPACK, *(files[package] for package in coming)) if coming else (),
        ]
        return [call for call in calls if call]

    def _check_writable(self, transaction: Transaction) -> None:
        """Raise PackageError that names the read-only file systems on which the transaction would have to write.

        Some nodes let a hook of apt mount them writable first (Securing Debian Manual, "Mounting partitions").
        """
        read_only = read_only_below(self.root, self._written(transaction))
        if read_only and "mount" not in self._hooks(Path(self._own_config or "/dev/null")):
            raise PackageError(f"the transaction has to write to {named(read_only)}, which is mounted read-only")

    def _written(self, transaction: Transaction) -> Iterator[str]:
        """Yield the paths that the transaction writes or removes."""
        yield from _DATABASES
        for file in transaction.files:
            yield from packed_paths(Path(file))
        for package in (*transaction.remove, *self._replaced(transaction)):
            with suppress(OSError):
                yield from listed_paths(self._admin, package)

    @property
    def _own_config(self) -> str:
        """The configuration file that APT_CONFIG names ("" if none)."""
        return self._environment().get("APT_CONFIG", os.environ.get("APT_CONFIG", ""))

    def _hooks(self, config: Path) -> str:
        """Return the hooks that apt has with this file as APT_CONFIG, as configuration. Raises CommandFailed."""
        environment = {**self._environment(), "APT_CONFIG": str(config)}
        return run(["apt-config", "dump", *HOOKS], env=environment).stdout
