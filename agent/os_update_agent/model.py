"""The frozen values that flow through the agent. No behaviour beyond what a value can say about itself."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

# A package of these architectures stands in the place of the native one.
NEUTRAL_ARCHES = ("all", "noarch")
CONFIG_FILES = "config-files"

Row = List[str]
Slot = Tuple[str, str]
Identity = Tuple[str, str, str]


class Package(NamedTuple):
    """One row of the package database. A tuple: thousands of them are made, sorted and compared in each run.

    ``status``, ``want`` and ``flag`` are dpkg's words (dpkg-query(1), db:Status-*); an rpm row keeps the defaults.
    ``mark`` is "manual" or "auto" (or a finer reason that the package manager knows).
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


_DEFAULTS = ("installed", "install", "ok", "manual", "")
_PLAIN = "\t".join(("", *_DEFAULTS))


def as_package(line: str) -> Package:
    """The package of one of a state's lines."""
    return Package(*line.split("\t"))


@dataclass(frozen=True)
class PackageState:
    """Everything that the package database holds, in one order. Equal digest means: restored.

    ``install_only`` names the packages of which an update adds a version beside the old ones (kernels of an rpm node).
    """

    backend: str
    native: str
    packages: Tuple[Package, ...]
    install_only: FrozenSet[str] = frozenset()

    @cached_property
    def lines(self) -> Tuple[str, ...]:
        """All rows as text in their one order. No package manager allows a tab or a line end in a field."""
        return tuple(sorted("\t".join(package).removesuffix(_PLAIN) for package in self.packages))

    @cached_property
    def digest(self) -> str:
        """sha256 over the lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    @classmethod
    def of_lines(cls, backend: str, native: str, lines: Iterable[str], install_only: Iterable[str] = ()) -> "PackageState":
        """The state with these lines. Raises TypeError where a line is none."""
        ordered = tuple(sorted(lines))
        state = cls(backend, native, tuple(map(as_package, ordered)), frozenset(install_only))
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
        """(name, "") for the native or neutral package of a name, (name, arch) for a foreign one; install-only versions stand alone."""
        neutral = package.arch == self.native or package.arch in NEUTRAL_ARCHES
        place = "" if neutral else package.arch
        return package.name, f"{place}={package.version}" if package.name in self.install_only else place


@dataclass(frozen=True, order=True)
class Change:
    """One package's way from ``before`` to ``after``; None is: not there."""

    before: Optional[Package]
    after: Optional[Package]
    origins: Tuple[str, ...] = field(default=(), compare=False)

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
        }


