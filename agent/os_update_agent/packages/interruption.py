"""What an interrupted transaction has left to do, and what its repair has changed. Pure."""

from typing import Collection, FrozenSet, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.packages import Identity, Package, PackageState

# The installed packages, each with a mark that is new after each installation.
Instances = FrozenSet[Tuple[Identity, str]]


class Unfinished(NamedTuple):
    """An interruption that has to be repaired before the next transaction.

    Attributes:
        names: The names of its packages (empty: not known).
        comes: The packages that it was to install, as far as they are known.
    """

    names: Tuple[str, ...] = ()
    comes: Tuple[Package, ...] = ()


class Settled(NamedTuple):
    """The repair of an interruption.

    Attributes:
        complaints: The errors of the package manager.
        present: The packages that it has installed, installed again, or freed from an old version.
        removed: The packages that it has removed without a successor.
    """

    complaints: Tuple[str, ...] = ()
    present: Tuple[Package, ...] = ()
    removed: Tuple[Package, ...] = ()

    @property
    def names(self) -> Tuple[str, ...]:
        return tuple(sorted({package.name for package in (*self.present, *self.removed)}))


def settled(complaints: Sequence[str], before: Instances, after: Instances, state: PackageState) -> Settled:
    """Return the repair that lies between two lists of what was installed; ``state`` is that after it."""
    slots = {state.slot(Package(*identity)) for identity, _ in before ^ after}
    present = tuple(package for package in state.packages if state.slot(package) in slots)
    gone = sorted({Package(*identity) for identity, _ in before})
    return Settled(
        tuple(complaints), present, tuple(package for package in gone if state.slot(package) not in state.slots)
    )


def halves(unfinished: Optional[Unfinished], state: PackageState) -> Tuple[Package, ...]:
    """Return the packages that come in one of several architectures of their name: they are completed all or none."""
    comes = unfinished.comes if unfinished else ()
    return tuple(package for package in comes if len(_places(package.name, (*comes, *state.packages), state)) > 1)


def _places(name: str, packages: Collection[Package], state: PackageState) -> Collection[Tuple[str, str]]:
    if name in state.install_only:
        return ()
    return {state.slot(package) for package in packages if package.name == name}
