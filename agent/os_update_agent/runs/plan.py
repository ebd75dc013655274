"""The planner: the state that an update aims at, the plan that leads there, and what follows from a plan."""

from dataclasses import replace
from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import Change, Identity, Package, PackageState, Selection, annotated, diff
from os_update_agent.model.plans import Plan
from os_update_agent.node.process_maps import services_with
from os_update_agent.packages import disk_space
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.interruption import Unfinished
from os_update_agent.packages.reboot_forecast import asking_for_a_boot
from os_update_agent.packages.selection import unmatched
from os_update_agent.packages.state import broken, expected, is_torn, transaction, visible
from os_update_agent.runs.rehearsal import Rehearsed, rehearsed
from os_update_agent.runtime.context import Site


class Aim(NamedTuple):
    """The state to reach, and the plan that leads there."""

    target: PackageState
    plan: Plan


class Forecast(NamedTuple):
    """A plan with what follows from it, for an operator who has to decide.

    Attributes:
        plan: The plan, with what cannot be undone and its sizes.
        reboot: The names of packages whose new version runs only after a reboot.
        services: The services that would still run replaced code.
        missing: The labels of new packages whose file neither archive nor repository has: the plan cannot be done.
        no_room: Which disk is too full for the plan ("" if none is).
        reason: The package manager's reason against the plan, as a rehearsal has found it ("": none).
        unchecked: What could not be rehearsed, and why.
        unfinished: The interruption that is repaired before the plan (None if there is none).
    """

    plan: Plan = Plan()
    reboot: Tuple[str, ...] = ()
    services: Tuple[str, ...] = ()
    missing: Tuple[str, ...] = ()
    no_room: str = ""
    unfinished: Optional[Unfinished] = None
    reason: str = ""
    unchecked: Tuple[str, ...] = ()


def aim_of_update(backend: Backend, policy: Policy, before: PackageState) -> Aim:
    """Return what the package manager makes of the policy. Raises PackageError."""
    selection = Selection(policy.packages, policy.exclude, policy.select == "security", policy.removals == "allow")
    changes, held_back = backend.candidates(before, selection)
    target = expected(before, changes)
    torn = {package.name for package in broken(before)} - {change.name for change in changes}
    plan = Plan(
        annotated(visible(diff(before, target)), changes),
        held_back,
        unmatched=unmatched(before.packages, selection),
        torn=tuple(sorted(torn)),
    )
    return Aim(target, plan)


def forecast(site: Site, policy: Policy, backend: Backend, before: PackageState, aim: Aim, *, forced: bool) -> Forecast:
    """Return what the way from ``before`` to the aim would come to; fetch and change nothing. ``forced``: it is a way
    back. Raises PackageError.
    """
    unfinished = backend.unfinished()
    archive, changes = site.archive(backend), aim.plan.changes
    # A package that was interrupted while it was unpacked is unpacked again, in the version that it has.
    again = (package for package in before.packages if package.name in aim.plan.torn and is_torn(package))
    new = (*transaction(before, aim.target).install, *again)
    old = tuple(change.before for change in changes if change.before)
    keeps = policy.archive != "off"
    absent = archive.missing(tuple(dict.fromkeys((*new, *(old if keeps else ())))))
    offers, nowhere = backend.available(absent)
    sizes, present = _sizes(archive, changes, offers), backend.present_sizes() if changes else {}
    need = disk_space.peak(changes, sizes, present) if changes and sizes is not None else 0
    # Old files that do not fit are rebuilt or given up, unless the policy insists on them.
    required = offers.keys() if policy.archive == "required" else offers.keys() & set(new)
    gone = [package for package in old if package in nowhere] if keeps else backend.available(archive.missing(old))[1]
    is_rebuilt = keeps and backend.repacks
    plan = replace(
        aim.plan,
        lost=() if is_rebuilt else labels_of(gone),
        rebuilt=labels_of(gone) if is_rebuilt else (),
        download=sum(offer.size for offer in offers.values()),
        growth=disk_space.growth(changes, sizes, present) if sizes is not None else None,
    )
    missing = labels_of([package for package in new if package in nowhere])
    found = Rehearsed()
    if unfinished:
        found = Rehearsed(
            unchecked=(f"whether {backend.name} would do this: an earlier transaction is repaired first",)
        )
    elif changes and not missing and policy.operation == "update":
        found = rehearsed(backend, archive, site.settings.root, before, aim.target, forced=forced)
    plan = replace(plan, undo_refused=found.undo.refused)
    return Forecast(
        plan,
        asking_for_a_boot(changes, backend.reboot_hints()),
        services_with(backend.paths(old), site.settings.root) if old else (),
        missing,
        _no_room(site, policy, archive, sum(offers[package].size for package in required), need),
        unfinished,
        found.reason,
        (*found.unchecked, *found.undo.unchecked),
    )


def labels_of(packages: Sequence[Package]) -> Tuple[str, ...]:
    return tuple(package.label for package in packages)


def _sizes(
    archive: Archive, changes: Sequence[Change], offers: Mapping[Package, Offer]
) -> Optional[Dict[Identity, int]]:
    """What each new package takes, KiB; None where the index does not say it of all."""
    new = [change.after for change in changes if change.after]
    announced = {
        package.identity: offer.installed_kb for package, offer in offers.items() if offer.installed_kb is not None
    }
    sizes = {**announced, **archive.installed_kb(new)}
    return None if any(package.identity not in sizes for package in new) else sizes


def _no_room(site: Site, policy: Policy, archive: Archive, coming: int, need: int) -> str:
    """What the fetch of so many bytes or the transaction would say, as far as that can be known before: what a kernel
    takes in /boot is in its file.
    """
    try:
        if policy.operation in ("update", "download"):
            archive.check_room(coming)
        if policy.operation == "update" and need:
            disk_space.check_space(site.settings.root, need, 0, disk_space.existing(archive.directory), coming=coming)
    except PackageError as error:
        return str(error)
    return ""
