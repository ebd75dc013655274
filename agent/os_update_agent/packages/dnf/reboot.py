"""The names of packages that work only after a boot: the rule of `dnf needs-restarting -r`, applied without the plugin,
which a node may lack.

The names are those of dnf-plugins-core (needs_restarting.py), which has most of them from
https://access.redhat.com/solutions/27943. A vendor or an operator adds names in files below
etc/dnf/plugins/needs-restarting.d, one a line (dnf-needs-restarting(8)). A package with one of these names asks for a
boot if it was installed since the machine was started. It does not matter whether the new version is newer or older.
Under dnf 5 a package with any other name asks for a boot if an advisory of this very version suggests it.
"""

import re
from pathlib import Path
from typing import Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.errors import PackageError

NEED_A_BOOT = (
    *("kernel", "kernel-core", "kernel-rt", "glibc", "linux-firmware", "microcode_ctl"),
    *("systemd", "dbus", "dbus-broker", "dbus-daemon"),
)
_ADDED = "etc/dnf/plugins/needs-restarting.d"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def names_below(root: Path) -> Tuple[str, ...]:
    """Return the names of the packages that need a boot on this node. Raises PackageError if a file with names cannot
    be read.
    """
    added = []
    for path in sorted((root / _ADDED).glob("*.conf")):
        try:
            added += [line.strip() for line in read_text(path, errors="replace").splitlines()]
        except OSError as error:
            raise PackageError(f"{path} cannot be read: {error.strerror}") from error
    return tuple(dict.fromkeys((*NEED_A_BOOT, *(name for name in added if _NAME.fullmatch(name)))))
