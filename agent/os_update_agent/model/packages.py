"""Packages, the states that they form, and what turns one state into another."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from os_update_agent.model.builds import OTHER, is_other_build, is_same_build
from os_update_agent.model.settings import MARK, Settings, lines_of, settings_in

# A package of these architectures stands in the place of the native one.
NEUTRAL_ARCHES = ("all", "noarch")
CONFIG_FILES = "config-files"

Row = List[str]
Slot = Tuple[str, str]
Identity = Tuple[str, str, str]


class Package(NamedTuple):
    """One row of the package database. A tuple: thousands of them are made, sorted and compared in each run.

    ``status``, ``want`` and ``flag`` are dpkg's words (dpkg-query(1), db:Status-*); an rpm row keeps the defaults.
    ``mark`` is "manual" or "auto" (or a finer reason that the package manager knows). ``digest`` tells the builds of
    one version apart ("": unknown); see model/builds.py.
    """

    name: str
    arch: str
    version: str
    status: str = "installed"
    want: str = "install"
    flag: str = "ok"
    mark: str = "manual"
    digest: str = ""

    @property
    def is_present(self) -> bool:
        """Are files of the package (perhaps only some) on the disk, other than left-over configuration?"""
        return self.status != CONFIG_FILES

    @property
    def is_whole(self) -> bool:
        return self.status == "installed" and self.flag == "ok"

    @property
    def is_held(self) -> bool:
        return self.want == "hold"

    @property
    def is_planned(self) -> bool:
        """Is the build any other one than that which is installed?"""
        return self.digest.startswith(OTHER)

    @property
    def label(self) -> str:
        return f"{self.name}:{self.arch} {self.version}"

    @property
    def identity(self) -> Identity:
        """What a package file is known by."""
        return self.name, self.arch, self.version

    def row(self) -> Row:
        """The package as a short list: defaults at the end are left out."""
        length = len(self)
        while length > 3 and self[length - 1] == _DEFAULTS[length - 4]:
            length -= 1
        return list(self[:length])


def is_row(row: Optional[Package], other: Optional[Package]) -> bool:
    """Are two rows the same? An older agent has recorded the same build with fewer kinds of digests."""
    if row == other or row is None or other is None:
        return row == other
    return is_same_build(row.digest, other.digest) and row._replace(digest=other.digest) == other


def may_be_row(row: Package, other: Package) -> bool:
    """Are two rows the same as far as their builds are known?"""
    return row == other or (not is_other_build(row.digest, other.digest) and row._replace(digest=other.digest) == other)


_DEFAULTS = ("installed", "install", "ok", "manual", "")
_PLAIN = "\t".join(("", *_DEFAULTS))


def as_package(line: str) -> Package:
    """The package of one of a state's lines."""
    return Package(*line.split("\t"))


@dataclass(frozen=True)
class PackageState:
    """Everything that the package database holds, in one order. Equal digest means: restored.

    ``install_only`` names the packages of which an update adds a version beside the old ones (kernels of an rpm node).
    ``settings`` are the settings outside of packages (None: unknown).
    """

    backend: str
    native: str
    packages: Tuple[Package, ...]
    install_only: FrozenSet[str] = frozenset()
    settings: Settings = None

    @cached_property
    def lines(self) -> Tuple[str, ...]:
        """All rows as text in their one order. No package manager allows a tab or a line end in a field."""
        rows = ["\t".join(package).removesuffix(_PLAIN) for package in self.packages]
        return tuple(sorted(rows + lines_of(self.settings)))

    @cached_property
    def digest(self) -> str:
        """sha256 over the lines."""
        import hashlib  # late: it loads OpenSSL

        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    @classmethod
    def of_lines(
        cls, backend: str, native: str, lines: Iterable[str], install_only: Iterable[str] = ()
    ) -> "PackageState":
        """The state with these lines. Raises TypeError where a line is none."""
        ordered = tuple(sorted(lines))
        rows = tuple(as_package(line) for line in ordered if not line.startswith(MARK))
        settings = settings_in(line for line in ordered if line.startswith(MARK))
        state = cls(backend, native, rows, frozenset(install_only), settings)
        state.__dict__["lines"] = ordered  # cached from the start: to make them again costs half of a read
        return state

    @cached_property
    def slots(self) -> Dict[Slot, Tuple[Package, ...]]:
        """The rows by the place that they take. Two in one place are the trace of an interrupted rpm transaction."""
        found: Dict[Slot, Tuple[Package, ...]] = {}
        for package in self.packages:
            slot = self.slot(package)
            found[slot] = (*found.get(slot, ()), package)
        return found

    def slot(self, package: Package) -> Slot:
        """(name, "") for the native or neutral package of a name, (name, arch) for a foreign one; install-only versions
        stand alone.
        """
        neutral = package.arch == self.native or package.arch in NEUTRAL_ARCHES
        place = "" if neutral else package.arch
        return package.name, f"{place}={package.version}" if package.name in self.install_only else place


