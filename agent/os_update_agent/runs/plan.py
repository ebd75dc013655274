"""What a plan would come to, for somebody who has to decide: sizes, marks, what it asks for afterwards, and can it be
undone.
"""

from dataclasses import dataclass
from typing import Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Change, HeldBack, Identity, Offer, Package, PackageState, diff
from os_update_agent.node.process_maps import services_with
from os_update_agent.packages import disk_space
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.backend import Backend
from os_update_agent.packages.reboot_forecast import asking_for_a_boot
from os_update_agent.packages.state import is_torn, transaction, visible
from os_update_agent.runs.aim import Aim
from os_update_agent.runtime.context import Site


@dataclass(frozen=True)
class Forecast:
    """A plan with its consequences.

    ``security`` names the changes that are security updates; ``download`` are bytes, with the old files that are kept
    for the way back; ``disk`` are bytes that the node grows by, None where the index does not say. ``rebuilt`` and
    ``lost`` are old packages whose file nobody has: to be rebuilt from the installed files, or gone for good.
    ``missing`` are new ones that nobody has, ``no_room`` says which disk is too full: it cannot be done.
    """

    changes: Tuple[Change, ...] = ()
    held_back: Tuple[HeldBack, ...] = ()
    removes_foreign: Tuple[str, ...] = ()
    security: FrozenSet[str] = frozenset()
    download: int = 0
    disk: Optional[int] = 0
    reboot: Tuple[str, ...] = ()
    services: Tuple[str, ...] = ()
    rebuilt: Tuple[Package, ...] = ()
    lost: Tuple[Package, ...] = ()
    missing: Tuple[Package, ...] = ()
    no_room: str = ""


def forecast(site: Site, policy: Policy, backend: Backend, before: PackageState, aim: Aim) -> Forecast:
    """What the way from ``before`` to the aim would come to. Nothing is fetched or changed. Raises PackageError."""
    archive = site.archive(backend)
    changes = visible(diff(before, aim.target))
    # What was interrupted while it was unpacked is unpacked again, in the version that it has.
    again = (package for package in before.packages if package.name in aim.torn and is_torn(package))
    new = (*transaction(before, aim.target).install, *again)
    old = tuple(change.before for change in changes if change.before)
    keeps = policy.archive != "off"
    absent = archive.missing(tuple(dict.fromkeys((*new, *(old if keeps else ())))))
    offers, nowhere = backend.available(absent)
    sizes, present = _sizes(archive, changes, offers), backend.present_sizes() if changes else {}
    need = disk_space.peak(changes, sizes, present) if changes and sizes is not None else 0
    # Old files that do not fit are rebuilt or given up, unless the policy insists on them.
    required = offers.keys() if policy.archive == "required" else offers.keys() & set(new)
    gone = (
        tuple(package for package in old if package in nowhere) if keeps else backend.available(archive.missing(old))[1]
    )
    return Forecast(
        changes,
        aim.held_back,
        aim.removes_foreign,
        backend.security_of(before, aim.changes) if aim.changes else frozenset(),
        sum(offer.size for offer in offers.values()),
        disk_space.growth(changes, sizes, present) if sizes is not None else None,
        asking_for_a_boot(changes, backend.reboot_hints()),
        services_with(backend.paths(old), site.settings.root) if old else (),
        rebuilt=gone if keeps and backend.repacks else (),
        lost=() if keeps and backend.repacks else gone,
        missing=tuple(package for package in new if package in nowhere),
        no_room=_no_room(site, policy, archive, sum(offers[package].size for package in required), need),
    )


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