@dataclass(frozen=True, order=True)
class HeldBack:
    """A package that has a newer version and does not get it, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class SignalTarget:
    """Where the result of one delivery goes. Everything in ``secret`` stays out of logs and is wiped once delivered."""

    transport: str
    stack_id: str = ""
    resource_name: str = ""
    verb: str = "POST"
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)

    def as_json(self) -> Dict[str, Any]:
        return {
            "transport": self.transport,
            "stack_id": self.stack_id,
            "resource_name": self.resource_name,
            "verb": self.verb,
            "secret": dict(self.secret),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SignalTarget":
        return cls(**data)


@dataclass(frozen=True)
class Output:
    """An output that the SoftwareConfig declares."""

    name: str
    error_output: bool = False


@dataclass(frozen=True)
class Deployment:
    """One delivery: what heat-config gives a hook on its standard input, checked and typed.

    ``inputs`` are the values of everything that is not Heat's own (deploy_*); ``config`` and ``options`` are maps.
    """

    id: str
    name: str
    action: str
    stack_id: str
    resource_name: str
    server_id: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    outputs: Tuple[Output, ...] = ()
    signal: SignalTarget = SignalTarget("NO_SIGNAL")

    @property
    def key(self) -> str:
        """Whose history this delivery belongs to, unless ``state_key`` says otherwise."""
        return f"{self.stack_id}/{self.resource_name}@{self.server_id}"


@dataclass(frozen=True)
class Outcome:
    """What a delivery came to: the truth that is told to Heat and to the operator."""

    status_code: int
    stdout: str = ""
    stderr: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        return self.status_code == 0


def diff(before: PackageState, after: PackageState) -> Tuple[Change, ...]:
    """What has to happen to the rows of ``before`` to make them the rows of ``after``; marks and holds count.

    Where a place has one row on both sides that is one change; where several share it each version comes or goes.
    """
    changes = []
    for slot in sorted(set(before.slots) | set(after.slots)):
        old, new = before.slots.get(slot, ()), after.slots.get(slot, ())
        if len(old) <= 1 and len(new) <= 1:
            if old != new:
                changes.append(Change(old[0] if old else None, new[0] if new else None))
            continue
        versions = {package.version: package for package in new}
        for package in old:
            other = versions.pop(package.version, None)
            if other != package:
                changes.append(Change(package, other))
        changes.extend(Change(None, package) for package in versions.values())
    return tuple(changes)


def with_rows(state: PackageState, changes: Tuple[Change, ...]) -> PackageState:
    """The state after the changes, row for row."""
    rows = set(state.packages)
    for change in changes:
        if change.before is not None:
            rows.discard(change.before)
        if change.after is not None:
            rows.add(change.after)
    return replace(state, packages=tuple(sorted(rows)))


@dataclass(frozen=True)
class Selection:
    """Which updates are asked for: globs that include, globs that exclude (exclusion wins), security only, removals or none."""

    packages: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    security: bool = False
    removals: bool = True

    @property
    def is_everything(self) -> bool:
        return not (self.packages or self.exclude or self.security) and self.removals


@dataclass(frozen=True)
class Transaction:
    """One call of the package manager: the files that it installs, the packages that it removes, what is cleaned up behind it.

    ``torn`` are those of ``install`` that an interruption has left half-installed: they are unpacked again before anything else.
    ``mends``: it starts from where an interruption has left packages that wait for others.
    """

    install: Tuple[Package, ...] = ()
    torn: Tuple[Package, ...] = ()
    remove: Tuple[Package, ...] = ()
    purge: Tuple[Package, ...] = ()
    reinstalls: bool = False
    configures: bool = False
    mends: bool = False
    files: Tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.install or self.remove or self.purge or self.configures)


@dataclass(frozen=True)
class ArchiveEntry:
    """A package file that the agent keeps; ``origin`` is "repository" or "repack" (rebuilt from the installed files)."""

    file: str
    name: str
    arch: str
    version: str
    sha256: str
    size: int
    installed_kb: int
    origin: str

    @property
    def identity(self) -> Identity:
        return self.name, self.arch, self.version


@dataclass(frozen=True)
class Record:
    """What the ledger holds under one value: was it reached, and with which state.

    ``run`` is the last that tried it, ``reached_run`` the last that reached it (None for a baseline). Times are for people only:
    a node's clock may step.
    """

    value: str
    state: Optional[int]
    tried: float
    reached: Optional[float]
    run: Optional[int] = None
    reached_run: Optional[int] = None

    @property
    def is_reached(self) -> bool:
        return self.reached is not None and self.state is not None


@dataclass(frozen=True)
class History:
    """All that is known under one key. ``current`` is the reached value that the node stands at, None where a run left it elsewhere.

    ``first_state`` is the state before the first update, for a key whose first value was never told (a template with actions [UPDATE]).
    """

    key: str
    current: Optional[str] = None
    first_state: Optional[int] = None
    records: Tuple[Record, ...] = ()

    @property
    def is_known(self) -> bool:
        return bool(self.records)

    def record(self, value: str) -> Optional[Record]:
        return next((record for record in self.records if record.value == value), None)


@dataclass(frozen=True)
class Run:
    """One attempt to bring the node to a value: everything that its next step, perhaps after a crash, has to know.

    ``before``, ``target``, ``after`` and ``restored_from`` are states in the ledger; ``reached_before`` is when the value was reached
    last. ``begun`` is set before a transaction starts; ``left`` and ``returned`` tell whether pre-update.d was begun and
    post-update.d has ended well; ``undone`` is None until an undo was tried.
    """

    id: int
    key: str
    value: str
    kind: str
    phase: str
    started: float
    config_id: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    boot_id: str = ""
    log: str = ""
    finished: Optional[float] = None
    before: Optional[int] = None
    target: Optional[int] = None
    after: Optional[int] = None
    departing: Optional[str] = None
    restored_from: Optional[int] = None
    reached_before: Optional[float] = None
    is_first: bool = False
    held_back: Tuple[HeldBack, ...] = ()
    not_restorable: Tuple[str, ...] = ()
    repacked: Tuple[str, ...] = ()
    removes_foreign: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    failure: str = ""
    status: int = 0
    complaints: Tuple[str, ...] = ()
    begun: bool = False
    undone: Optional[bool] = None
    left: bool = False
    returned: bool = False
    reached: bool = False

    @property
    def leads_to_value(self) -> bool:
        """Is the run's aim the state of a value? A download or an assessment has none."""
        return self.kind in ("update", "restore")

    @property
    def result(self) -> str:
        """The run in one word for tables and for the scripts of an operator."""
        if self.finished is None:
            return "open"
        if self.reached:
            return "success"
        return "undone" if self.undone else "failed"


@dataclass(frozen=True)
class Request:
    """Whom to answer, and with which outputs."""

    signal: SignalTarget
    outputs: Tuple[Output, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """One config id: what Heat, or an operator, asked, and the stored answer once there is one.

    ``policy`` is as Policy.as_json() made it; ``restore`` is a state that was asked for by hand whatever the table says.
    ``started`` is when a worker took it up; ``request`` is gone when it is answered.
    """

    config_id: str
    key: str
    value: str
    action: str
    received: float
    policy: Mapping[str, Any] = field(default_factory=dict)
    restore: Optional[int] = None
    started: Optional[float] = None
    finished: Optional[float] = None
    run: Optional[int] = None
    body: Optional[str] = None
    request: Optional[Request] = field(default=None, repr=False)


@dataclass(frozen=True)
class OwedSignal:
    """A result on its way to Heat; ``target`` holds secrets and is None once nothing is owed any more."""

    config_id: str
    body: str
    standing: str
    tries: int
    updated: float
    target: Optional[SignalTarget] = field(default=None, repr=False)
    last_answer: str = ""