@dataclass(frozen=True)
class Change:
    """One package's way from ``before`` to ``after``; None is: not there.

    ``origins`` are the repositories that offer the new version, ``is_security`` says that it is a security update.
    Neither makes another change of it.
    """

    # A plan may hold thousands.
    STORED_AS_ROW: ClassVar[bool] = True

    before: Optional[Package]
    after: Optional[Package]
    origins: Tuple[str, ...] = field(default=(), compare=False)
    is_security: bool = field(default=False, compare=False)

    @property
    def package(self) -> Package:
        package = self.after or self.before
        assert package is not None
        return package

    @property
    def name(self) -> str:
        return self.package.name

    @property
    def kind(self) -> str:
        if self.before is None:
            return "install"
        return "remove" if self.after is None else "change"

    def as_json(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "arch": self.package.arch,
            "before": self.before.version if self.before else None,
            "after": self.after.version if self.after else None,
            "security": self.is_security,
        }


class HeldBack(NamedTuple):
    """A package that has a newer version and does not get it, and why."""

    name: str
    reason: str


def diff(before: PackageState, after: PackageState) -> Tuple[Change, ...]:
    """What has to happen to the rows of ``before`` to make them the rows of ``after``; marks and holds count.

    Where a place has one row on both sides that is one change; where several share it each version comes or goes.
    """
    changes = []
    for slot in sorted(set(before.slots) | set(after.slots)):
        old, new = before.slots.get(slot, ()), after.slots.get(slot, ())
        if len(old) <= 1 and len(new) <= 1:
            if old != new and not (old and new and is_row(old[0], new[0])):
                changes.append(Change(old[0] if old else None, new[0] if new else None))
            continue
        versions = {package.version: package for package in new}
        for package in old:
            other = versions.pop(package.version, None)
            if not is_row(package, other):
                changes.append(Change(package, other))
        changes.extend(Change(None, package) for package in versions.values())
    return tuple(changes)


def annotated(changes: Iterable[Change], planned: Iterable[Change]) -> Tuple[Change, ...]:
    """Return the changes with the origins and the security mark that the planned ones have for the same new package."""
    known = {change.after.identity: change for change in planned if change.after is not None}
    found = []
    for change in changes:
        plan = known.get(change.after.identity) if change.after is not None else None
        found.append(replace(change, origins=plan.origins, is_security=plan.is_security) if plan else change)
    return tuple(found)


def with_rows(state: PackageState, changes: Tuple[Change, ...]) -> PackageState:
    """The state after the changes, row for row."""
    rows = set(state.packages)
    for change in changes:
        if change.before is not None:
            rows.discard(change.before)
        if change.after is not None:
            rows.add(change.after)
    return replace(state, packages=tuple(sorted(rows)))


class Selection(NamedTuple):
    """Which updates are asked for: globs that include, globs that exclude (exclusion wins), security only, removals or
    none.
    """

    packages: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    security: bool = False
    removals: bool = True

    @property
    def is_everything(self) -> bool:
        return not (self.packages or self.exclude or self.security) and self.removals


class Transaction(NamedTuple):
    """One call of the package manager: the packages that it installs, removes and purges.

    ``torn``: half-installed packages of ``install``. ``unpacked``: files of half-installed packages that are removed;
    dpkg has to unpack them first. ``rebuilt``: those of the files that the agent has rebuilt. ``mends``: an
    interruption has left packages that wait for others.
    """

    install: Tuple[Package, ...] = ()
    torn: Tuple[Package, ...] = ()
    remove: Tuple[Package, ...] = ()
    purge: Tuple[Package, ...] = ()
    reinstalls: bool = False
    configures: bool = False
    mends: bool = False
    files: Tuple[str, ...] = ()
    rebuilt: Tuple[str, ...] = ()
    unpacked: Tuple[str, ...] = ()


class Aftercare(NamedTuple):
    """Work after a transaction.

    ``purge``: left-over configuration to purge. ``marks``: the packages that get each mark. ``holds``: the packages
    whose hold changes, with the hold that they get.
    """

    purge: Tuple[Package, ...] = ()
    marks: Mapping[str, Tuple[Package, ...]] = {}
    holds: Tuple[Package, ...] = ()
