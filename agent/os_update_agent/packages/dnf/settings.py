"""The few settings of dnf.conf that the agent must know without asking dnf (dnf.conf(5))."""

import configparser
from pathlib import Path
from typing import List, NamedTuple, Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.errors import PackageError

DNF_CONF = "etc/dnf/dnf.conf"
# Of dnf 5: the distribution's and the operator's, where a file hides the one of the same name before it (dnf5.conf(5)).
_DROP_INS = ("usr/share/dnf5/libdnf.conf.d", "etc/dnf/libdnf5.conf.d")
_STATE = "/usr/lib/sysimage/libdnf5"
# Of dnf 5: since 5.3 beside what it keeps, or with the record, by its version; 5.2 and older.
_LOCK, _OLD_LOCK = "system-repo.lock", "run/dnf/rpmtransaction.lock"
# What dnf has built in; the file's own list comes on top of it.
INSTALL_ONLY = (
    *("kernel", "kernel-PAE", "installonlypkg(kernel)", "installonlypkg(kernel-module)", "installonlypkg(vm)"),
    "multiversion(kernel)",
)


class DnfSettings(NamedTuple):
    """Absolute paths, and in ``install_only`` names or provides of which several versions may be installed.

    ``cache`` and ``persistent`` are dnf 4's. ``state`` (reasons), ``history`` (transactions) and ``locks`` are dnf 5's;
    which one of the locks exists depends on its version, and the process that changes packages holds it.
    """

    cache: Path
    persistent: Path
    install_only: Tuple[str, ...]
    state: Path
    history: Path
    locks: Tuple[Path, ...]


def settings_files(root: Path, *, drop_ins: bool) -> Tuple[Path, ...]:
    """Return the files with settings; the last one that has a setting wins. Only dnf 5 reads ``drop_ins``."""
    found = {path.name: path for place in _DROP_INS for path in (root / place).glob("*.conf")} if drop_ins else {}
    return (*(found[name] for name in sorted(found)), root / DNF_CONF)


def read_settings(root: Path, *, drop_ins: bool = False) -> DnfSettings:
    """Return the settings of dnf below ``root``. Raises PackageError if a file cannot be read."""
    parsers = [_read(file) for file in settings_files(root, drop_ins=drop_ins)]

    def each(name: str) -> List[str]:
        return [parser.get("main", name).strip() for parser in parsers if parser.has_option("main", name)]

    def place(name: str, default: str) -> Path:
        return root / [default, *each(name)][-1].lstrip("/")

    own = [word for text in each("installonlypkgs") for word in text.replace(",", " ").split()]
    persistent, state = place("persistdir", "/var/lib/dnf"), place("system_state_dir", _STATE)
    return DnfSettings(
        place("cachedir", "/var/cache/dnf"),
        persistent,
        tuple(dict.fromkeys((*INSTALL_ONLY, *own))),
        state,
        place("transaction_history_dir", _STATE),
        tuple(dict.fromkeys((persistent / _LOCK, state / _LOCK, root / _OLD_LOCK))),
    )


def _read(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        # dnf does not mind a comment in another encoding.
        parser.read_string(read_text(file, errors="surrogateescape"), str(file))
    except FileNotFoundError:
        pass
    except (configparser.Error, OSError) as error:
        raise PackageError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    return parser
