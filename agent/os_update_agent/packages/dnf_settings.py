"""The few settings of dnf.conf that the agent must know without asking dnf (dnf.conf(5))."""

import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from os_update_agent.errors import PackageError

DNF_CONF = "etc/dnf/dnf.conf"
_STATE = "/usr/lib/sysimage/libdnf5"
# Of dnf 5: since 5.3 beside what it keeps, or with the record, by its version; 5.2 and older.
_LOCK, _OLD_LOCK = "system-repo.lock", "run/dnf/rpmtransaction.lock"
# What dnf has built in; the file's own list comes on top of it.
INSTALL_ONLY = (
    *("kernel", "kernel-PAE", "installonlypkg(kernel)", "installonlypkg(kernel-module)", "installonlypkg(vm)"),
    "multiversion(kernel)",
)


@dataclass(frozen=True)
class DnfSettings:
    """Absolute paths; ``install_only`` are names or provides of which several versions may be installed.

    ``cache`` and ``persistent`` are dnf 4's; ``state`` (reasons), ``history`` (transactions) and ``locks`` (whichever a version has:
    who changes packages holds it) are dnf 5's.
    """

    cache: Path
    persistent: Path
    install_only: Tuple[str, ...]
    state: Path
    history: Path
    locks: Tuple[Path, ...]


def read_settings(root: Path) -> DnfSettings:
    """The settings of dnf below ``root``. Raises PackageError where the file cannot be read."""
    file = root / DNF_CONF
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{file} cannot be read: {' '.join(str(error).split())}") from error

    def setting(name: str, default: str) -> str:
        return parser.get("main", name, fallback=default).strip()

    own = setting("installonlypkgs", "").replace(",", " ").split()
    persistent = root / setting("persistdir", "/var/lib/dnf").lstrip("/")
    state = root / setting("system_state_dir", _STATE).lstrip("/")
    return DnfSettings(
        root / setting("cachedir", "/var/cache/dnf").lstrip("/"),
        persistent,
        tuple(dict.fromkeys((*INSTALL_ONLY, *own))),
        state,
        root / setting("transaction_history_dir", _STATE).lstrip("/"),
        tuple(dict.fromkeys((persistent / _LOCK, state / _LOCK, root / _OLD_LOCK))),
    )
