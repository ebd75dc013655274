"""What the backends of dnf 4 and dnf 5 share: rpm for reading, and the worker of dnf for everything else.

changes.py has the members that change packages.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import (
    Change,
    HeldBack,
    Identity,
    Package,
    PackageState,
    Selection,
    Slot,
    Transaction,
)
from os_update_agent.model.settings import Setting
from os_update_agent.node.locks import Held
from os_update_agent.packages.dnf import answers, default_streams, protocol, suggestions
from os_update_agent.packages.dnf.answers import as_todo
from os_update_agent.packages.dnf.changes import DnfChanges
from os_update_agent.packages.dnf.history4 import Begun
from os_update_agent.packages.dnf.modules import DIRECTORY
from os_update_agent.packages.dnf.reboot import names_below
from os_update_agent.packages.dnf.settings import settings_files
from os_update_agent.packages.interruption import Unfinished
from os_update_agent.packages.progress import STATUS_FILE
from os_update_agent.packages.reboot_forecast import RebootHints
from os_update_agent.packages.rpm import parse
from os_update_agent.packages.rpm.alternatives import ADMIN, LINKS, settings_below
from os_update_agent.packages.rpm.database import native_architecture
from os_update_agent.packages.settings_files import watched
from os_update_agent.packages.state_cache import LastState
from os_update_agent.packages.undo_check import UndoCheck


@dataclass
class RpmBackend(DnfChanges):
    """dnf and rpm on ``root``."""

    name = "dnf"
    packaged_suffix = ".rpmnew"
    _verified: bool = field(default=False, init=False)
    _sizes: Dict[Identity, int] = field(default_factory=dict, init=False, repr=False)
    _last: LastState = field(default_factory=LastState, init=False, repr=False)

    # --- what each dnf has of its own

    def held(self) -> Optional[Held]:
        """See Backend."""
        raise NotImplementedError

    def _marks(self) -> Callable[[str, str], str]:
        """Return the function that gives the mark of a name and an architecture from dnf's record; UNKNOWN if it is not
        recorded. Raises PackageError.
        """
        raise NotImplementedError

    def _record_files(self) -> Sequence[Path]:
        """Return the files of dnf's record: at least one of them changes with it."""
        raise NotImplementedError

    def _modules(self) -> Sequence[Setting]:
        """Return the modules that dnf has enabled or disabled. Raises PackageError."""
        raise NotImplementedError

    def _begun(self) -> Sequence[Begun]:
        """Return the packages of the last transaction in dnf's record, if it has no end. Raises PackageError."""
        raise NotImplementedError

    # --- reading

    def capture(self) -> PackageState:
        if not self._verified:
            # Once for each backend, thus each run: rpm -qa does not report all damage. The verification needs the lock,
            # which others may hold.
            self._verified = self._verify()
        files = [
            *(self.root / self._dbpath).glob("*"),
            *self._record_files(),
            *settings_files(self.root, drop_ins=self.reads_drop_ins),
            *watched(self.root / ADMIN, self.root / LINKS),
            *(self.root / DIRECTORY).glob("*"),
        ]
        return self._last.get(files, self._read)

    def _read(self) -> PackageState:
        with ThreadPoolExecutor(1) as pool:
            several = pool.submit(self._providers, self.settings().install_only)
            text = self._rpm("-qa", "--queryformat", parse.STATE_FORMAT)
            marks = self._marks()
        self._sizes = parse.parse_sizes(text)
        packages = parse.parse_installed(text, marks)
        install_only = several.result() & {package.name for package in packages}
        settings = tuple(sorted((*settings_below(self.root), *self._modules())))
        return PackageState(self.name, native_architecture(), packages, install_only, settings)

    def present_sizes(self) -> Dict[Identity, int]:
        self.capture()
        return self._sizes

    def interrupted(self) -> bool:
        """Are there two versions in one place, or a transaction without an end that no dnf is at work on?"""
        if self._is_unfinished():
            self.wait()
            if self._is_unfinished():
                return True
        return bool(self._doubled())

    def unfinished(self) -> Optional[Unfinished]:
        """See Backend. The names are those of dnf's record, and of the places with two versions."""
        if self.held() is not None:
            return None
        is_open, doubled = self._is_unfinished(), self._doubled()
        if self.held() is not None or not (is_open or doubled):
            return None
        begun: Sequence[Begun] = ()
        with suppress(PackageError):
            begun = self._begun()
        names = {*doubled, *(identity[0] for identity, _ in begun)}
        return Unfinished(tuple(sorted(names)), tuple(Package(*identity) for identity, comes in begun if comes))

    def _doubled(self) -> FrozenSet[str]:
        """Return the names that have two versions in one place."""
        return frozenset(rows[0].name for rows in self.capture().slots.values() if len(rows) > 1)

    def refresh(self) -> None:
        try:
            suggestions.keep(self.work, self._ask(protocol.Refresh(str(self.root))))
        except PackageError as error:
            raise PackageError(f"the package index cannot be refreshed: {error}") from error

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        request = protocol.Candidates(
            str(self.root),
            state.native,
            selection.packages,
            selection.exclude,
            security=selection.security,
            removals=selection.removals,
        )
        planned = protocol.Planned(*self._ask(request))
        comes = (protocol.Coming(*coming).identity for coming in planned.comes)
        default_streams.keep(self.work, comes, planned.streams)
        return answers.as_changes(planned, state), tuple(HeldBack(name, reason) for name, reason in planned.held)

    def effect(self, transaction: Transaction, *, forced: bool) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        if not (transaction.install or transaction.remove):
            return frozenset()
        state = self.capture()
        request = protocol.Effect(str(self.root), as_todo(transaction, state.native, forced=forced))
        return answers.as_effect(protocol.Outcome(*self._ask(request)), state)

    def check_undo(self, forward: Transaction, back: Transaction) -> UndoCheck:
        """See Backend. rpm rehearses it in a copy of its database."""
        if not (back.install or back.remove):
            return UndoCheck()
        state = self.capture()
        sides = answers.as_side(forward, state), answers.as_side(back, answers.after(forward, state))
        # Not the work directory, which is in memory: the copy of the database may have 100 MB.
        return UndoCheck(*self._ask(protocol.CheckUndo(str(self.root), str(self.archive), *sides)))

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        if not packages:
            return {}, ()
        wanted = tuple(package.identity for package in packages)
        given = zip(packages, self._ask(protocol.Available(str(self.root), wanted)))
        offers = ((package, protocol.Offered(*offer)) for package, offer in given if offer is not None)
        found = {package: Offer(offer.size, parse.kib(offer.installed), offer.sha256) for package, offer in offers}
        return found, tuple(package for package in packages if package not in found)

    def kernels(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """See Backend. Most of these packages are a kernel's modules, tools, and the like."""
        return tuple(package for package in packages if package.name.startswith("kernel"))

    def reboot_hints(self, since: Optional[float] = None) -> RebootHints:
        names, suggested = names_below(self.root), suggestions.kept(self.work)
        installed = () if since is None else self._installed_since(since, names, suggested)
        return RebootHints(names, suggested, installed)

    def file_name(self, package: Package) -> str:
        """See Backend. The epoch is part of the name here; dnf leaves it out."""
        return f"{package.name}-{package.version.replace(':', '%3a')}.{package.arch}.rpm"

    # --- files

    def fetch(self, packages: Sequence[Package]) -> None:
        """See Backend. Files are checked by checksum and, with gpgcheck, by signature."""
        if not packages:
            return
        progress = self.work / STATUS_FILE
        try:
            self._ask(
                protocol.Fetch(
                    str(self.root),
                    wanted=tuple(package.identity for package in packages),
                    digests=tuple(package.digest for package in packages),
                    files=tuple(str(self.archive / self.file_name(package)) for package in packages),
                    staging=str(self.archive),
                    progress=str(progress),
                )
            )
        except PackageError as error:
            raise PackageError(f"packages cannot be fetched: {error}") from error
        finally:
            # The progress of the transaction is in the run's log.
            progress.unlink(missing_ok=True)
