"""The plans of apt: for all packages, or for a list of them. Runs in the worker, Python 3.9.

Facts (apt's sources 2.2 to 3.0): DepCache.upgrade(True) is the function behind ``apt-get dist-upgrade``, with holds,
pins, phasing, APT::Solver and APT::Install-Recommends. ``apt-get install`` marks its packages, then lets a resolver
repair what is broken; attempt() does the same. Neither removes what nothing needs any more. Under ``-y`` apt-get
refuses downgrades, changes of held packages and the removal of essential ones.
"""

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import apt_pkg

from os_update_agent.packages.apt.protocol import Attempt, Attempted, Kept, Update, Upgrade, Upgraded
from os_update_agent.packages.apt.worker.opened import NEEDS, Opened, World, full_name, groups_of
from os_update_agent.packages.apt.worker.reasons import UNKNOWN, Reasons
from os_update_agent.packages.apt.worker.settings import allows, installs, may_remove, words_of
from os_update_agent.packages.globs import first_match
from os_update_agent.packages.worker.replies import Refused

# Each of these costs a plan of its own; past this many the reason stays general.
EXPLAINED = 10
# apt's own solver. Before apt 3.0, "3.0" is the name of a program that it does not have.
DEFAULT = ("", "internal")
KEPT = "apt keeps it back"
REMOVED = "apt would remove it"

Changed = Dict[int, Tuple[Any, Any]]


def upgrade(opened: Opened, request: Upgrade) -> Upgraded:
    """Plan an upgrade of all packages, and the reason for each newer version that is not in it. Raises Refused, and
    apt's own error.
    """
    opened.reset()
    _check_whole(opened)
    _upgrade_all(opened, request.solver)
    changed = _without_unneeded(opened)
    reasons = Reasons(opened, World(changed))
    kept = [each for each in (_kept(opened, reasons, package) for package in _others(opened, changed)) if each]
    steps, refused = opened.steps(changed), _refused(opened, changed)
    return Upgraded(steps, list(_explained(opened, reasons, kept)), refused)


def _upgrade_all(opened: Opened, solver: str) -> None:
    """Mark everything as an upgrade does. apt's programs have a solver of their own since apt 3.1, its library has not.
    Raises Refused with the name of a solver that apt is set to use and cannot, and apt's own error.
    """
    try:
        apt_pkg.config.set("APT::Solver", solver or "internal")
        opened.depcache.upgrade(True)
    except apt_pkg.Error as error:
        if solver in DEFAULT:
            raise Refused(_why_none(opened) or f"apt: {words_of(error)}") from error
        raise Refused(f"APT::Solver is {solver!r} in apt's configuration: {words_of(error)}") from error
    finally:
        apt_pkg.config.set("APT::Solver", "internal")


def _why_none(opened: Opened) -> str:
    """Return why apt finds no upgrade, from the packages that its last attempt leaves broken; "" if they do not show
    it.
    """
    depcache, reasons = opened.depcache, Reasons(opened, World({}))
    broken = [package for package in opened.installed_sorted() if depcache.is_inst_broken(package)]
    found = [reasons.why(package, depcache.get_candidate_ver(package) or package.current_ver) for package in broken]
    return f"apt finds no upgrade of everything: {'; '.join(filter(None, found))}" if any(found) else ""


def attempt(opened: Opened, request: Attempt) -> Attempted:
    """Plan some updates. Raises Refused if apt does not know one of them."""
    base, wanted = (list(_versions(opened, updates)) for updates in (request.base, request.updates))
    if len(wanted) == 1 and opened.is_held(wanted[0][0]) and not allows(apt_pkg.config, "allow-change-held-packages"):
        return Attempted([], "on hold")
    changed, refused = _tried(opened, [*base, *wanted], request.exclude)
    if changed is not None and not refused:
        return Attempted(opened.steps(changed), "")
    opened.reset()
    if len(wanted) > 1:
        return Attempted([], refused or UNKNOWN, _impossible(opened, base, wanted, request.exclude))
    if refused:
        return Attempted([], refused)
    reasons = _attempted(opened, base, request.exclude)
    return Attempted([], reasons.why(*wanted[0]) or reasons.probable(*wanted[0]))


