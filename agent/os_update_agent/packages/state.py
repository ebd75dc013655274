"""What has to be done to turn one package state into another, and whether it has been done. Pure."""

from dataclasses import replace
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, Tuple

from os_update_agent.model.builds import is_other_build, is_same_build
from os_update_agent.model.packages import (
    CONFIG_FILES,
    Aftercare,
    Change,
    Identity,
    Package,
    PackageState,
    Slot,
    Transaction,
    diff,
    may_be_row,
    with_rows,
)
from os_update_agent.packages.settings import Place, settings_overlaid


def expected(before: PackageState, changes: Iterable[Change]) -> PackageState:
    """The state that an update aims at. A removed package may leave its configuration behind; see unmet(). The new
    versions may change the settings outside of packages, so these are unknown.
    """
    aims = []
    for change in changes:
        after = change.after
        if after is None and change.before is not None and before.backend == "apt":
            after = change.before._replace(status=CONFIG_FILES, want="deinstall", mark="manual")
        aims.append(Change(change.before, after))
    return replace(with_rows(before, tuple(aims)), settings=None)


def visible(changes: Iterable[Change]) -> Tuple[Change, ...]:
    """The changes of versions and builds, without those that only concern marks, holds or left-over configuration."""
    shown = []
    for change in changes:
        before = change.before if change.before and change.before.is_present else None
        after = change.after if change.after and change.after.is_present else None
        is_other = before and after and is_other_build(before.digest, after.digest)
        if is_other or (before and before.version) != (after and after.version):
            shown.append(replace(change, before=before, after=after))
    return tuple(shown)


def as_recorded(state: PackageState, recorded: PackageState) -> PackageState:
    """Return the state as an older agent would have recorded it, which has recorded the other one: without settings,
    without builds of apt's packages, or with fewer kinds of rpm's digests.
    """
    if recorded.settings is None:
        state = replace(state, settings=None)
    known = {package.identity: package for package in recorded.packages}
    rows = (_as_recorded(row, known.get(row.identity, row)) for row in state.packages)
    return replace(state, packages=tuple(rows))


def _as_recorded(row: Package, known: Package) -> Package:
    if row.digest == known.digest or (known.digest and is_other_build(row.digest, known.digest)):
        return row
    return row._replace(digest=known.digest) if row.digest else row


def of_unknown_builds(state: PackageState) -> Tuple[Package, ...]:
    """Return the packages of which the state does not know the build: an older agent has recorded it."""
    return tuple(package for package in state.packages if package.is_whole and not package.digest)


def rebuilt(changes: Iterable[Change]) -> Tuple[Change, ...]:
    """Return those of the changes that bring another build of the same version, known or planned."""
    return tuple(
        change
        for change in visible(changes)
        if change.before is not None and change.after is not None and change.before.version == change.after.version
    )


def with_builds(target: PackageState, now: PackageState, builds: Mapping[Identity, str]) -> PackageState:
    """Return the target with the digests of those builds that it has only planned. Where the build is the installed one
    the row stays as it is now.
    """
    if not any(package.is_planned for package in target.packages):
        return target
    there = {package.identity: package for package in now.packages}
    rows = []
    for package in target.packages:
        build = builds.get(package.identity, "") if package.is_planned else ""
        old = there.get(package.identity)
        if build:
            package = old if old is not None and is_same_build(old.digest, build) else package._replace(digest=build)
        rows.append(package)
    return replace(target, packages=tuple(sorted(rows)))


def transaction(now: PackageState, target: PackageState) -> Transaction:
    """What the package manager has to do on the way from ``now`` to ``target``; marks and holds are put right
    afterwards.
    """
    install: List[Package] = []
    torn: List[Package] = []
    remove: List[Package] = []
    purge: List[Package] = []
    reinstalls = configures = False
    for change in _differences(now, target):
        old = change.before if change.before and change.before.is_present else None
        new = change.after if change.after and change.after.is_present else None
        if new is not None and old is not None and is_torn(old):
            torn.append(new)
            install.append(new)
        elif new is not None and (old is None or (old.version, old.arch) != (new.version, new.arch)):
            install.append(new)
        elif new is not None and old is not None and is_other_build(old.digest, new.digest):
            # The same version in other bytes: rebuilt by its distribution, or by the site.
            reinstalls = True
            install.append(new)
        elif new is not None and old is not None and not old.is_whole:
            configures = True
        elif old is not None and new is None:
            remove.append(old)
        if change.after is None and change.before is not None:
            purge.append(change.before)
    return Transaction(
        tuple(install), tuple(torn), tuple(remove), tuple(purge), reinstalls, configures, bool(broken(now))
    )


def unmet(now: PackageState, target: PackageState) -> Tuple[Change, ...]:
    """The rows that the package database does not confirm.

    Left-over configuration that the target remembers and the node has lost cannot be brought back without
    its package, and changes nothing that runs: it does not count.
    """
    return tuple(
        change
        for change in _differences(now, target)
        if ((change.before and change.before.is_present) or change.after is None or change.after.is_present)
        and not _differs_by_unknown_digest(change)
    )


