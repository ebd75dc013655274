"""The apt backend: what changes packages, with argument lists for apt-get, apt-mark and dpkg. repositories.py reads
what can be had, database.py what is installed.

Laws of the tools that decide the shape (apt-get(8), apt.conf(5), dpkg(1)): `apt-get update` ends with 0 when a
repository is down unless APT::Update::Error-Mode says otherwise; `install name=version` makes a package manually
installed and drops its hold; nothing may be asked, so configuration files are decided by --force-conf*; output goes to
a file, never to a pipe.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Sequence, Tuple

from os_update_agent.model.packages import (
    Aftercare,
    Package,
    Transaction,
)
from os_update_agent.node.process import run, run_to_file
from os_update_agent.packages.apt.commands import plain, read_from
from os_update_agent.packages.apt.dpkg_settings import put_back, set_aside
from os_update_agent.packages.apt.edited_texts import settle_edits
from os_update_agent.packages.apt.leaving import PartsOfLeaving, unwrap_scripts, wrap_scripts
from os_update_agent.packages.apt.options import NO_RELEASE
from os_update_agent.packages.apt.preferences import added_preferences, wanted
from os_update_agent.packages.apt.rehearsal import UNPACK
from os_update_agent.packages.apt.repack import repack
from os_update_agent.packages.apt.repositories import Repositories
from os_update_agent.packages.backend import Backend, set_marks
from os_update_agent.packages.complaints import UNKNOWN_TEXT, complaints_in
from os_update_agent.packages.interruption import Settled


class Apt(Repositories, Backend):
    """apt and dpkg on a root."""

    name = "apt"
    repacks = True
    shows_failures = True
    packaged_suffix = ".dpkg-dist"

    # --- changing

    def repack(self, package: Package) -> Path:
        """Rebuild the file of an installed package that no repository has any more, into the archive."""
        return repack(package, self.root, self.archive)

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
            run_to_file(self._dpkg(*UNPACK, *map(str, files)), output, ok=None, env=self._environment())

    def settle(self, output: IO[bytes], *, forced: bool) -> Settled:
        """Backward out of an interruption: merge dpkg's journal without running any maintainer script (dpkg(1),
        --set-selections).
        """
        self.wait()
        run_to_file(self._dpkg("--set-selections"), output, env=self._environment())
        return Settled()

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        """Run one transaction from package files. Returns what the package manager says went wrong; the database has
        the last word.
        """
        self._dismiss()
        self.wait()
        if not self._leaving:
            unwrap_scripts(self._admin)
            put_back(self.root)
        complaints: Tuple[str, ...] = ()
        start = output.tell()
        torn = [file for package, file in zip(transaction.install, transaction.files) if package in transaction.torn]
        self._unpack([Path(file) for file in (*transaction.unpacked, *torn)], output)
        if self._leaving:
            wrap_scripts(self._admin, self._leaving)
        transaction = self._begun(transaction, output) if forced and not transaction.reinstalls else transaction
        if transaction.install or transaction.remove:
            own = self._in_root("etc/apt/preferences")
            with added_preferences(wanted(transaction, forced), own=own, work=self.work) as options:
                parts = PartsOfLeaving(self.root, transaction.remove, self._replaced(transaction))
                complaints = self._apt_get((*options, *self._install(transaction, forced=forced)), output)
                complaints = tuple(map(parts.marked, complaints))
        if transaction.configures:
            run_to_file(self._dpkg("--configure", "-a"), output, ok=None, env=self._environment())
        unknown = settle_edits([Path(file) for file in transaction.rebuilt], self.root)
        for path in unknown:
            output.write(f"{UNKNOWN_TEXT}{path}\n".encode("utf-8", "surrogateescape"))
        return (*complaints, *complaints_in(read_from(output, start))) if self._leaving else complaints

    @contextmanager
    def letting_go(self, packages: Sequence[Package]) -> Iterator[bool]:
        """See Backend."""
        self.wait()
        unwrap_scripts(self._admin)
        put_back(self.root)
        try:
            with self._without_settings(packages):
                self._leaving = tuple(packages)
                self._has_settings_aside = set_aside(self.root, packages, self.packaged_texts())
                wrap_scripts(self._admin, self._leaving)
                yield True
        finally:
            self._leaving, self._has_settings_aside = (), False
            put_back(self.root)
            unwrap_scripts(self._admin)

    def _begun(self, transaction: Transaction, output: IO[bytes]) -> Transaction:
        """Begin a way back with what cannot be left to apt's order. Returns what is left."""
        calls = self._early_calls(transaction, self._needs())
        if not calls:
            return transaction
        for call in calls:
            run_to_file(self._dpkg(*call), output, ok=None, env=self._environment())
        # apt may not even know the name of a package that has gone.
        there = {package.identity for package in self.capture().packages if package.is_present}
        return transaction._replace(remove=tuple(p for p in transaction.remove if p.identity in there), mends=True)

    def finish(self, rest: Aftercare, output: IO[bytes]) -> Tuple[str, ...]:
        said = self._purge(rest.purge, output)
        failures = (*said, *set_marks(self._mark, rest.marks))
        if rest.holds:
            lines = "".join(f"{plain(package)} {package.want}\n" for package in rest.holds)
            self.wait()
            run(self._dpkg("--set-selections"), stdin=lines, env=self._environment())
        return failures

    def _purge(self, packages: Sequence[Package], output: IO[bytes]) -> Tuple[str, ...]:
        """Purge what packages have left. Those whose own script does not let them go are purged all the same. Return
        the complaints of these scripts.
        """
        if not packages:
            return ()
        purge = self._dpkg("--purge", *map(plain, packages))
        run_to_file(purge, output, ok=None, env=self._environment())
        there = {package.identity for package in self.capture().packages}
        left = [package for package in packages if package.identity in there]
        if not left or self._leaving:
            return ()
        start = output.tell()
        with self.letting_go(left):
            run_to_file(purge, output, ok=None, env=self._environment())
        return complaints_in(read_from(output, start))

    def _mark(self, packages: Sequence[Package], mark: str) -> None:
        self._run(["apt-mark", "-q", "-q", *NO_RELEASE, mark, *map(plain, packages)])
