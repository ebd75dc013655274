"""From one package state to another with what the archive holds: keep the old, fetch the new, rehearse, go there."""

from contextlib import suppress
from pathlib import Path
from typing import IO, Collection, Mapping, NamedTuple, Sequence, Set, Tuple

from os_update_agent.model.errors import NotRestorable, PackageError
from os_update_agent.model.packages import Aftercare, Package, PackageState, Transaction, diff
from os_update_agent.node.process import uninterrupted
from os_update_agent.packages import disk_space
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.arrangement import Arrangement
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.complaints import is_of_leaving
from os_update_agent.packages.file_faults import FileFault, new_faults
from os_update_agent.packages.interruption import Settled, halves
from os_update_agent.packages.state import (
    aftercare,
    broken,
    is_torn,
    is_unfinished,
    leaving,
    leaving_torn,
    rebuilt,
    sound,
    transaction,
    visible,
    with_builds,
)
from os_update_agent.packages.undo_check import UndoCheck
from os_update_agent.text.phrases import labels, named, other_effect


class Transition(NamedTuple):
    """The way between two states on one node. ``root`` is where the packages are; ``output`` takes what the package
    manager prints.

    ``forced`` allows what only a way back needs: downgrades, changes of held packages, removal of essential ones.
    ``only_look``: the kept files are not read, and none is dropped.
    """

    backend: Backend
    archive: Archive
    root: Path
    output: IO[bytes]
    only_look: bool = False

    @property
    def arrangement(self) -> Arrangement:
        """The settings outside of packages."""
        return Arrangement(self.backend, self.archive, self.root, self.output)

    def lost_by(self, before: PackageState, target: PackageState) -> Tuple[Package, ...]:
        """The packages that could not be put back, found without fetching anything: the undo check."""
        return self.backend.available(self.archive.missing(_replaced(before, target)))[1]

    def gather(self, before: PackageState, target: PackageState) -> None:
        """Old and new files in one go, for the cost of one: each question to the package manager takes about as long as
        a small download.

        What does not work is left to fetch() and keep_old(), which do it one by one and say why.
        """
        with suppress(PackageError):
            self.archive.obtain(
                tuple(dict.fromkeys((*transaction(before, target).install, *_replaced(before, target))))
            )

    def keep_old(self, before: PackageState, target: PackageState) -> Tuple[Mapping[Package, str], Tuple[str, ...]]:
        """Law 3: get hold of every file that is about to be replaced.

        Returns those that cannot be had, with the reason why they cannot even be rebuilt, and those that were rebuilt.
        """
        old = _replaced(before, target)
        lost = self.archive.repack(self._unobtainable(old))
        return lost, tuple(package.label for package in self.archive.rebuilt(old))

    def obtained(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """Get hold of the files of packages. Returns those that cannot be had."""
        lost = self._unobtainable(packages)
        try:
            self.archive.flush()
        except PackageError:
            return tuple(packages)
        return lost

    def _unobtainable(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """What nobody has; also what a repository lists and does not give, found by asking for each alone."""
        try:
            return self.archive.obtain(packages)
        except PackageError:
            if len(packages) == 1:
                return tuple(packages)
            return tuple(lost for package in self.archive.missing(packages) for lost in self._unobtainable([package]))

    def fetch(self, now: PackageState, target: PackageState) -> PackageState:
        """Obtain every file of the way. Returns the target with the builds that the files have where it left them open.

        Raises NotRestorable that names packages without a file anywhere, PackageError if fetching fails.
        """
        missing = self.archive.obtain(transaction(now, target).install)
        if missing:
            raise NotRestorable(
                f"neither the archive nor a repository has {labels(missing)}; offer it in a repository again, or go to"
                " another value"
            )
        self.arrangement.fetch(now, target)
        return with_builds(target, now, self.archive.fetched)

    def mend(self, now: PackageState) -> None:
        """Complete what an interruption has left: unpack half-installed packages again in the version that they have,
        as far as their files can be had, and configure all.
        """
        torn = [package for package in now.packages if is_torn(package)]
        missing = self.archive.obtain(torn) if torn else ()
        files = self.archive.files([package for package in torn if package not in missing])
        self.archive.flush()
        with uninterrupted():
            self.backend.mend(files, self.output)

    def settle(self, *, forced: bool) -> Settled:
        """Get out of an interruption so far that a transaction can start. The package database says whether that has
        worked (law 2).

        Returns what that has changed, and what the package manager complained about. Raises PackageError with these
        words if it is still interrupted.
        """
        self.backend.wait()
        if not self.backend.interrupted():
            return Settled()
        with suppress(PackageError):
            # Without the file of one architecture the others cannot be completed either.
            self.archive.obtain(halves(self.backend.unfinished(), self.backend.capture()))
            self.archive.flush()
        with uninterrupted():
            done = self.backend.settle(self.output, forced=forced)
        if self.backend.interrupted():
            raise PackageError(
                "an interrupted transaction of packages cannot be completed: "
                + ("; ".join(done.complaints) or "the package manager said nothing of it")
                + _in_the_way(self.backend.capture())
            )
        return done

    def check_space(self, before: PackageState, target: PackageState) -> None:
        """Raises PackageError when a file system is too small."""
        changes = visible(diff(before, target))
        install = [change.after for change in changes if change.after]
        need = disk_space.peak(changes, self.archive.installed_kb(install), self.backend.present_sizes())
        kernels = self.archive.files(self.backend.kernels(install))
        boot = disk_space.boot_need(self.root, self.backend.new_kernels(kernels))
        disk_space.check_space(self.root, need, boot, self.archive.directory)

    def rehearse(self, before: PackageState, target: PackageState, *, forced: bool) -> None:
        """Rehearse the transaction itself. Raises PackageError unless the package manager would do the plan and nothing
        else.
        """
        changes = visible(diff(before, target))
        planned = frozenset(
            (before.slot(change.package), change.after.version if change.after else None)
            for change in set(changes).difference(rebuilt(changes))
        )
        todo = transaction(before, target)
        effect = self.backend.effect(self._with_files(todo), forced=forced)
        # Torn packages, and packages of the same version in other bytes, count as changes to the package manager alone.
        there = {package.identity for package in before.packages}
        reinstalled = {
            (before.slot(package), package.version)
            for package in (*broken(before), *todo.install)
            if package.identity in there
        }
        differs = other_effect(effect - (reinstalled - planned), planned)
        if differs:
            raise PackageError(f"the package manager would not do what was planned; {differs}")

    def check_undo(self, before: PackageState, target: PackageState) -> UndoCheck:
        """Rehearse the way back from the target before the way there is taken, with the files that are here."""
        forward, back = transaction(before, target), transaction(target, sound(before))
        missing = self.archive.missing((*forward.install, *back.install))
        if missing:
            return UndoCheck(unchecked=(f"the way back could not be rehearsed without the files of {labels(missing)}",))
        return self.backend.check_undo(self._with_files(forward), self._with_files(back))

    def go(self, target: PackageState, *, forced: bool) -> Tuple[str, ...]:
        """Run one transaction from here to the target, then purge, mark and hold. The settings outside of packages are
        put back before and after it. Returns what the package manager complained about, except for marks and settings:
        a capture shows the wrong ones.
        """
        self.archive.flush()
        self.settle(forced=forced)
        start = self.backend.capture()
        self.arrangement.before(start, target)
        with uninterrupted():
            complaints = self._go_on(target, forced=forced)
            if forced and complaints and is_unfinished(self.backend.capture(), target):
                with self.backend.letting_go(leaving(start, target)) as is_other:
                    complaints += self._go_on(target, forced=forced) if is_other else ()
        self.arrangement.after(target)
        return tuple(dict.fromkeys(complaints))

    def _go_on(self, target: PackageState, *, forced: bool) -> Tuple[str, ...]:
        """Make one attempt to go to the target. Return the complaints."""
        for _ in range(2):
            now = self.backend.capture()
            todo = transaction(now, target)._replace(unpacked=self._files_of(leaving_torn(now, target)))
            complaints = self.backend.transact(self._with_files(todo), self.output, forced=forced)
            if complaints or not (todo.mends or (forced and self._lacks(target))):
                break
            # A second transaction is needed in two cases. The first one has repaired broken packages, perhaps with
            # packages that the target does not have. Or a package has disappeared, because another package in its
            # newer version replaced all of its files; that version is gone now.
        return (*complaints, *self._finish(aftercare(self.backend.capture(), target, todo.purge)))

    def _lacks(self, target: PackageState) -> bool:
        return bool(transaction(self.backend.capture(), target).install)

    def faults(
        self, changed: Collection[Package], packed: Sequence[Package], earlier: Collection[str]
    ) -> Tuple[FileFault, ...]:
        """Return the faults of installed files that are not at or below the ``earlier`` paths.

        The content of the ``changed`` packages counts, unless their file was rebuilt: it holds what was on the disk.
        Each path in the kept files of the ``packed`` packages has to be there.
        """
        own = self.archive.rebuilt(changed)
        original = [package for package in changed if package not in own]
        missing = self.archive.missing(packed)
        kept = [package for package in packed if package not in missing]
        files = dict(zip((package.identity for package in kept), self.archive.files(kept)))
        found = self.backend.file_faults(frozenset(package.identity for package in original), files)
        return new_faults(found, earlier)

    def reinstall(self, faults: Collection[FileFault], target: PackageState) -> Tuple[Tuple[str, ...], Set[Package]]:
        """Install the packages with faulty files again. Returns what the package manager complained about, and the
        packages whose files cannot be had.
        """
        owners = {fault.identity for fault in faults}
        packages = [package for package in target.packages if package.identity in owners]
        lost = set(self._unobtainable(packages))
        todo = Transaction(install=tuple(one for one in packages if one not in lost), reinstalls=True)
        self.archive.flush()
        with uninterrupted():
            complaints = self.backend.transact(self._with_files(todo), self.output, forced=True) if todo.install else ()
            self._finish(aftercare(self.backend.capture(), target, ()))
        # Their scripts have run again.
        self.arrangement.after(target)
        return complaints, lost

    def _finish(self, rest: Aftercare) -> Tuple[str, ...]:
        """Purge, mark and hold. A mark that cannot be set is explained in the log; a capture shows it. Return the
        complaints of leaving packages.
        """
        failures = self.backend.finish(rest, self.output)
        for failure in failures:
            with suppress(OSError):
                self.output.write(f"{failure}\n".encode("utf-8", "replace"))
        return tuple(failure for failure in failures if is_of_leaving(failure))

    def _files_of(self, packages: Sequence[Package]) -> Tuple[str, ...]:
        """Return the files of those packages that have one here."""
        missing = self.archive.missing(packages) if packages else ()
        return tuple(map(str, self.archive.files([package for package in packages if package not in missing])))

    def _with_files(self, todo: Transaction) -> Transaction:
        files = self.archive.files(todo.install, only_look=self.only_look)
        own = self.archive.rebuilt(todo.install)
        own_files = tuple(str(file) for package, file in zip(todo.install, files) if package in own)
        return todo._replace(files=tuple(map(str, files)), rebuilt=own_files)


def _replaced(before: PackageState, target: PackageState) -> Tuple[Package, ...]:
    return tuple(change.before for change in visible(diff(before, target)) if change.before)


def _in_the_way(state: PackageState) -> str:
    """Return what to do by hand if two versions are in one place; "" if that is not what is wrong."""
    doubled = [rows for rows in state.slots.values() if len(rows) > 1]
    if not doubled:
        return ""
    each = named([f"{rows[0].name} ({' and '.join(package.version for package in rows)})" for rows in doubled])
    return (
        f"; two versions are there of {each}: mend what stops it, or erase the old one by hand without its scripts (rpm"
        " -e --noscripts)"
    )
