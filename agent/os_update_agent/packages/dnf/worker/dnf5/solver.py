"""Which updates dnf 5 can do together for a selection, and the reason for each that it cannot. Runs in the worker."""

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import libdnf5  # type: ignore

from os_update_agent.packages.dnf.protocol import Candidates, Coming, Planned
from os_update_agent.packages.dnf.worker import held_back
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    available,
    fill,
    hide,
    installed,
    is_inbound,
    is_outbound,
    query,
    resolved,
    row,
    word,
)
from os_update_agent.packages.dnf.worker.dnf5.transaction import EXTERNAL, GROUP, group_of
from os_update_agent.packages.dnf.worker.held_back import Newer
from os_update_agent.packages.dnf.worker.identity import slot
from os_update_agent.packages.dnf.worker.rpm_files import compared
from os_update_agent.packages.globs import first_match


def candidates(base: Any, request: Candidates) -> Planned:
    fill(base, repositories=True)
    newer = _newer(base)
    hidden = Hidden(base, request)
    plan = _plan(base, request)
    while not request.removals and _hide_removers(plan, request, hidden):
        plan = _plan(base, request)
    items = list(plan.get_transaction_packages()) if plan else []
    inbound = [item for item in items if is_inbound(item)]
    secured = _security_updates(base, [item.get_package() for item in inbound])
    comes = [
        Coming(
            row(item.get_package()),
            _reason(base, item),
            str(item.get_package().get_repo_id()),
            item.get_package().get_id().id in secured,
        )
        for item in inbound
    ]
    goes = [row(item.get_package()) for item in items if is_outbound(item)]
    shown = _ids(available(base))
    security = _ids(_secure(base)) if request.security else shown
    held = held_back.held_back(
        request,
        newer,
        hidden,
        planned={coming.identity[0] for coming in comes},
        installed={str(pkg.get_name()) for pkg in installed(base)},
        against=lambda pkg: _against(pkg, shown, security),
        why=lambda pkg: _why(base, pkg),
    )
    return Planned(comes, goes, held)


def _reason(base: Any, item: Any) -> str:
    """The reason that dnf leaves: a successor takes over that of its predecessor, but no group takes it in; it is
    nobody's then.
    """
    reason = item.get_reason()
    name = str(item.get_package().get_name())
    return word(reason if reason != GROUP or group_of(base, name) else EXTERNAL)


def _newer(base: Any) -> List[Newer]:
    """The newest version of everything that an installed package could become, before anything is hidden."""
    newer = query(base)
    newer.filter_upgrades()
    newer.filter_latest_evr()
    return [Newer(str(pkg.get_name()), str(pkg.get_arch()), pkg) for pkg in newer]


def _plan(base: Any, request: Candidates) -> Any:
    """Solve without "best": what cannot be updated stays behind instead of failing the others, and is named later."""
    goal = libdnf5.base.Goal(base)
    goal.set_allow_erasing(False)
    settings = libdnf5.base.GoalJobSettings()
    settings.set_with_provides(False)
    settings.set_with_filenames(False)
    settings.set_with_binaries(False)
    settings.set_expand_globs(False)
    if request.security:
        settings.set_advisory_filter(_security(base))
    if not request.packages:
        goal.add_rpm_upgrade(settings)
        return resolved(goal)
    # One name has one version in all architectures: who asks for one of them asks for all.
    names = sorted({pkg.get_name() for pkg in installed(base) if _matches(pkg, request.packages)})
    for name in names:
        goal.add_rpm_upgrade(name, settings)
    return resolved(goal) if names else None


def _security(base: Any) -> Any:
    advisories = libdnf5.advisory.AdvisoryQuery(base)
    advisories.filter_type("security")
    return advisories


