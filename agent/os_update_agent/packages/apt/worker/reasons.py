"""Why apt does not give a package a newer version, in words for an operator. Runs in the worker, Python 3.9.

The reasons come from the relations of the packages, not from what a solver prints: that differs with each version of
apt.
"""

from contextlib import suppress
from typing import Any, Dict, Iterator, List, Optional, Sequence

import apt_pkg

from os_update_agent.packages.apt.security import is_security
from os_update_agent.packages.apt.worker.opened import NEEDS, Opened, World, full_name, groups_of, origins_of
from os_update_agent.packages.apt.worker.pins import Pin, pins_of_node
from os_update_agent.packages.globs import first_match

# The reason if the relations of the packages show none.
UNKNOWN = "apt finds no way to install it"

_AGAINST = ("Conflicts", "Breaks")
# As many links of a chain "app needs lib, and lib needs ..." are named.
LINKS = 3
_LINK, _REST = ", and ", "so on until "
# The beginnings of reasons that describe a package without its name.
_STATES = ("on hold", "phased:", "excluded by")


class Reasons:
    """Finds reasons in one opened cache. Its marks have no influence: ``world`` is the result of a plan."""

    def __init__(
        self, opened: Opened, world: World, exclude: Sequence[str] = (), *, is_phased_in: bool = False
    ) -> None:
        """``is_phased_in``: this node gets the phased updates that apt may choose."""
        self._opened = opened
        self._world = world
        self._exclude = exclude
        self._is_phased_in = is_phased_in
        self._pins: Optional[List[Pin]] = None
        self._known: Dict[int, str] = {}

    # --- versions that apt does not want

    def against_version(self, package: Any, version: Any) -> str:
        """Return why apt prefers the installed version to a newer one, "" if that is the node's ordinary state: a
        repository such as backports offers versions that are taken only on request.
        """
        pin = self.pin(package, version)
        if pin is not None:
            return f"pinned: {pin.text}"
        percentage = self._opened.percentage(version)
        if percentage < 100:
            return _phased(percentage)
        if is_security(origins_of(version)):
            return self._against_security(package, version)
        return ""

    def _against_security(self, package: Any, version: Any) -> str:
        wanted, has = (self._opened.policy.get_priority(each) for each in (version, package.current_ver))
        release = apt_pkg.config.find("APT::Default-Release")
        why = f"APT::Default-Release is {release!r}: " if release else ""
        return f"{why}apt prefers the installed version (priority {has} against {wanted})"

    def pin(self, package: Any, version: Any) -> Optional[Pin]:
        """Return the pin for which apt does not take a version. A pin of all packages is named for security updates
        only: those of a whole release are an ordinary state.
        """
        if self._pins is None:
            self._pins = pins_of_node()
        pins = [pin for pin in self._pins if not pin.is_general or is_security(origins_of(version))]
        current = package.current_ver
        for each in (version, *((current,) if current is not None else ())):
            pin = next((pin for pin in pins if pin.matches(package, each, self._opened.source)), None)
            if pin is not None and self._opened.policy.get_priority(each) == pin.priority:
                return pin
        return None

    # --- updates that are impossible

    def why(self, package: Any, version: Any) -> str:
        """Return what keeps a package from getting a version, as far as that is certain; "" if nothing does.

        Each package is looked at once. One that is being looked at counts as possible: packages may need each other.
        """
        if package.id not in self._known:
            self._known[package.id] = ""
            # Past some hundred packages that need each other one by one, the reason is not certain.
            with suppress(RecursionError):
                self._known[package.id] = self._why(package, version)
        return self._known[package.id]

    def _why(self, package: Any, version: Any) -> str:
        excluded = self._excluded(package)
        if excluded:
            return excluded
        if package.current_ver is not None and self._opened.is_held(package):
            return "on hold"
        for found in (
            self._unmet(package, version),
            self._needed(package, version, False),
            self._conflicts(package, version, False),
        ):
            reason = next(found, "")
            if reason:
                return reason
        if self._is_phased_in or package.current_ver is None:
            return ""
        percentage = self._opened.percentage(version)
        return _phased(percentage) if percentage < 100 else ""

    def against_installed(self, package: Any) -> str:
        """Return why an installed package is broken, "" if its relations do not show it."""
        current = package.current_ver
        for found in (self._unmet(package, current, True), self._conflicts(package, current, True)):
            reason = next(found, "")
            if reason:
                return reason
        return ""

    def probable(self, package: Any, version: Any) -> str:
        """Return what may keep a package from getting a version: apt could also remove the other package."""
        for found in (self._needed(package, version, True), self._conflicts(package, version, True)):
            reason = next(found, "")
            if reason:
                return reason
        return UNKNOWN

    def _excluded(self, package: Any) -> str:
        glob = first_match(package.name, package.architecture, self._exclude)
        return f"excluded by {glob!r} (exclude)" if glob and package.current_ver is not None else ""

    def _unmet(self, package: Any, version: Any, is_enough: bool = False) -> Iterator[str]:
        """Yield each dependency of a version that cannot be satisfied. ``is_enough``: also those that are not."""
        for group in groups_of(version, NEEDS):
            if any(self._world.has(target) for relation in group for target in relation.all_targets()):
                continue
            causes = [self._cause(relation) for relation in group]
            if all(causes) or is_enough:
                cause = causes[0] or _installed(group[0].target_pkg)
                yield f"{full_name(package)} needs {' or '.join(map(_spelled, group))}, {cause}"

    def _cause(self, relation: Any) -> str:
        """Return why a relation cannot be satisfied, "" if it can."""
        first = ""
        targets = relation.all_targets()
        for target in targets:
            cause = self._target_cause(target)
            if not cause:
                return ""
            first = first or f"{_provided(relation, target.parent_pkg)}{cause}"
        return first or self._missing(relation.target_pkg)

    def _missing(self, package: Any) -> str:
        versions = package.version_list
        if not versions:
            return "which no repository has"
        current = package.current_ver
        if current is not None and self._opened.is_held(package):
            return f"which is on hold at {current.ver_str}"
        return f"of which the newest version is {versions[0].ver_str}"

    def _target_cause(self, target: Any) -> str:
        package = target.parent_pkg
        current = package.current_ver
        if current is not None and self._opened.is_held(package):
            return f"which is on hold at {current.ver_str}"
        excluded = self._excluded(package)
        if excluded:
            return f"which is {excluded}"
        candidate = self._opened.candidate(package)
        if candidate is None or candidate.id != target.id:
            return self._unwanted(package, target, candidate)
        deeper = self.why(package, target)
        if not deeper:
            return ""
        return f"which is {deeper}" if deeper.startswith(_STATES) else f"and {_shortened(deeper)}"

    def _unwanted(self, package: Any, target: Any, candidate: Any) -> str:
        pin = self.pin(package, target)
        if pin is not None:
            return f"which is pinned: {pin.text}"
        percentage = self._opened.percentage(target)
        if percentage < 100:
            return f"which is {_phased(percentage)}"
        current, planned = package.current_ver, self._world.version(package)
        if current is not None and current.id == target.id:
            return f"which gets version {planned.ver_str}" if planned is not None else "which apt would remove"
        there = planned or candidate
        return f"of which apt prefers version {there.ver_str}" if there is not None else "which apt does not take"

    def _needed(self, package: Any, version: Any, is_enough: bool) -> Iterator[str]:
        """Yield each package that stays and needs the installed version. ``is_enough``: also those that apt could
        remove.
        """
        current = package.current_ver
        if current is None:
            return
        for relation in self._about(package, current):
            other, its = relation.parent_pkg, relation.parent_ver
            if other.id == package.id or relation.dep_type_untranslated not in NEEDS or not self._world.has(its):
                continue
            if not self._loses(relation, current, version):
                continue
            needs = f"needs {_spelled(relation)}"
            if self._opened.is_held(other):
                yield f"{full_name(other)}, which is on hold at {its.ver_str}, {needs}"
            elif is_enough:
                yield f"{full_name(other)} {its.ver_str} {needs}"
            else:
                deeper = self._stuck(other, its)
                if deeper:
                    yield f"{full_name(other)} {its.ver_str} {needs} and is held back: {deeper}"

    def _stuck(self, package: Any, its: Any) -> str:
        """Return why a package cannot follow to its newer version, "" if it has none or nothing is in its way."""
        candidate = self._opened.candidate(package)
        return self.why(package, candidate) if candidate is not None and candidate.id != its.id else ""

    def _loses(self, relation: Any, current: Any, version: Any) -> bool:
        """Return whether the update leaves a relation unsatisfied that is satisfied now."""
        group = next((group for group in groups_of(relation.parent_ver, NEEDS) if _is_in(relation, group)), [relation])
        targets = [target for each in group for target in each.all_targets()]
        stays = (t for t in targets if t.id != current.id and self._world.has(t))
        ids = {target.id for target in targets}
        return current.id in ids and version.id not in ids and next(stays, None) is None

    def _about(self, package: Any, version: Any) -> Iterator[Any]:
        """Yield the relations of all packages to a package, and to the names that a version of it provides."""
        yield from package.rev_depends_list
        for name in dict.fromkeys(provided[0] for provided in version.provides_list):
            virtual = self._opened.find(name, self._opened.foreign(package))
            if virtual is not None and virtual.id != package.id:
                yield from virtual.rev_depends_list

    def _conflicts(self, package: Any, version: Any, is_enough: bool) -> Iterator[str]:
        """Yield each installed package that the version conflicts with, and each that conflicts with the version.
        ``is_enough``: also those that apt could remove.
        """
        for group in groups_of(version, _AGAINST):
            for relation in group:
                for target in relation.all_targets():
                    other = target.parent_pkg
                    is_held = self._opened.is_held(other)
                    if other.id != package.id and self._world.has(target) and (is_held or is_enough):
                        stays = f"{'on hold' if is_held else 'installed'} at {target.ver_str}"
                        against = f"{_against(relation)}, {_provided(relation, other)}"
                        yield f"{full_name(package)} {against}which is {stays}"
        for relation in self._about(package, version):
            its = relation.parent_ver
            other = its.parent_pkg
            if relation.dep_type_untranslated not in _AGAINST or other.id == package.id or not self._world.has(its):
                continue
            is_held = self._opened.is_held(other)
            if (is_held or is_enough) and any(target.id == version.id for target in relation.all_targets()):
                there = f", which is on hold at {its.ver_str}," if is_held else f" {its.ver_str}"
                by = _provided(relation, package).rstrip(", ")
                yield f"{full_name(other)}{there} {_against(relation)}{f', {by}' if by else ''}"


