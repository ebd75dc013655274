"""Which packages work only after a boot: the rule of `dnf needs-restarting -r`, applied without the plugin, which a
node may lack.

The names are those of dnf-plugins-core (needs_restarting.py), which has most of them from
https://access.redhat.com/solutions/27943; a vendor or an operator adds names in files below
etc/dnf/plugins/needs-restarting.d, one a line (dnf-needs-restarting(8)). A package of these that was installed since
the machine was started asks for a boot; it does not matter whether it is newer or older. To dnf 5 a package of any name
asks for one as well where an advisory of this very version suggests it.
"""

import re
from pathlib import Path
from typing import Collection, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Identity
from os_update_agent.packages.dnf.answers import evr

NEED_A_BOOT = (
    *("kernel", "kernel-core", "kernel-rt", "glibc", "linux-firmware", "microcode_ctl"),
    *("systemd", "dbus", "dbus-broker", "dbus-daemon"),
)
FORMAT = r"%{name}\t%{arch}\t%{epochnum}\t%{version}-%{release}\t%{installtime}\n"
_ADDED = "etc/dnf/plugins/needs-restarting.d"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def names_below(root: Path) -> Tuple[str, ...]:
    """The names of the packages that need a boot on this node. Raises PackageError where a file with names cannot be
    read.
    """
    added = []
    for path in sorted((root / _ADDED).glob("*.conf")):
        try:
            added += [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        except OSError as error:
            raise PackageError(f"{path} cannot be read: {error.strerror}") from error
    return tuple(dict.fromkeys((*NEED_A_BOOT, *(name for name in added if _NAME.fullmatch(name)))))


def installed_since(
    text: str, moment: float, names: Collection[str], suggested: Collection[Identity] = ()
) -> Tuple[str, ...]:
    """Those in the output of rpm -q with FORMAT that were installed after a moment (seconds since the epoch), by name
    or identity. Pure.

    rpm's words for a package that is not there are no line with a tab.
    """
    found = set()
    for row in (line.split("\t") for line in text.splitlines()):
        if len(row) == 5 and row[4].isdigit() and int(row[4]) > moment:
            name, arch, epoch, version, _ = row
            if name in names or (name, arch, evr(epoch, version)) in suggested:
                found.add(name)
    return tuple(sorted(found))
