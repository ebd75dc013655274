"""Which updates dnf 5 can do together for a selection, and the reason for each that it cannot. Runs in the worker."""

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import libdnf5  # type: ignore

from os_update_agent.packages.dnf.worker.dnf5.dnf_base import (
    Request,
    available,
    fill,
    hide,
    installed,
    is_inbound,
    is_outbound,
    query,
    resolved,
    row,
    slot,
    word,
)
from os_update_agent.packages.dnf.worker.dnf5.transaction import EXTERNAL, GROUP, group_of
from os_update_agent.packages.dnf.worker.server import matching, telling

# Asking the solver why costs a solution for each package; past this many the reason stays general.
EXPLAINED = 10


def candidates(base: Any, request: Request) -> Dict[str, Any]:
    """The packages that come (with their reason and repository) and go, and what is newer and held back, each with the
    reason.
    """
    fill(base, repositories=True)
    newer = _newer(base)
    hidden = Hidden(base, request)
    plan = _plan(base, request)
    while not request["removals"] and _hide_removers(plan, request, hidden):
        plan = _plan(base, request)
    items = list(plan.get_transaction_packages()) if plan else []
    comes = [
        {
            "identity": row(item.get_package()),
            "reason": _reason(base, item),
            "repository": str(item.get_package().get_repo_id()),
        }
        for item in items
        if is_inbound(item)
    ]
    goes = [row(item.get_package()) for item in items if is_outbound(item)]
    held = _held(base, request, hidden, newer, {item["identity"][0] for item in comes})
    return {"comes": comes, "goes": goes, "held": held}


def _reason(base: Any, item: Any) -> str:
    """The reason that dnf leaves: a successor takes over that of its predecessor, but no group takes it in; it is
    nobody's then.
    """
    reason = item.get_reason()
    name = str(item.get_package().get_name())
    return word(reason if reason != GROUP or group_of(base, name) else EXTERNAL)


def _newer(base: Any) -> List[Any]:
    """The newest version of everything that an installed package could become, before anything is hidden."""
    newer = query(base)
    newer.filter_upgrades()
    newer.filter_latest_evr()
    return list(newer)


def _plan(base: Any, request: Request) -> Any:
    """Solve without "best": what cannot be updated stays behind instead of failing the others, and is named later."""
    goal = libdnf5.base.Goal(base)
    goal.set_allow_erasing(False)
    settings = libdnf5.base.GoalJobSettings()
    settings.set_with_provides(False)
    settings.set_with_filenames(False)
    settings.set_with_binaries(False)
    settings.set_expand_globs(False)
    if request["security"]:
        settings.set_advisory_filter(_security(base))
    if not request["packages"]:
        goal.add_rpm_upgrade(settings)
        return resolved(goal)
    # One name has one version in all architectures: who asks for one of them asks for all.
    names = sorted({pkg.get_name() for pkg in installed(base) if _matching(pkg, request["packages"])})
    for name in names:
        goal.add_rpm_upgrade(name, settings)
    return resolved(goal) if names else None


def _security(base: Any) -> Any:
    advisories = libdnf5.advisory.AdvisoryQuery(base)
    advisories.filter_type("security")
    return advisories


def _hide_removers(plan: Any, request: Request, hidden: "Hidden") -> bool:
    """Hide the packages of the plan that obsolete an installed one for good. Were there any?"""
    coming = [item for item in plan.get_transaction_packages() if is_inbound(item)] if plan else []
    places = {_place(item.get_package(), request) for item in coming}
    found = False
    for item in coming:
        gone = sorted(old.get_name() for old in item.get_replaces() if _place(old, request) not in places)
        if gone:
            hidden.remover(item.get_package(), gone)
            found = True
    return found


def _place(pkg: Any, request: Request) -> str:
    return slot(pkg.get_name(), pkg.get_arch(), request["native"])


class Hidden:
    """What is kept from the solver, and why: excluded names, locked versions, what would remove something."""

    def __init__(self, base: Any, request: Request) -> None:
        self._base = base
        self.reasons: Dict[str, str] = {}
        hide(base)
        self._sack = base.get_rpm_package_sack()
        self.locked = {str(pkg.get_name()) for pkg in self._sack.get_versionlock_excludes()}
        exclude = request["exclude"]
        if exclude:
            self._hide([pkg for pkg in available(base) if _matching(pkg, exclude)])
            kept = installed(base)
            for pkg in list(kept):
                if not _matching(pkg, exclude):
                    kept.remove(pkg)
            successors = available(base)
            successors.filter_obsoletes(kept)
            self._hide(list(successors))

    def _hide(self, packages: Sequence[Any]) -> None:
        found = libdnf5.rpm.PackageSet(self._base)
        for pkg in packages:
            found.add(pkg)
        self._sack.add_user_excludes(found)

    def remover(self, pkg: Any, gone: Sequence[str]) -> None:
        reason = "would remove {} (removals: refuse)".format(", ".join(gone))
        self.reasons[pkg.get_name()] = reason
        for name in gone:
            self.reasons.setdefault(name, f"{pkg.get_name()} {reason}")
        self._hide([pkg])


def _held(
    base: Any, request: Request, hidden: Hidden, newer: Sequence[Any], planned: Set[str]
) -> List[Tuple[str, str]]:
    """Everything that is newer and not in the plan."""
    shown = {pkg.get_id().id for pkg in available(base)}
    secure = available(base)
    secure.filter_advisories(_security(base), libdnf5.common.QueryCmp_GTE)
    security = {pkg.get_id().id for pkg in secure} if request["security"] else shown
    held: Dict[str, str] = {}
    asked = 0
    for pkg in sorted(newer, key=lambda pkg: telling(pkg.get_name(), pkg.get_arch(), request)):
        name = str(pkg.get_name())
        if name in planned or name in held:
            continue
        reason = _against(request, hidden, pkg, shown, security)
        if reason is None:
            asked += 1
            reason = _why(base, pkg) if asked <= EXPLAINED else "dnf cannot install it"
        held[name] = reason
    there = {str(pkg.get_name()) for pkg in installed(base)}
    for name, reason in hidden.reasons.items():
        if name in there:
            held.setdefault(name, reason)
    return sorted(held.items())


def _against(request: Request, hidden: Hidden, pkg: Any, shown: Set[int], security: Set[int]) -> Optional[str]:
    """The option or the setting of the node that leaves the package out; None where it is the solver."""
    name = str(pkg.get_name())
    excluded = _matching(pkg, request["exclude"])
    if excluded:
        return f"excluded by {excluded!r} (exclude)"
    if request["packages"] and not _matching(pkg, request["packages"]):
        return "not selected (packages)"
    if name in hidden.locked:
        return "locked by dnf's versionlock"
    if name in hidden.reasons:
        return hidden.reasons[name]
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


def _matching(pkg: Any, globs: Sequence[str]) -> Optional[str]:
    return matching(pkg.get_name(), pkg.get_arch(), globs)
