"""Streams of modules that dnf 4 enables when it installs packages of a default stream. Runs in the worker."""

from typing import Any, List, Sequence, Tuple

import dnf  # type: ignore
import dnf.lock  # type: ignore
import dnf.repo  # type: ignore
import libdnf  # type: ignore

from os_update_agent.packages.dnf.protocol import Enable, Identity
from os_update_agent.packages.worker.caller import Caller


def enabled_with(base: Any, packages: Sequence[Any], row: Any) -> List[Tuple[Identity, str, str]]:
    """Return the packages of a resolved plan whose stream dnf enables with them, each with the module and the stream.

    dnf decides that when it resolves, and writes it down with the transaction.
    """
    container = base._moduleContainer
    streams = dict(container.getEnabledStreams()) if container is not None else {}
    if not streams:
        return []
    labels = {f"{pkg.name}-{pkg.epoch}:{pkg.version}-{pkg.release}.{pkg.arch}": pkg for pkg in packages}
    return [
        (row(labels[artifact]), str(module.getName()), str(module.getStream()))
        for module in container.getModulePackages()
        if streams.get(module.getName()) == module.getStream()
        for artifact in sorted(set(module.getArtifacts()).intersection(labels))
    ]


def forget(base: Any) -> None:
    """Forget the streams that a plan would enable, before another plan."""
    if base._moduleContainer is not None:
        base._moduleContainer.rollback()


def enable(base: Any, request: Enable, caller: Caller) -> None:
    """Enable streams, as dnf does before a transaction; only modules about which nothing is set. The metadata come from
    the last refresh.
    """
    for repo in base.repos.iter_enabled():
        repo._repo.setSyncStrategy(dnf.repo.SYNC_ONLY_CACHE)
        repo.skip_if_unavailable = True
    with dnf.lock.build_rpmdb_lock(base.conf.persistdir, base.conf.exit_on_lock):
        caller.check()
        base.fill_sack(load_system_repo=True, load_available_repos=True)
        container = base._moduleContainer
        unset = (
            libdnf.module.ModulePackageContainer.ModuleState_UNKNOWN,
            libdnf.module.ModulePackageContainer.ModuleState_DEFAULT,
        )
        for module, stream in request.streams:
            if container.getModuleState(module) in unset:
                container.enable(module, stream)
        container.save()
        container.updateFailSafeData()