def of_marks(changes: Iterable[Change]) -> Tuple[Change, ...]:
    """Those of the changes that concern nothing but the mark: every package is there as it should be, and it runs the
    same.
    """
    return tuple(
        change
        for change in changes
        if change.before is not None
        and change.after is not None
        and may_be_row(change.before._replace(mark=change.after.mark), change.after)
    )


def _differs_by_unknown_digest(change: Change) -> bool:
    """A planned package has no digest before its file is there; any will do then. A package that was interrupted has
    none, either.
    """
    return change.before is not None and change.after is not None and may_be_row(change.before, change.after)


def remarks(now: PackageState, target: PackageState) -> Mapping[str, Tuple[Package, ...]]:
    """Packages whose mark has to change, by the mark that they have to get."""
    wanted: Dict[str, Tuple[Package, ...]] = {}
    for old, new in _staying(now, target):
        if old.mark != new.mark:
            wanted[new.mark] = (*wanted.get(new.mark, ()), new)
    return wanted


def reholds(now: PackageState, target: PackageState) -> Tuple[Package, ...]:
    """Packages whose selection (hold or not) has to change, as they have to be."""
    return tuple(new for old, new in _staying(now, target) if old.want != new.want)


def _staying(now: PackageState, target: PackageState) -> Iterator[Tuple[Package, Package]]:
    for change in _differences(now, target):
        old, new = change.before, change.after
        if old is not None and new is not None and old.is_present and new.is_present:
            yield old, new


def overlaid(
    now: PackageState, recorded: PackageState, touched: FrozenSet[Slot], settings: FrozenSet[Place] = frozenset()
) -> PackageState:
    """``now`` with only the touched places and settings put back to what was recorded (option ``restore: changes``)."""
    untouched = [package for package in now.packages if now.slot(package) not in touched]
    put_back = [package for package in recorded.packages if recorded.slot(package) in touched]
    return replace(
        now,
        packages=tuple(sorted(untouched + put_back)),
        settings=settings_overlaid(now.settings, recorded.settings, settings),
    )


def touched_by(before: PackageState, after: PackageState) -> FrozenSet[Slot]:
    """The places that differ between two states."""
    changes = (change for change in diff(before, after) if not _differs_by_unknown_digest(change))
    return frozenset(before.slot(change.package) for change in changes)


def _differences(now: PackageState, target: PackageState) -> Tuple[Change, ...]:
    """diff(), with one mind about which names are install-only: a planned state does not know those that came with
    it.
    """
    names = now.install_only | target.install_only
    if now.install_only != target.install_only:
        now, target = replace(now, install_only=names), replace(target, install_only=names)
    return diff(now, target)


def is_torn(package: Package) -> bool:
    """Was the package interrupted while it was unpacked? Only its unpacking anew mends it (dpkg(1),
    "half-installed").
    """
    return package.is_present and (package.status == "half-installed" or package.flag != "ok")


def aftercare(now: PackageState, target: PackageState, purge: Iterable[Package]) -> Aftercare:
    """Return what is left to be put right on the way to the target. Of ``purge`` only what has left its configuration
    counts.
    """
    left_over = {package.identity for package in now.packages if not package.is_present}
    return Aftercare(
        tuple(package for package in purge if package.identity in left_over),
        remarks(now, target),
        reholds(now, target),
    )


def leaving_torn(now: PackageState, target: PackageState) -> Tuple[Package, ...]:
    """The torn packages that the target has no version of."""
    leaving = (change.before for change in _differences(now, target) if not (change.after and change.after.is_present))
    return tuple(package for package in leaving if package is not None and is_torn(package))


def leaving(now: PackageState, target: PackageState) -> Tuple[Package, ...]:
    """The packages that a way to the target removes, replaces by another build, or purges."""
    todo = transaction(now, target)
    coming = {now.slot(package) for package in todo.install}
    replaced = (package for package in now.packages if package.is_present and now.slot(package) in coming)
    return tuple(dict.fromkeys((*replaced, *todo.remove, *todo.purge)))


def is_unfinished(now: PackageState, target: PackageState) -> bool:
    """Does a way to the target still have something to install, to remove, or to configure?"""
    todo = transaction(now, target)
    return bool(todo.install or todo.remove or todo.configures or todo.mends)


def broken(state: PackageState) -> Tuple[Package, ...]:
    """Packages that an interruption has left neither installed nor gone."""
    return tuple(package for package in state.packages if package.is_present and not package.is_whole)


def sound(state: PackageState) -> PackageState:
    """The state with every package whole: one that was captured half-configured is restored configured."""
    rows = (
        package._replace(status="installed", flag="ok") if package.is_present else package for package in state.packages
    )
    return replace(state, packages=tuple(sorted(rows)))