def _impossible(
    opened: Opened, base: Sequence[Tuple[Any, Any]], wanted: Sequence[Tuple[Any, Any]], exclude: Sequence[str]
) -> List[Tuple[str, str]]:
    """Return which of the updates, by their full names, are impossible even if all others are done, with the reason."""
    found: Dict[str, str] = {}
    while True:
        left = [each for each in wanted if full_name(each[0]) not in found]
        reasons = _attempted(opened, [*base, *left], exclude)
        why = {full_name(each[0]): reasons.why(*each) for each in left}
        new = {name: reason for name, reason in why.items() if reason}
        if not new:
            return sorted(found.items())
        found.update(new)


def _attempted(opened: Opened, updates: Sequence[Tuple[Any, Any]], exclude: Sequence[str]) -> Reasons:
    """Return the reasons beside these updates. An upgrade has chosen them, so this node gets those that are phased."""
    return Reasons(opened, World({each[0].id: each for each in updates}), exclude, is_phased_in=True)


def _versions(opened: Opened, updates: Sequence[Sequence[str]]) -> Iterator[Tuple[Any, Any]]:
    """Yield the package and the version of each update: a version that is not the installed build comes first."""
    for update in (Update(*each) for each in updates):
        package = opened.find(update.name, update.foreign)
        same = [ver for ver in package.version_list if ver.ver_str == update.version] if package is not None else []
        current = package.current_ver if package is not None else None
        if not same:
            raise Refused(f"apt does not know version {update.version} of {update.name}")
        yield package, next((ver for ver in same if current is None or ver.id != current.id), same[0])


def _tried(
    opened: Opened, wanted: Sequence[Tuple[Any, Any]], exclude: Sequence[str] = ()
) -> Tuple[Optional[Changed], str]:
    """Return the changes of the updates and of their dependencies, None if they are impossible; and why apt-get would
    refuse these ("" if it would not).
    """
    depcache = opened.depcache
    opened.reset()
    if exclude:
        # One group: apt looks for unneeded packages after each change outside of one.
        with apt_pkg.ActionGroup(depcache):
            for package in opened.installed():
                if first_match(package.name, package.architecture, exclude):
                    depcache.set_candidate_ver(package, package.current_ver)
    try:
        resolver = apt_pkg.ProblemResolver(depcache)
        with apt_pkg.ActionGroup(depcache):
            for package, version in wanted:
                depcache.set_candidate_ver(package, version)
                resolver.clear(package)
                resolver.protect(package)
                depcache.mark_install(package, False)
            for package, _ in wanted:
                depcache.mark_install(package, True)
        if depcache.broken_count:
            resolver.resolve(True)
    except apt_pkg.Error:
        return None, ""
    if depcache.broken_count:
        return None, ""
    changed = _without_unneeded(opened)
    if not all(_is_planned(changed, *each) for each in wanted):
        return None, ""
    return changed, _refused(opened, changed)


def _is_planned(changed: Changed, package: Any, version: Any) -> bool:
    planned = changed.get(package.id, (package, None))[1]
    return planned is not None and bool(planned.id == version.id)


def _without_unneeded(opened: Opened) -> Changed:
    """Leave new packages out of the plan that nothing needs in the end, as apt-get does (DoAutomaticRemove). Return
    what the plan changes then.
    """
    depcache = opened.depcache
    changed = opened.changed()
    new = [package for package, _ in changed.values() if depcache.marked_install(package)]
    left = {package.id: package for package in new if depcache.is_garbage(package)}
    if not left:
        return changed
    for package in left.values():
        depcache.mark_delete(package)
    # A package that stays may need or recommend one of them.
    kinds = [*NEEDS, *(kind for kind in ("Recommends", "Suggests") if installs(apt_pkg.config, kind))]
    while left:
        changed = opened.changed()
        world = World(changed)
        wanted = [package for package in left.values() if _is_wanted(world, package, kinds)]
        if not wanted:
            return changed
        for package in wanted:
            depcache.mark_install(left.pop(package.id), False, False)
    return opened.changed()


def _is_wanted(world: World, package: Any, kinds: Sequence[str]) -> bool:
    """Return whether a relation of a package that is installed can be satisfied by this one alone."""
    parents = {relation.parent_ver.id: relation.parent_ver for relation in package.rev_depends_list}
    for parent in filter(world.has, parents.values()):
        for group in groups_of(parent, kinds):
            targets = [target for relation in group for target in relation.all_targets()]
            if any(target.parent_pkg.id == package.id for target in targets) and not any(map(world.has, targets)):
                return True
    return False


