"""What has to happen so that what is installed is also what runs: is a reboot due, and which services are restarted.
Pure.
"""

from fnmatch import fnmatchcase
from typing import Collection, Iterable, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.options import RebootRule
from os_update_agent.model.phases import BACK, FORTH, Direction

OUR_SERVICES = "os-update-agent*"
CALLER = "os-collect-config.service"

# A restart of these takes down more than the service itself; a reboot, or an operator, has to do it.
_LEFT_ALONE = {
    "everything else talks through it": "dbus.service dbus-broker.service polkit.service",
    "it would end sessions": (
        "systemd-logind.service elogind.service getty@* serial-getty@* console-getty.service user@* gdm*.service "
        "lightdm.service sddm.service display-manager.service"
    ),
    "it may cut the network": (
        "NetworkManager.service networking.service network.service ifup@* wpa_supplicant* dhclient* openvswitch* "
        "ovs-* ovn-* openvpn* strongswan* ipsec.service wg-quick@* frr.service"
    ),
    "it may end containers": "docker.service containerd.service podman* crio.service kubelet.service lxc* lxd*",
    "it may end virtual machines": "libvirtd.service virt*d.service systemd-machined.service qemu*",
    "it belongs to the boot": "cloud-*.service emergency.service rescue.service rc-local.service",
}


class Restarts(NamedTuple):
    """What to do with the services that run replaced code: restarted now, restarted last, left alone with the
    reason.
    """

    now: Tuple[str, ...] = ()
    last: Tuple[str, ...] = ()
    left: Tuple[Tuple[str, str], ...] = ()


def reboot_is_due(
    rule: RebootRule, reasons: Sequence[str], *, direction: Direction, rebooted: Collection[Direction]
) -> bool:
    """Is the machine to be booted again, by the option ``reboot``, after what this run has changed? At most once in
    each direction.

    The way back needs a boot only where the way forth had one: else nothing has run yet that was put back.
    """
    if direction in rebooted or (direction == BACK and FORTH not in rebooted):
        return False
    return rule == "always" or (rule == "if-needed" and bool(reasons))


def restarts(stale: Iterable[str], *, caller: Optional[str] = None, refusing: Collection[str] = ()) -> Restarts:
    """Sort the services that run replaced code. ``caller`` is the service that has called us; ``refusing`` take no
    restart by hand.
    """
    now, last, left = [], [], []
    for unit in sorted(set(stale)):
        reason = _reason_to_leave(unit, refusing)
        if unit in (CALLER, caller) and not fnmatchcase(unit, OUR_SERVICES):
            last.append(unit)
        elif reason:
            left.append((unit, reason))
        else:
            now.append(unit)
    return Restarts(tuple(now), tuple(last), tuple(left))


def _reason_to_leave(unit: str, refusing: Collection[str]) -> str:
    if fnmatchcase(unit, OUR_SERVICES):
        return "it is the agent itself"
    for reason, patterns in _LEFT_ALONE.items():
        if any(fnmatchcase(unit, pattern) for pattern in patterns.split()):
            return reason
    return "it takes no restart by hand" if unit in refusing else ""
