"""apt's cache, opened once: its packages, the versions that a plan gives them, and their names. Runs in the worker,
Python 3.9.
"""

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import apt_pkg

from os_update_agent.packages.apt.protocol import Identity, Step
from os_update_agent.packages.apt.worker.settings import takes_phased

NEEDS = ("PreDepends", "Depends")


class Opened:
    """One opened cache with its pins. A plan changes the marks in it; reset() makes it forget the plan."""

    def __init__(self) -> None:
        # Without an argument apt prints its progress.
        self.cache = apt_pkg.Cache(None)
        self.depcache = apt_pkg.DepCache(self.cache)
        self.records = apt_pkg.PackageRecords(self.cache)
        self.policy = self.cache.policy
        # The first one of apt_pkg.get_architectures() may be another one, by the order of APT::Architectures.
        self.native = apt_pkg.config.find("APT::Architecture")
        self._pins: Tuple[str, ...] = ()
        # Four names in ten are only mentioned. To look at each name costs as much as some plans.
        self._packages = [package for package in self.cache.packages if package.has_versions]
        self._installed = [package for package in self._packages if package.current_ver is not None]
        self._is_marked = False

    def takes(self, pins: Optional[Tuple[str, ...]]) -> bool:
        """Return whether the cache can get exactly these pins: those that were read are never forgotten."""
        return pins is None or pins[: len(self._pins)] == self._pins

    def pin(self, pins: Tuple[str, ...]) -> None:
        """Read these preferences files, too. The pins of the node come first and win, as apt has it."""
        new = pins[len(self._pins) :]
        for path in new:
            self.policy.read_pinfile(path)
        if new:
            self.policy.init_defaults()
            self.depcache.init()
            self._pins = pins
            self._is_marked = False

    def reset(self) -> None:
        """Forget the plan: every package is to stay. Every plan begins with it."""
        if self._is_marked:
            self.depcache.init()
        self._is_marked = True

    # --- packages

    def installed(self) -> Sequence[Any]:
        """Return the packages that are installed, if only partly."""
        return self._installed

    def installed_sorted(self) -> List[Any]:
        return sorted(self._installed, key=lambda package: (package.name, package.architecture))

    def find(self, name: str, foreign: str) -> Any:
        """Return the package, None if apt knows none of this name and architecture."""
        try:
            return self.cache[name, foreign or self.native]
        except KeyError:
            return None

    def found(self, identity: Identity) -> Any:
        """Return the version of this name, architecture and version that apt means with them, None if there is none:
        of several builds of one version it takes the first.
        """
        name, arch, version = identity
        package = self.find(name, "" if arch == "all" else arch)
        if package is None:
            return None
        same = next((ver for ver in package.version_list if ver.ver_str == version), None)
        return same if same is not None and same.arch == arch else None

    def candidate(self, package: Any) -> Any:
        """Return the version that apt wants for a package. In the depcache a plan has replaced it by the installed one
        where it turned out to be impossible.
        """
        return self.policy.get_candidate_ver(package)

    def is_held(self, package: Any) -> bool:
        return bool(package.selected_state == apt_pkg.SELSTATE_HOLD)

    def is_newer(self, version: Any, than: Any) -> bool:
        return bool(apt_pkg.version_compare(version.ver_str, than.ver_str) > 0)

    def percentage(self, version: Any) -> int:
        """Return how many of hundred nodes get this version so far."""
        if takes_phased(apt_pkg.config):
            return 100
        text = self._field(version, "Phased-Update-Percentage")
        return int(text) if text.isdecimal() else 100

    def source(self, version: Any) -> str:
        """Return the name of the source package of a version."""
        found = self.records.lookup(version.file_list[0]) and self.records.source_pkg
        return str(found or version.parent_pkg.name)

    def _field(self, version: Any, name: str) -> str:
        for place in version.file_list:
            if not place[0].not_source and self.records.lookup(place):
                return str(apt_pkg.TagSection(self._record()).get(name, ""))
        return ""

    def _record(self) -> str:
        """Return the record that was looked up, of which any field may be in another encoding than UTF-8."""
        try:
            return str(self.records.record)
        except UnicodeDecodeError as error:
            return error.object.decode("utf-8", "replace")

    # --- the marks

    def changed(self) -> Dict[int, Tuple[Any, Any]]:
        """Return each package that the plan changes, by its id, with its new version (None: it is removed)."""
        depcache = self.depcache
        return {
            package.id: (package, None if depcache.marked_delete(package) else depcache.get_candidate_ver(package))
            for package in self._packages
            if not depcache.marked_keep(package)
        }

    def foreign(self, package: Any) -> str:
        """Return the architecture of a package, "" if it is the native one."""
        return "" if package.architecture == self.native else package.architecture

    def step(self, package: Any, version: Any) -> Step:
        foreign = self.foreign(package)
        if version is None:
            return Step(package.name, foreign, None)
        return Step(package.name, foreign, version.ver_str, version.arch, origins_of(version))

    def steps(self, changed: Mapping[int, Tuple[Any, Any]]) -> List[Step]:
        return sorted(self.step(*each) for each in changed.values())


def origins_of(version: Any) -> Tuple[str, ...]:
    """Return the repositories of a version as apt-get spells them: "Debian-Security:12/stable-security"."""
    found = []
    for file, _ in version.file_list:
        if file.not_source:
            continue
        place = f"{file.version}/{file.archive}" if file.version else file.archive
        found.append(f"{file.label}:{place or file.site or 'localhost'}" if file.label else place or file.site or "")
    return tuple(dict.fromkeys(found))


def full_name(package: Any) -> str:
    """Return the name of a package, with its architecture unless that is the native one."""
    return str(package.get_fullname(True))


def groups_of(version: Any, kinds: Sequence[str]) -> Iterator[List[Any]]:
    """Yield each relation of a version, as a list of its alternatives."""
    for kind in kinds:
        yield from version.depends_list.get(kind, ())


class World:
    """The versions that are installed once a plan has been carried out."""

    def __init__(self, changed: Dict[int, Tuple[Any, Any]]) -> None:
        self._changed = changed

    def version(self, package: Any) -> Any:
        """Return the version that the package has then, None if it is not installed."""
        return self._changed[package.id][1] if package.id in self._changed else package.current_ver

    def has(self, version: Any) -> bool:
        there = self.version(version.parent_pkg)
        return there is not None and bool(there.id == version.id)
