"""The interface to a package manager.

To add one, implement each member of Backend except those with a default, and name the class in
packages/implementations.py; agent/README.rst lists the other places.

A backend reads the package database and changes it. It decides nothing: packages/state.py and packages/transition.py
decide which versions, marks and holds a node gets.
"""

from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import (
    IO,
    Callable,
    Collection,
    ContextManager,
    Dict,
    FrozenSet,
    List,
    Literal,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
)

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.package_files import NewKernels, Offer
from os_update_agent.model.packages import (
    Aftercare,
    Change,
    HeldBack,
    Identity,
    Package,
    PackageState,
    Selection,
    Slot,
    Transaction,
)
from os_update_agent.model.settings import SettingChange
from os_update_agent.node.locks import Held
from os_update_agent.packages.file_faults import FileFault
from os_update_agent.packages.interruption import Settled, Unfinished
from os_update_agent.packages.reboot_forecast import RebootHints
from os_update_agent.packages.undo_check import UndoCheck

Effect = FrozenSet[Tuple[Slot, Optional[str]]]


class Backend(Protocol):
    """One package manager on one root; all sizes on the disk are KiB.

    A member that does less in one implementation says so after "Left out".

    packages/implementations.py makes it with these arguments: ``root``, the root directory of the node; ``archive`` and
    ``work``, directories for package files and for generated files; ``lock_timeout`` in seconds; ``config_files``, the
    option; and, if the package manager's history takes a comment, ``value``.

    Every member raises PackageError, CommandFailed, or, if a lock is not free in time, Busy that names its holder.
    Members that take ``output`` run programs that change packages. Such a program is never killed and writes to that
    file, never to a pipe. ``forced`` allows what only a way back needs: downgrades, changes of held packages, removal
    of essential ones.
    """

    # The package format, as recorded states name it.
    name: Literal["apt", "dnf"]
    # Can repack() rebuild the file of an installed package?
    repacks: bool = False
    # Does the database show each package that a failing script has left unfinished?
    shows_failures: bool = False

    # What the package manager appends to the name of a packaged configuration file beside an edited one.
    packaged_suffix: str = ""

    # --- the database

    def capture(self) -> PackageState:
        """Return everything that the package database holds. An empty database is an error: it is damaged, or it is
        not this node's.
        """
        ...

    def present_sizes(self) -> Dict[Identity, int]:
        """Return what each installed package takes on the disk, as far as the database has it."""
        ...

    def paths(self, packages: Sequence[Package]) -> FrozenSet[str]:
        """Return the absolute paths of all files of installed packages, without the root."""
        ...

    def file_faults(
        self, changed: Collection[Identity] = (), files: Mapping[Identity, Path] = MappingProxyType({})
    ) -> Tuple[FileFault, ...]:
        """Return each path of the installed packages that is missing or of another type than its package has it.
        Configuration files are left out. Of the ``changed`` packages the content counts, too. ``files`` are package
        files of installed packages: each path in them has to be there, whatever the database lists.

        Left out: dnf ignores ``files``, because rpm's database lists every path of a package.
        """
        ...

    def packaged_texts(self) -> Mapping[str, PackagedText]:
        """Return what the installed packages have as the text of each of their configuration files, by its path."""
        ...

    def packaged_content(self, path: str, known: PackagedText) -> Optional[bytes]:
        """Return the text that an installed package has for a configuration file, one of packaged_texts(); None if it
        is not at hand.

        Left out: dnf has none, which is the default. rpm leaves the packaged text beside an edited file by itself.
        """
        return None

    def interrupted(self) -> bool:
        """Return whether a transaction was interrupted, so that settle() has to run before the next one."""
        ...

    def unfinished(self) -> Optional[Unfinished]:
        """Return what a repair has to put right before the next transaction. None if there is nothing, or if another
        process is at work on the packages. Waits for no lock and changes nothing.
        """
        ...

    def reboot_hints(self, since: Optional[float] = None) -> RebootHints:
        """Return which packages work only after a boot.

        With ``since`` (seconds since the epoch) the hints also name the installed packages that came after that time.
        Left out: apt ignores ``since``, because dpkg's database has no times.
        """
        ...

    # --- locks

    def wait(self) -> None:
        """Wait until no package manager is at work, perhaps one that has lost its caller. Raises Busy."""
        ...

    def held(self) -> Optional[Held]:
        """Return a lock that another process holds just now, with its process id. Does not wait."""
        ...

    # --- repositories

    def refresh(self) -> None:
        """Fetch the index again. It is an error if one enabled repository does not answer."""
        ...

    def candidates(self, state: PackageState, selection: Selection) -> Tuple[Tuple[Change, ...], Tuple[HeldBack, ...]]:
        """Return the updates that the selection asks for and that can be done together, and each newer version that is
        held back with the reason. ``state`` is the captured one. A change names its origins and says whether it is a
        security update.
        """
        ...

    def available(self, packages: Sequence[Package]) -> Tuple[Mapping[Package, Offer], Tuple[Package, ...]]:
        """Return which of the packages the repositories can give, and those that they cannot. Nothing is refreshed.

        An offer is the installed build, not only the same version, as far as the index can tell.
        """
        ...

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download available packages into the archive under file_name(), checked as the package manager checks what
        it installs itself.
        """
        ...

    # --- package files

    def file_name(self, package: Package) -> str:
        """Return the name of a package's file in the archive. No two identities may share one."""
        ...

    def installed_sizes(self, files: Sequence[Path]) -> Dict[Identity, int]:
        """Return what each package in the files takes once it is installed."""
        ...

    def builds(self, files: Sequence[Path]) -> Dict[Path, str]:
        """Return the digest of the build in each package file that can be read, in the form of Package.digest."""
        ...

    def kernels(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """Return those packages that may put a kernel into /boot: only their files are read by new_kernels()."""
        ...

    def new_kernels(self, files: Sequence[Path]) -> NewKernels:
        """Return what the package files bring into /boot."""
        ...

    def repack(self, package: Package) -> Path:
        """Rebuild the file of an installed package from its installed files, into the archive.

        Left out: only apt has it, and ``repacks`` says so. By default it raises PackageError.
        """
        raise PackageError(
            f"{package.label} is in no repository, and {self.name} cannot rebuild a package from what is installed"
        )

    # --- changes

    def effect(self, transaction: Transaction, *, forced: bool) -> Effect:
        """Rehearse the transaction with the options and files of transact(). Return the places that it would change,
        each with its new version, None for a removal.
        """
        ...

    def check_undo(self, forward: Transaction, back: Transaction) -> UndoCheck:
        """Rehearse ``back``, the forced way back, as if ``forward`` had been done. Both name the package files that the
        archive holds; nothing has changed yet. Return what would stop the way back, and what could not be checked.
        """
        ...

    def transact(self, transaction: Transaction, output: IO[bytes], *, forced: bool) -> Tuple[str, ...]:
        """Run one transaction from package files, without any network. Return the errors that the package manager
        reports; call capture() to check the target.
        """
        ...

    def letting_go(self, packages: Sequence[Package]) -> ContextManager[bool]:
        """Until the end of the block, let failing scripts and hooks of these packages stop no transaction: they leave.
        The value says whether this makes a difference to transact(), so that another attempt is worth while.

        Left out: dnf completes a way back within transact(), which is the default.
        """
        return nullcontext(False)

    def finish(self, rest: Aftercare, output: IO[bytes]) -> Tuple[str, ...]:
        """Purge left-over configuration, set the marks and the holds. Return a sentence for each mark that not every
        package could get.

        Left out: dnf sets the marks only. rpm has no holds and no left-over configuration, so ``rest`` names none.
        """
        ...

    def settle(self, output: IO[bytes], *, forced: bool) -> Settled:
        """Repair an interrupted transaction just enough for the next one. Return what that has changed, and the errors;
        call interrupted() to check the repair.

        Left out: apt names no package, because merging dpkg's journal changes none.
        """
        ...

    def mend(self, files: Sequence[Path], output: IO[bytes]) -> Tuple[str, ...]:
        """Complete an interrupted transaction: unpack ``files`` over half-installed packages, then finish the rest.
        Return the errors; call capture() to check the packages.

        Left out: dnf ignores ``files``, because rpm has no half-installed packages.
        """
        ...

    # --- settings outside of packages; capture() reads them

    def owners(self, paths: Sequence[str], state: PackageState) -> Tuple[Package, ...]:
        """Return the packages of the state that are installed, in any version, and list one of the paths.

        Left out: dnf returns none, because rpm has no overrides.
        """
        return ()

    def arrange(
        self, changes: Sequence[SettingChange], files: Mapping[Package, Optional[Path]], output: IO[bytes]
    ) -> None:
        """Change settings with the package manager's own tools, whose words go to the log. Call capture() to check
        them.

        ``files`` are the package files of the owners() of each path that loses its override (None: not available). Such
        a path gets the owner and mode of its package. If that is impossible it keeps the override.

        Left out: rpm nodes have alternatives only, so dnf ignores ``files``.
        """
        ...

    # --- processes

    def session(self) -> ContextManager[None]:
        """Allow the backend to keep its worker between requests until the end of the block."""


def set_marks(
    mark: Callable[[Sequence[Package], str], None], marks: Mapping[str, Sequence[Package]]
) -> Tuple[str, ...]:
    """Call ``mark`` for each mark. Return a sentence for each one that fails: the packages are there by then, and a
    wrong mark is no reason to undo that.
    """
    failures: List[str] = []
    for word, packages in marks.items():
        try:
            mark(packages, word)
        except (PackageError, CommandFailed) as error:
            failures.append(f"not every package got the mark {word!r}: {error}")
    return tuple(failures)
