"""Package changes that others have prepared for a boot of this node: by dnf5 offline, dnf 4, or PackageKit.

systemd boots into system-update.target where a link /system-update or /etc/system-update is (systemd.offline-updates
(7)); the one who made the link applies its transaction then. Files and their words are from dnf5 (libdnf5
offline.hpp), dnf-plugins-core (system_upgrade.py) and PackageKit (pk-offline-private.h).
"""

import os
import re
from pathlib import Path
from typing import Callable, NamedTuple, Tuple

from os_update_agent.config.bounded_files import read_text

_LINKS = ("system-update", "etc/system-update")
# It updates firmware, and no packages.
_NO_PACKAGES = "fwupd"


class OfflineUpdate(NamedTuple):
    """A transaction that a boot applies: the next one if it ``is_armed``. ``words`` name it, and mostly how to drop
    it.
    """

    words: str
    is_armed: bool

    @property
    def sentence(self) -> str:
        return (
            f"the next boot applies {self.words}, on top of the packages that are installed then"
            if self.is_armed
            else f"{self.words} is prepared; a boot applies it once it is triggered"
        )


class _Owner(NamedTuple):
    """``mark`` is a part of where its link points to."""

    mark: str
    words: str
    is_prepared: Callable[[Path], bool]


def offline_updates(root: Path) -> Tuple[OfflineUpdate, ...]:
    """Return what is prepared below the root, the armed ones first. Raises nothing."""
    targets = [os.readlink(root / link) for link in _LINKS if (root / link).is_symlink()]
    targets += [str(root / link) for link in _LINKS if (root / link).exists() and not (root / link).is_symlink()]
    found = []
    for owner in _OWNERS:
        is_armed = any(owner.mark in target for target in targets)
        if is_armed or owner.is_prepared(root):
            found.append(OfflineUpdate(owner.words, is_armed))
    for target in targets:
        if _NO_PACKAGES not in target and not any(owner.mark in target for owner in _OWNERS):
            prepared = [one for one in found if not one.is_armed]
            if prepared:
                # PackageKit has its link point to a directory that says nothing of it.
                found = [one._replace(is_armed=True) for one in found]
            else:
                found.append(OfflineUpdate(f"an offline update (/system-update points to {target})", is_armed=True))
    return tuple(sorted(found, key=lambda one: not one.is_armed))


def next_boot(root: Path) -> str:
    """Return which package changes of others the next boot applies, in words; "" for none."""
    return ", ".join(one.words for one in offline_updates(root) if one.is_armed)


def _dnf5(root: Path) -> bool:
    text = _read(root / "usr/lib/sysimage/libdnf5/offline/offline-transaction-state.toml")
    status = re.search(r'^\s*status\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return status is not None and status[1] != "download-incomplete"


def _dnf4(root: Path) -> bool:
    text = _read(root / "var/lib/dnf/system-upgrade/system-upgrade-state.json")
    return re.search(r'"(download_status"\s*:\s*"complete|upgrade_status"\s*:\s*"ready)"', text) is not None


def _packagekit(root: Path) -> bool:
    directory = root / "var/lib/PackageKit"
    return any((directory / name).exists() for name in ("prepared-update", "prepared-upgrade"))


_OWNERS = (
    _Owner("libdnf5", "an offline transaction of dnf5 ('dnf5 offline clean' drops it)", _dnf5),
    _Owner("lib/dnf", "an offline upgrade of dnf ('dnf system-upgrade clean' drops it)", _dnf4),
    _Owner("PackageKit", "an offline update of PackageKit ('pkcon offline-get-prepared' shows it)", _packagekit),
)


def _read(path: Path) -> str:
    try:
        return read_text(path, errors="replace")
    except OSError:
        return ""
