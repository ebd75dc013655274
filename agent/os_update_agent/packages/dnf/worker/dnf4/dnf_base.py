"""dnf 4's Base as the agent wants it: strict about repositories, drops no kernel, asks nothing. Runs in the worker,
Python 3.6.
"""

import os
from typing import Any, Dict, List, Optional, Sequence

import dnf  # type: ignore
import dnf.conf  # type: ignore
import dnf.exceptions  # type: ignore
import dnf.repo  # type: ignore
import dnf.rpm  # type: ignore
import hawkey  # type: ignore
import libdnf  # type: ignore

from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import Identity, Reply, Request
from os_update_agent.packages.dnf.worker import identity
from os_update_agent.packages.dnf.worker.dnf4 import older
from os_update_agent.packages.dnf.worker.outcome import Effects
from os_update_agent.packages.dnf.worker.server import READING
from os_update_agent.packages.worker.server import text_of

# versionlock hides versions from every sack, also the old ones of a way back: the solver applies its locks itself.
# show_leaves works under dnf's command line only.
_LEFT_OUT = ("versionlock", "show_leaves")


class Base(dnf.Base):  # type: ignore
    """dnf 4's, which remembers what its goal was ``rehearsed`` to come to."""

    rehearsed: Optional[Effects] = None


def opened(request: Request) -> Base:
    """A Base with the configuration of the node, or of the private root that the request names. No sack is filled yet.

    The node's excludes are for what it does not have yet: they apply where a request only reads, and there to the
    solver alone.
    """
    root = request.root
    conf = dnf.conf.Conf()
    conf.installroot = root
    conf.config_file_path = os.path.join(root, "etc/dnf/dnf.conf")
    if os.path.exists(conf.config_file_path):
        conf.read(conf.config_file_path)
    if root != "/":
        _keep_inside(conf, root)
    releasever = dnf.rpm.detect_releasever(root)
    if releasever:
        conf.substitutions["releasever"] = releasever
    conf.substitutions.update_from_etc(root, conf.varsdir if root == "/" else [os.path.join("/", "etc/dnf/vars")])
    conf.assumeyes = True
    conf.best = False
    conf.strict = True
    # Kernels over the limit would be erased without being in anybody's plan.
    conf.installonly_limit = 0
    conf.deltarpm = False
    # Waiting is bounded by the agent, which also names the holder.
    conf.exit_on_lock = True
    conf.timeout = 30
    conf.retries = 3
    base = Base(conf)
    try:
        _configure(base, request)
    except BaseException:
        close(base)
        raise
    return base


def _configure(base: Any, request: Request) -> None:
    has_plugins = request.root == "/" and base.conf.plugins
    base.args = ["os-update-agent", protocol.action_of(request)]
    if has_plugins:
        base.init_plugins(disabled_glob=_LEFT_OUT)
        base.pre_configure_plugins()
    of_plugins = set(base.repos)
    base.read_all_repos()
    for name in set(base.repos) - of_plugins:
        # A repository that does not answer would be as if it had no updates (dnf.conf(5)). What a plugin adds, such as
        # its own cache of packages ("local"), is no repository that the operator has named.
        base.repos[name].skip_if_unavailable = False
    if has_plugins:
        base.configure_plugins()
    if not isinstance(request, READING):
        # "all" would judge the files at hand by the streams of modules as well.
        base.conf.disable_excludes = ["main", *base.repos]


def close(base: Any) -> None:
    """The end of a Base; another one can be opened then. dnf refuses to load its plugins twice unless they were
    unloaded.
    """
    if base.conf.plugins:
        older.unload_plugins(base)
    base.close()


def cookie(root: str) -> str:
    """A mark of what rpm's database holds: another one after each change."""
    # The first look at the database, for each request.
    older.keep_signals()
    return older.database_mark(root)


def _keep_inside(conf: Any, root: str) -> None:
    for option in ("cachedir", "persistdir", "logdir"):
        conf.prepend_installroot(option)
    conf.reposdir = [os.path.join(root, "etc/yum.repos.d")]
    conf.plugins = False
    os.makedirs(conf.logdir, exist_ok=True)


def fill(base: Any, *, repositories: bool) -> None:
    """Load the installed packages and, where asked for, the repositories from what the last refresh has fetched; once
    for each Base.
    """
    if base.sack is not None:
        return
    if repositories:
        for repo in base.repos.iter_enabled():
            repo._repo.setSyncStrategy(dnf.repo.SYNC_LAZY)
    base.fill_sack(load_system_repo=True, load_available_repos=repositories)


def refresh(base: Any, request: protocol.Refresh) -> Sequence[Identity]:
    """Fetch the metadata of every enabled repository again, and load them with the installed packages."""
    for repo in base.repos.iter_enabled():
        repo._repo.expire()
    base.fill_sack(load_system_repo=True, load_available_repos=True)
    return []


def reasons(base: Any, request: protocol.Reasons) -> Dict[str, str]:
    """Return dnf's own word for why each package is installed."""
    fill(base, repositories=False)
    return {f"{pkg.name}.{pkg.arch}": word(reason_of(base, pkg)) for pkg in base.sack.query().installed()}


def reason_of(base: Any, pkg: Any) -> int:
    return int(base.history.swdb.resolveRPMTransactionItemReason(pkg.name, pkg.arch, -1))


def word(reason: int) -> str:
    return str(libdnf.transaction.TransactionItemReasonToString(reason))


def number(reason: str) -> int:
    """The opposite of word(); a word that this dnf does not know becomes "unknown"."""
    try:
        return int(libdnf.transaction.StringToTransactionItemReason(reason))
    except IndexError:
        return 0


def row(pkg: Any) -> Identity:
    """Return the identity of a package, or of an item in dnf's history."""
    return str(pkg.name), str(pkg.arch), identity.evr(pkg.epoch, pkg.version, pkg.release)


def versions(base: Any, wanted: Sequence[Identity], *, installed: bool) -> List[List[Any]]:
    """Return the packages of these identities, in the same order; [] for one that is not there. Excludes hide none."""
    everything = base.sack.query(flags=hawkey.IGNORE_EXCLUDES)
    pool = everything.installed() if installed else everything.available()
    # One question for all: to ask for each takes longer than to sort.
    return identity.in_order(wanted, pool.filter(name=identity.names_of(wanted)), row)


def install_only(base: Any) -> Any:
    """A query of all packages of which several versions may be installed."""
    return base.sack.query(flags=hawkey.IGNORE_EXCLUDES).filter(provides=base.conf.installonlypkgs)


def failure(error: Exception) -> Optional[Reply]:
    """Return the answer for an error of dnf; None for a bug. The classes of hawkey and libdnf have no common parent."""
    if isinstance(error, dnf.exceptions.LockError):
        return Reply(busy=str(error))
    return Reply(error=text_of(error)) if isinstance(error, dnf.exceptions.Error) else None