def _against(relation: Any) -> str:
    """Return what a conflict says. Packages of several architectures that are installed together have one version; apt
    has a conflict with every other version for that.
    """
    if relation.comp_type_deb == "!=":
        return f"has to have the version of {full_name(relation.target_pkg)}"
    return f"conflicts with {_spelled(relation)}"


def _shortened(reason: str) -> str:
    """Return a reason with the first and the last links of a long chain of packages."""
    links = reason.split(_LINK)
    if len(links) <= LINKS:
        return reason
    return f"{links[0]}{_LINK}{_REST}{links[-1].replace(_REST, '')}"


def _provided(relation: Any, package: Any) -> str:
    """Return by which package a relation to another name is meant, "" if it is a relation to the package itself."""
    # apt has names such as "lib:i386" for a relation to an architecture.
    return "" if full_name(relation.target_pkg) == full_name(package) else f"provided by {full_name(package)}, "


def _installed(package: Any) -> str:
    """Return how much of a package is installed."""
    current = package.current_ver
    return "which is not installed" if current is None else f"of which version {current.ver_str} is installed"


def _is_in(relation: Any, group: Sequence[Any]) -> bool:
    return any(each.id == relation.id for each in group)


def _spelled(relation: Any) -> str:
    """Return a relation as dpkg spells it: "lib (>= 2)"."""
    name, version = full_name(relation.target_pkg), relation.target_ver
    return f"{name} ({relation.comp_type_deb} {version})" if version else name


def _phased(percentage: int) -> str:
    return f"phased: the archive offers this update to {percentage}% of the nodes so far"
