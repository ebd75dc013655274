"""The changes of packages with dnf 4 and dnf 5: transactions, their completion, marks, and settings.

Facts of rpm that decide the shape (rpm(8), and measured): a failing scriptlet does not take its package back; a failing
%preun or %triggerun keeps the package that is to leave, and its successor is there as well; a transaction that was
ended halfway leaves two versions of a package, and only forward is clean from there.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Aftercare, Identity, Package, Transaction
from os_update_agent.model.settings import MODULE, SettingChange
from os_update_agent.packages.backend import Backend, set_marks
from os_update_agent.packages.dnf import answers, default_streams, protocol
from os_update_agent.packages.dnf.answers import as_todo, dnf_word
from os_update_agent.packages.dnf.requests import DnfCalls
from os_update_agent.packages.interruption import Settled, settled
from os_update_agent.packages.printed import printed_since
from os_update_agent.packages.rpm.alternatives import arrange_alternatives
from os_update_agent.packages.rpm.database import native_architecture


@dataclass
class DnfChanges(DnfCalls, Backend):
    """The members of Backend that change packages."""

    def _is_unfinished(self) -> bool:
        """Has the last transaction in dnf's record no end? Then dnf is at work just now, or it was ended halfway.

        Raises PackageError.
        """
        raise NotImplementedError

    def mend(self, files: Sequence[Path], output: IO[bytes]) -> Tuple[str, ...]:
        """See Backend. Only completing an interrupted transaction repairs anything, as settle() does. There are never
        files to unpack: an rpm is installed or it is not.
        """
        return self.settle(output, forced=False).complaints

    def settle(self, output: IO[bytes], *, forced: bool) -> Settled:
        """See Backend. Complete an interrupted transaction: install what dnf's record says should have come, and remove
        what should have gone. Only forward leaves the files on the disk as the database says; a way back starts from
        there.

        ``forced``: an old version that its scriptlets do not let go is removed without them. On a way back nothing else
        helps: erasing the new version beside it leaves the new files, and installing the old one again runs the same
        scriptlet.
        """
        self.wait()
        if not self.interrupted():
            return Settled()
        before = self._instances()
        complaints = self._complete(output, forced=forced)
        return settled(complaints, before, self._instances(), self.capture())

    def _complete(self, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        start = os.fstat(output.fileno()).st_size
        try:
            problems = self._ask(
                protocol.Complete(str(self.root), native_architecture(), str(self.archive), forced), output
            )
        except PackageError as error:
            return (str(error),)
        finally:
            self._dismiss()
        return answers.as_complaints(protocol.Done(problems, _written(output, start)))

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        if not (transaction.install or transaction.remove):
            return ()
        if self.config_files == "replace":
            output.write(
                b"config_files: replace has no meaning for rpm, which decides by each package: see .rpmnew files\n"
            )
        goes = answers.leaving(transaction, self.capture()) if forced else ()
        self._keep_modules()
        if not forced:
            self._enable_streams(transaction, output)
        try:
            todo = as_todo(transaction, native_architecture(), forced=forced)
            done = self._ask(protocol.Transact(str(self.root), self._comment, todo), output)
            complaints = answers.as_complaints(protocol.Done(*done))
        except PackageError as error:
            return (str(error),)
        finally:
            # The transaction may have replaced the dnf, rpm or Python that the worker runs: modules that it loads later
            # would be of another version.
            if self._child is not None:
                self._child.leave()
        if forced and (complaints or self._keeps(goes)):
            complaints = (*complaints, *self._erase_kept(transaction, goes, output))
        return complaints

    def _keep_modules(self) -> None:
        """Keep the metadata of enabled streams for a way back, if dnf has any."""

    def _set_modules(self, changes: Sequence[SettingChange]) -> None:
        """Enable, disable and reset modules. Raises PackageError."""
        raise NotImplementedError

    def _enable_streams(self, transaction: Transaction, output: IO[bytes]) -> None:
        """Enable the default streams of the new packages, as dnf does before its transaction. A stream that cannot be
        enabled is explained in the log: the packages do not depend on it.
        """
        streams = default_streams.kept(self.work, (package.identity for package in transaction.install))
        if streams:
            try:
                self._ask(protocol.Enable(str(self.root), streams), output)
            except PackageError as error:
                output.write(f"not every module stream was enabled: {error}\n".encode("utf-8", "replace"))

    def _keeps(self, goes: Sequence[Identity]) -> bool:
        return not {package.identity for package in self.capture().packages}.isdisjoint(goes)

    def _erase_kept(self, transaction: Transaction, goes: Sequence[Identity], output: IO[bytes]) -> Sequence[str]:
        """Complete a way back: erase the packages that a scriptlet has kept. Return what was done and what failed.

        Such a scriptlet may belong to another package (%triggerun). It may also keep the old row of a package that was
        installed again.
        """
        comes = tuple(package.identity for package in transaction.install)
        try:
            return tuple(self._ask(protocol.Erase(str(self.root), native_architecture(), comes, tuple(goes)), output))
        except PackageError as error:
            return (str(error),)
        finally:
            self._dismiss()

    def finish(self, rest: Aftercare, output: IO[bytes]) -> Tuple[str, ...]:
        """See Backend. dnf's versionlock is the operator's file, which is read and never written."""
        return set_marks(self._mark, rest.marks)

    def arrange(
        self, changes: Sequence[SettingChange], files: Mapping[Package, Optional[Path]], output: IO[bytes]
    ) -> None:
        self.wait()
        try:
            if any(change.kind == MODULE for change in changes):
                self._set_modules(changes)
        except PackageError as error:
            output.write(f"{error}\n".encode("utf-8", "replace"))
        arrange_alternatives(changes, self.root, output)

    def _mark(self, packages: Sequence[Package], mark: str) -> None:
        """Set dnf's reason of the packages. Raises PackageError if not all can get it, after setting the others."""
        if self._is_unfinished():
            raise PackageError("a transaction of dnf has no end yet, and a reason would take its place in the record")
        identities = tuple(package.identity for package in packages)
        self._ask(protocol.Mark(str(self.root), self._comment, identities, dnf_word(mark)))


def _written(output: IO[bytes], start: int) -> List[str]:
    """Return the lines that were written to a file since it was ``start`` bytes long; none if it cannot be read."""
    with suppress(OSError):
        return printed_since(f"/proc/self/fd/{output.fileno()}", start).splitlines()
    return []
