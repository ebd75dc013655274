"""dnf 5's Base as the agent wants it: strict about repositories, drops no kernel, asks nothing. Runs in the worker.

No package may outlive its Base: libdnf5 ends the process then.
"""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import libdnf5  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.protocol import Identity, Reasons, Refresh, Refused, Reply, Request
from os_update_agent.packages.dnf.settings import read_settings, settings_files
from os_update_agent.packages.dnf.worker import identity
from os_update_agent.packages.dnf.worker.outcome import Effects
from os_update_agent.packages.worker.server import text_of

AVAILABLE, SYSTEM = libdnf5.repo.Repo.Type_AVAILABLE, libdnf5.repo.Repo.Type_SYSTEM

# The agent's words (dnf 4's) and the numbers of libdnf5 for why a package is installed.
_REASONS = {
    "unknown": libdnf5.transaction.TransactionItemReason_EXTERNAL_USER,
    "user": libdnf5.transaction.TransactionItemReason_USER,
    "dependency": libdnf5.transaction.TransactionItemReason_DEPENDENCY,
    "weak-dependency": libdnf5.transaction.TransactionItemReason_WEAK_DEPENDENCY,
    "group": libdnf5.transaction.TransactionItemReason_GROUP,
}


class Base(libdnf5.base.Base):  # type: ignore
    """libdnf5's, which remembers where the node wants its excludes not to apply (disable_excludes), and what there was
    before they did: libdnf5 takes none back. ``since`` is what was ``recorded`` when it was opened. ``rehearsed`` is
    the transaction that was resolved in it, and what that is meant to come to."""

    without_excludes: List[str]
    unhidden: Optional[Tuple[Any, Any]] = None
    since: Tuple[Any, ...]
    rehearsed: Optional[Tuple[Any, Effects]] = None


def opened(request: Request) -> Base:
    """Return a Base for the root of a request; see opened_for()."""
    return opened_for(request.root)


def close(base: Base) -> None:
    """Drop the packages that the Base holds. libdnf5 ends it with the last reference to it, and no package may outlive
    it.
    """
    base.unhidden = base.rehearsed = None


def failure(error: Exception) -> Optional[Reply]:
    """Return the answer for an error of libdnf5; None for a bug."""
    # The latter is C++'s own, for a file that cannot be written, say; a dnf without a class for it raises Python's
    # RuntimeError.
    kinds = (libdnf5.exception.Error, getattr(libdnf5.exception, "NonLibdnf5Exception", RuntimeError))
    return Reply(error=text_of(error)) if isinstance(error, kinds) else None


def opened_for(root: str) -> Base:
    """A Base with the configuration of the node, or of the private root that the request names. Nothing is loaded yet.

    No excludes and no version locks apply: those are for the solver only, which asks for them (``hide``).
    """
    base = Base()
    base.since = recorded(root)
    config = base.get_config()
    config.installroot = root
    if root != "/":
        # What this machine's plugins do is for this machine only.
        config.plugins = False
    base.load_config()
    base.without_excludes = list(config.disable_excludes)
    config.disable_excludes = ["*"]
    config.assumeyes = True
    config.best = False
    # Kernels over the limit would be erased without being in anybody's plan.
    config.installonly_limit = 0
    config.clean_requirements_on_remove = False
    # Waiting is bounded by the agent, which also names the holder.
    config.exit_on_lock = True
    config.timeout = 30
    config.retries = 3
    base.setup()
    base.get_repo_sack().create_repos_from_system_configuration()
    for repo in enabled(base):
        # A repository that does not answer would be as if it had no updates (dnf5.conf(5)).
        repo.get_config().skip_if_unavailable = False
    return base


def cookie(root: str) -> str:
    """rpm's own mark of what its database holds: another one after each change."""
    transaction = rpm.TransactionSet(root)
    transaction.openDB()
    try:
        return str(transaction.dbCookie())
    finally:
        transaction.closeDB()


def recorded(root: str) -> Tuple[Any, ...]:
    """Something that is equal only as long as rpm's database, dnf's record of reasons and groups, and its settings are
    the same.
    """
    record = read_settings(Path(root), drop_ins=True).state.glob("*.toml")
    settings = (*settings_files(Path(root), drop_ins=True), *Path(root, "etc/dnf/protected.d").glob("*.conf"))
    return cookie(root), *((path, path.read_bytes()) for path in sorted((*record, *settings)) if path.is_file())


