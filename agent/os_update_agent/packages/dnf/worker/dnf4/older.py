"""The functions of dnf 4 that its older versions lack, and the detours there. Runs in the worker, Python 3.6.

Each function says since when dnf has its own. EL 8 has dnf 4.7 with libdnf 0.63 and rpm 4.14; the oldest one that is
tested is dnf 4.5 with libdnf 0.55 (Debian 11). The module asks for the function, not for the version: distributions
have taken some of them into older versions.
"""

import os
from typing import Any

import dnf  # type: ignore
import dnf.rpm.transaction  # type: ignore
import rpm  # type: ignore

# dnf 4.7 and later.
_HAS_FILTERS = hasattr(dnf.Base, "add_security_filters")


def keep_signals() -> None:
    """Keep the worker's own handlers of signals. Until 4.17 rpm puts its own in their place while its database is open:
    on SIGTERM it ends the process when the transaction is over, and dnf is left without its record. Call this before
    the database is opened.
    """
    if hasattr(rpm, "setInterruptSafety"):
        rpm.setInterruptSafety(False)


def database_mark(root: str) -> str:
    """Return a mark of what rpm's database holds, another one after each change: rpm's own one since dnf 4.11 with rpm
    4.15, before that the looks of the database's files.
    """
    wrapper = dnf.rpm.transaction.TransactionWrapper
    return str(wrapper(root).dbCookie()) if hasattr(wrapper, "dbCookie") else _looks_below(root)


def _looks_below(root: str) -> str:
    directory = os.path.join(root, rpm.expandMacro("%_dbpath").lstrip("/"))
    # Without the files of Berkeley DB's environment (__db.001), and rpm's lock: readers change them as well.
    names = sorted(name for name in os.listdir(directory) if not name.startswith(("__", ".")))
    looks = ((name, os.stat(os.path.join(directory, name))) for name in names)
    return ";".join(f"{name}:{one.st_ino}:{one.st_size}:{one.st_mtime_ns}" for name, one in looks)


def recorded_version(base: Any) -> str:
    """Return the version of rpm's database as dnf's history has it: rpm's mark since dnf 4.11, before that libdnf's sum
    of the loaded packages.
    """
    wrapper = dnf.rpm.transaction.TransactionWrapper
    return str(base._ts.dbCookie() if hasattr(wrapper, "dbCookie") else base.sack._rpmdb_version())


def unload_plugins(base: Any) -> None:
    """Unload the plugins, so that another Base can load them. dnf has its own function since 4.14."""
    if hasattr(base, "unload_plugins"):
        base.unload_plugins()
    else:
        base._plugins._unload()


def of_security(query: Any) -> Any:
    """Return the packages of a query that are security updates, or later than one. "eqg" came with libdnf 0.60.1, which
    dnf 4.7 needs; before that dnf's command line took "gte".
    """
    name = "advisory_type__eqg__gt" if _HAS_FILTERS else "advisory_type__gte"
    return query.filter(**{name: ["security"]})


def select_security(base: Any) -> None:
    """Let the next plan hold security updates alone. dnf has its own function since 4.7."""
    if _HAS_FILTERS:
        base.add_security_filters("gte", types=["security"])
    else:
        base._update_security_filters.append(of_security(base.sack.query()))


def selected(base: Any, query: Any) -> Any:
    """Return what the filters of the plan leave of a query for updates. The argument "upgrade" came with dnf 4.7."""
    more = {"upgrade": True} if _HAS_FILTERS else {}
    return base._merge_update_filters(query, warning=False, **more)
