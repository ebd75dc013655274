"""Judges facts about apt, dpkg, dnf and rpm. Pure."""

from typing import Mapping, NamedTuple, Sequence, Tuple

from os_update_agent.selftest.findings import Finding, attention, failed, ok
from os_update_agent.text.phrases import named


class Kernel(NamedTuple):
    """The settings that choose the kernel of the next boot, each "" if it is not set.

    ``default`` is the kernel that grubby names; ``update_default`` is UPDATEDEFAULT of /etc/sysconfig/kernel.
    """

    running: str
    grub_default: str
    default: str = ""
    update_default: str = ""
    limit: str = ""


def apt_versions(versions: Mapping[str, str]) -> Finding:
    """``versions`` of the packages apt, dpkg and python3-apt; one that is not installed is left out."""
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    if "python3-apt" not in versions or "apt" not in versions:
        return failed(f"not all of apt and python3-apt are installed: {found}", "apt-get install python3-apt")
    if _release(versions["apt"]) != _release(versions["python3-apt"]):
        return attention(found, "install the python3-apt of the same release as apt: their interfaces belong together")
    return ok(found)


def _release(version: str) -> Tuple[str, ...]:
    """Return the first two numbers: 2.6.1 and 2.6.0 belong together."""
    return tuple(version.partition(":")[2].split(".")[:2] if ":" in version else version.split(".")[:2])


def dpkg_database(packages: int, unfinished: Sequence[str], journal: int) -> Finding:
    """``unfinished``: half-installed or not configured packages. ``journal``: the number of files in dpkg's journal."""
    found = f"{packages} packages; {journal} files in dpkg's journal"
    if unfinished or journal:
        return attention(
            f"{found}; not completely installed: {named(unfinished) or 'none'}",
            "dpkg was interrupted: the next run repairs that first, or 'dpkg --configure -a' does",
        )
    return ok(found)


def apt_settings(refusal: str, downloads_only: bool) -> Finding:
    """``refusal`` is why dpkg cannot be run with apt's settings, "" if it can."""
    if refusal:
        return failed(
            refusal, "correct DPkg::Options or Dir::Bin::dpkg in apt.conf: every update is refused until then"
        )
    if downloads_only:
        return failed("APT::Get::Download-Only is set", "take it out of apt.conf: every update is refused until then")
    return ok("APT::Get::Download-Only is not set, and dpkg takes its options")


def apt_surroundings(machine_id: str, programs: Mapping[str, bool]) -> Finding:
    """``machine_id`` is the text of /etc/machine-id, ``programs`` maps packages to whether they are here."""
    here = [name for name, is_here in programs.items() if is_here]
    found = f"also installed: {', '.join(here) or 'none'} of {', '.join(programs)}"
    if not machine_id.strip():
        return attention(
            f"no machine-id; {found}",
            "run systemd-machine-id-setup: without it apt cannot say which phased updates this node gets",
        )
    advice = "unattended-upgrades may change packages between two values: leave updates to one of the two"
    found = f"machine-id is set, which decides about phased updates; {found}"
    return attention(found, advice) if "unattended-upgrades" in here else ok(found)


def rpm_database(path: str, backend: str, packages: int) -> Finding:
    if not backend:
        return failed(f"{path} has no database", "check the macro _dbpath ('rpm --eval %_dbpath')")
    found = f"{path} ({backend}), {packages} packages"
    if not packages:
        return failed(
            f"{found}: rpm lists no package", "check the macro _dbpath ('rpm --eval %_dbpath') and the database"
        )
    return ok(found)


def dnf_plugins(plugins: Mapping[str, bool], left_out: Sequence[str], *, is_private: bool) -> Finding:
    """``plugins`` maps the names of the installed plugins to whether they are enabled."""
    on = [name for name, is_enabled in plugins.items() if is_enabled]
    skipped = [name for name in on if name in left_out]
    honored = [name for name in on if name not in left_out]
    found = f"honored: {', '.join(honored) or 'none'}; left out by the agent: {', '.join(skipped) or 'none'}"
    off = [name for name in plugins if name not in on]
    found = f"{found}; disabled: {', '.join(off) or 'none'}"
    return ok(f"the agent loads none in a private root; on this machine: {found}" if is_private else found)


def streams(enabled: Sequence[str], without_metadata: Sequence[str]) -> Finding:
    found = f"enabled module streams: {', '.join(enabled) or 'none'}"
    if without_metadata:
        return attention(
            f"{found}; without kept metadata (modulefailsafe): {', '.join(without_metadata)}",
            "run 'dnf makecache' while their repository answers: dnf hides their packages without the metadata",
        )
    return ok(found)


def kernel_of_grub(facts: Kernel) -> Finding:
    """Judge GRUB_DEFAULT of a Debian node."""
    found = f"running {facts.running}; GRUB_DEFAULT={facts.grub_default or '(not set: 0)'}"
    if facts.grub_default in ("", "0"):
        return ok(f"{found}: the newest kernel")
    return attention(found, "the next boot may choose an older kernel than an update installs: set GRUB_DEFAULT=0")


def kernel_of_rpm(facts: Kernel) -> Finding:
    parts = [
        f"running {facts.running}",
        f"default {facts.default or 'unknown (grubby does not say)'}",
        f"UPDATEDEFAULT={facts.update_default or '(not set)'}",
        f"GRUB_DEFAULT={facts.grub_default or '(not set)'}",
        f"installonly_limit={facts.limit or '(not set: 3)'}, which the agent's runs do not apply",
    ]
    found = "; ".join(parts)
    if facts.update_default.lower() == "no":
        return attention(found, "set UPDATEDEFAULT=yes in /etc/sysconfig/kernel, or choose each new kernel by hand")
    if facts.default and facts.running not in facts.default:
        return attention(found, "the next boot takes another kernel than the running one: reboot before an update")
    return ok(found)
