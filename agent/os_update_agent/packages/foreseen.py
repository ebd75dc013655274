"""What changes of packages can be expected to ask for afterwards. Pure; the node itself knows better once they are made."""

from fnmatch import fnmatchcase
from typing import Collection, Iterable, Tuple

from os_update_agent.model import Change, Identity

# Whose new version runs only after a boot: the kernel, what is loaded before or by it, and what every process holds
# (Debian: the callers of notify-reboot-required; dnf-plugins-core: needs-restarting).
_BOOTED = (
    *("linux-image-*", "kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "linux-firmware"),
    *("intel-microcode", "amd64-microcode", "microcode_ctl"),
    *("libc6", "glibc", "systemd", "dbus", "dbus-daemon", "dbus-broker"),
)


def asking_for_a_boot(changes: Iterable[Change], suggested: Collection[Identity] = ()) -> Tuple[str, ...]:
    """The names of packages that come in a version which runs only after a boot; of ``suggested`` ones their index says so."""
    found = (change.after for change in changes if change.after is not None)
    asking = (new.name for new in found if new.identity in suggested or any(fnmatchcase(new.name, glob) for glob in _BOOTED))
    return tuple(dict.fromkeys(asking))