def _security_updates(base: Any, packages: List[Any]) -> Set[int]:
    """Return the ids of those of the packages that have a fix of a security advisory which is not installed yet."""
    advisories = _security(base)
    advisories.filter_packages(installed(base), libdnf5.common.QueryCmp_GT)
    fixed: Dict[Tuple[str, str], List[str]] = {}
    for found in advisories.get_advisory_packages_sorted_by_name_arch_evr():
        fixed.setdefault((str(found.get_name()), str(found.get_arch())), []).append(str(found.get_evr()))
    if not fixed:
        return set()
    present: Dict[Tuple[str, str], List[str]] = {}
    for name, arch, version in map(row, installed(base)):
        present.setdefault((name, arch), []).append(version)

    def is_fix(pkg: Any) -> bool:
        name, arch, version = row(pkg)
        news = [
            fix
            for fix in fixed.get((name, arch), ())
            if all(compared(fix, old) > 0 for old in present.get((name, arch), ()))
        ]
        return any(compared(fix, version) <= 0 for fix in news)

    return {pkg.get_id().id for pkg in packages if is_fix(pkg)}


def _hide_removers(plan: Any, request: Candidates, hidden: "Hidden") -> bool:
    """Hide the packages of the plan that obsolete an installed one for good. Were there any?"""
    coming = [item for item in plan.get_transaction_packages() if is_inbound(item)] if plan else []
    places = {_place(item.get_package(), request) for item in coming}
    found = False
    for item in coming:
        gone = sorted(old.get_name() for old in item.get_replaces() if _place(old, request) not in places)
        if gone:
            hidden.remover(item.get_package(), str(item.get_package().get_name()), gone)
            found = True
    return found


def _place(pkg: Any, request: Candidates) -> str:
    return slot(pkg.get_name(), pkg.get_arch(), request.native)


class Hidden(held_back.Hidden):
    def __init__(self, base: Any, request: Candidates) -> None:
        super().__init__()
        self._base = base
        hide(base)
        self._sack = base.get_rpm_package_sack()
        self.locked = {str(pkg.get_name()) for pkg in self._sack.get_versionlock_excludes()}
        if request.exclude:
            self.hide([pkg for pkg in available(base) if _matches(pkg, request.exclude)])
            kept = installed(base)
            for pkg in list(kept):
                if not _matches(pkg, request.exclude):
                    kept.remove(pkg)
            successors = available(base)
            successors.filter_obsoletes(kept)
            self.hide(list(successors))

    def hide(self, packages: Sequence[Any]) -> None:
        found = libdnf5.rpm.PackageSet(self._base)
        for pkg in packages:
            found.add(pkg)
        self._sack.add_user_excludes(found)


def _ids(packages: Any) -> Set[int]:
    return {pkg.get_id().id for pkg in packages}


def _secure(base: Any) -> Any:
    """Return the packages of the repositories that a security advisory names, or that are newer than that."""
    secure = available(base)
    secure.filter_advisories(_security(base), libdnf5.common.QueryCmp_GTE)
    return secure


def _against(pkg: Any, shown: Set[int], security: Set[int]) -> Optional[str]:
    """Return the setting of the node that leaves the package out; None if the solver does."""
    if pkg.get_id().id not in shown:
        return "excluded by the configuration of dnf (excludepkgs)"
    if pkg.get_id().id not in security:
        return "not a security update (select: security)"
    return None


def _why(base: Any, pkg: Any) -> str:
    """What the solver says when it must install this very package."""
    goal = libdnf5.base.Goal(base)
    settings = libdnf5.base.GoalJobSettings()
    settings.set_skip_broken(libdnf5.base.GoalSetting_SET_FALSE)
    settings.set_best(libdnf5.base.GoalSetting_SET_TRUE)
    goal.add_rpm_install(pkg, settings)
    transaction = goal.resolve()
    if not transaction.get_problems():
        return "dnf keeps it back in favour of other updates"
    lines = [" ".join(line.split()) for line in transaction.get_resolve_logs_as_strings()]
    return "; ".join(lines) or "dnf cannot install it"


def _matches(pkg: Any, globs: Sequence[str]) -> bool:
    return first_match(pkg.get_name(), pkg.get_arch(), globs) is not None