def _check_whole(opened: Opened) -> None:
    """Raise Refused if installed packages lack others: apt plans nothing then."""
    if not opened.depcache.broken_count:
        return
    reasons = Reasons(opened, World({}))
    broken = [package for package in opened.installed_sorted() if opened.depcache.is_inst_broken(package)]
    why = (reasons.against_installed(package) or f"{full_name(package)} is broken" for package in broken)
    raise Refused(f"unmet dependencies: {'; '.join(why)} (apt-get --fix-broken install)")


def _refused(opened: Opened, changed: Changed) -> str:
    """Return why apt-get would refuse the changes under -y, "" if it would not."""
    goes = [package for package, version in changed.values() if version is None]
    if goes and not may_remove(apt_pkg.config):
        return f"would remove {_names(goes)} (APT::Get::Remove is off in apt's configuration)"
    essential = [package for package in goes if package.essential or package.important]
    if essential and not allows(apt_pkg.config, "allow-remove-essential"):
        return f"would remove {_names(essential)}, which is essential"
    held = [package for package, _ in changed.values() if package.current_ver is not None and opened.is_held(package)]
    if held and not allows(apt_pkg.config, "allow-change-held-packages"):
        return f"would change {_names(held)}, which is on hold"
    older = [each for each in changed.values() if _is_downgrade(opened, *each)]
    if older and not allows(apt_pkg.config, "allow-downgrades"):
        return "; ".join(_downgrade(opened, *each) for each in sorted(older, key=lambda each: str(each[0].name)))
    return ""


def _is_downgrade(opened: Opened, package: Any, version: Any) -> bool:
    current = package.current_ver
    return version is not None and current is not None and opened.is_newer(current, version)


def _downgrade(opened: Opened, package: Any, version: Any) -> str:
    pin = Reasons(opened, World({})).pin(package, version)
    why = f"pinned: {pin.text}" if pin is not None else "apt prefers the older version"
    return f"would downgrade {full_name(package)} from {package.current_ver.ver_str} to {version.ver_str} ({why})"


def _others(opened: Opened, changed: Changed) -> List[Any]:
    """Return the installed packages that a plan does not update, those that it removes included."""
    packages = opened.installed_sorted()
    return [package for package in packages if package.id not in changed or changed[package.id][1] is None]


def _kept(opened: Opened, reasons: Reasons, package: Any) -> Optional[Kept]:
    """Return what a package does not get, None if nothing newer is to be had."""
    current = package.current_ver
    candidate = opened.candidate(package)
    if candidate is not None and candidate.id != current.id:
        if opened.is_newer(current, candidate):
            return None
        reason = reasons.why(package, candidate)
        is_removed = opened.depcache.marked_delete(package)
        return Kept(opened.step(package, candidate), reason or (REMOVED if is_removed else ""), not reason)
    newer = (version for version in package.version_list if opened.is_newer(version, current) and version.downloadable)
    for version in newer:
        reason = "on hold" if opened.is_held(package) else reasons.against_version(package, version)
        if reason:
            return Kept(opened.step(package, version), reason, False)
    return None


def _explained(opened: Opened, reasons: Reasons, kept: Sequence[Kept]) -> Iterator[Kept]:
    """Yield the packages with a reason for each: where the relations give none, the update is tried alone."""
    asked = 0
    for each in kept:
        if each.reason:
            yield each
            continue
        asked += 1
        yield each._replace(reason=_alone(opened, reasons, each) if asked <= EXPLAINED else KEPT)


def _alone(opened: Opened, reasons: Reasons, kept: Kept) -> str:
    """Return why an update is not part of the plan, from an attempt to do it alone. If that is possible, something else
    in the plan is against it, which ``reasons`` know.
    """
    step = kept.step
    wanted = list(_versions(opened, [Update(step.name, step.foreign, str(step.version))]))
    changed, refused = _tried(opened, wanted)
    if changed is None:
        return Reasons(opened, World({})).probable(*wanted[0])
    goes = [package for package, version in changed.values() if version is None]
    if refused or goes:
        return refused or f"would remove {_names(goes)}"
    return reasons.probable(*wanted[0]).replace(UNKNOWN, KEPT)


def _names(packages: Sequence[Any]) -> str:
    return ", ".join(sorted(full_name(package) for package in packages))