def enabled(base: Any) -> List[Any]:
    """The repositories that are switched on."""
    found = libdnf5.repo.RepoQuery(base)
    found.filter_enabled(True)
    found.filter_type(AVAILABLE)
    return list(found)


def fill(base: Any, *, repositories: bool) -> None:
    """Load the installed packages and, where asked for, the repositories from what the last refresh has fetched; once
    for each Base.
    """
    sack = base.get_repo_sack()
    if sack.has_system_repo():
        return
    if not repositories:
        sack.load_repos(SYSTEM)
        return
    for repo in enabled(base):
        repo.set_sync_strategy(libdnf5.repo.Repo.SyncStrategy_LAZY)
    sack.load_repos()


def refresh(base: Any, request: Refresh) -> Sequence[Identity]:
    """Fetch the metadata of every enabled repository again, and load them with the installed packages.

    The packages that suggest a boot are those of `dnf5 needs-restarting`.
    """
    for repo in enabled(base):
        repo.expire()
    base.get_repo_sack().load_repos()
    suggested = query(base)
    suggested.filter_reboot_suggested()
    return [row(pkg) for pkg in suggested]


def hide(base: Any) -> None:
    """From now on the node's own excludes and version locks apply."""
    base.unhidden = installed(base), available(base)
    base.get_config().disable_excludes = base.without_excludes
    base.get_rpm_package_sack().load_config_excludes_includes()


def reasons(base: Any, request: Reasons) -> Dict[str, str]:
    """ "name.arch" -> dnf 4's word for why the package is installed."""
    fill(base, repositories=False)
    return {f"{pkg.get_name()}.{pkg.get_arch()}": word(pkg.get_reason()) for pkg in installed(base)}


def word(reason: int) -> str:
    return next((name for name, number in _REASONS.items() if number == reason), "unknown")


def number(name: str) -> int:
    """The opposite of word(); a word that this dnf does not know becomes "unknown"."""
    return int(_REASONS.get(name, _REASONS["unknown"]))


def row(pkg: Any) -> Identity:
    """Return the identity of a package, or of an item in dnf's history."""
    return (
        str(pkg.get_name()),
        str(pkg.get_arch()),
        identity.evr(pkg.get_epoch(), pkg.get_version(), pkg.get_release()),
    )


def spec(wanted: Identity) -> str:
    name, arch, version = wanted
    return f"{name}-{version}.{arch}"


def query(base: Any) -> Any:
    return libdnf5.rpm.PackageQuery(base)


def installed(base: Any) -> Any:
    found = query(base)
    found.filter_installed()
    return found


def available(base: Any) -> Any:
    found = query(base)
    found.filter_available()
    return found


def everything(base: Any) -> Tuple[Any, Any]:
    """The installed packages and those of the repositories, also what is hidden by now."""
    return base.unhidden or (installed(base), available(base))


def versions(wanted: Sequence[Identity], pool: Any) -> List[List[Any]]:
    """Return the packages of these identities in ``pool``, in the same order; [] for one that is not there."""
    named = libdnf5.rpm.PackageQuery(pool)
    named.filter_name(identity.names_of(wanted))
    return identity.in_order(wanted, named, row)


def several(base: Any) -> List[str]:
    """The names of the packages of which several versions may be installed."""
    found = query(base)
    found.filter_installonly()
    return sorted({str(pkg.get_name()) for pkg in found})


def resolved(goal: Any) -> Any:
    """The transaction of the goal. Raises Refused with the solver's reasons."""
    transaction = goal.resolve()
    if transaction.get_problems():
        raise Refused(
            "; ".join(" ".join(line.split()) for line in transaction.get_resolve_logs_as_strings())
            or "dnf cannot do it"
        )
    return transaction


def is_inbound(item: Any) -> bool:
    return bool(libdnf5.transaction.transaction_item_action_is_inbound(item.get_action()))


def is_outbound(item: Any) -> bool:
    return bool(libdnf5.transaction.transaction_item_action_is_outbound(item.get_action()))
