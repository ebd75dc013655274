"""Whether the machine wants to be booted again, asking for it, and which services still run code that was replaced on
the disk.
"""

import logging
import os
import re
from pathlib import Path
from typing import FrozenSet, Iterable, List, Optional, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_text
from os_update_agent.model.errors import CommandFailed
from os_update_agent.node import process
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

HOST = Path("/")
OWN_UNITS = "os-update-agent-"

# Debian's and Ubuntu's convention: maintainer scripts make the file and add the names of their packages to the second
# one.
_REQUIRED = "run/reboot-required"
_CONTAINER_MARKS = ("run/systemd/container", ".dockerenv", "run/.containerenv")

# vmlinuz-6.1.0-18-cloud-amd64   vmlinuz-5.14.0-427.el9_4.x86_64   but not vmlinuz-0-rescue-<machine id>,
# vmlinuz-6.1.0-18-amd64.old
_KERNEL = re.compile(r"vmlinuz-(?!0-rescue)(?P<release>\d.*?)(?<!\.old)(?<!\.bak)(?<!\.hmac)(?<!\.sig)")
# The words of a release that are no part of a version or an architecture: cloud, rt, generic, debug. Not: amd64, el9,
# deb12, bpo.
_FLAVOUR = re.compile(r"[a-z]{2,}(?![a-z0-9])")
_NO_FLAVOUR = frozenset({"bpo"})
# NEEDRESTART-VER: 3.6
# NEEDRESTART-SVC: cron.service
_NEEDRESTART = re.compile(r"NEEDRESTART-(?P<name>[A-Z]+): ?(?P<value>.*)")
# 7f6cc1a28000-7f6cc1b7d000 r-xp 00028000 fe:00 329706    /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)
_REPLACED = re.compile(r"^\S+ ..x. \S+ \S+ \d+ +/(usr|lib\w*|bin|sbin|opt)/.* \(deleted\)$", re.MULTILINE)
# 0::/system.slice/ssh.service   1:name=systemd:/system.slice/system-getty.slice/getty@tty1.service
_CGROUP = re.compile(r"^\d+:(?:name=systemd)?:/(?P<path>.*)$", re.MULTILINE)


def ask_for_reboot(systemctl: str, proc: Path = Path("/proc")) -> str:
    """Order the reboot of the machine whose services ``systemctl`` reaches; returns at once, with the complaint, '' for
    none.

    What inhibits a shutdown (systemd-inhibit(1)) is heard. The own systemctl is asked only where PID 1 is a systemd
    that lives in our root: from a container it might reach the host's. Raises CommandFailed when there is no such
    program.
    """
    if os.sep not in systemctl and not _has_own_systemd(proc):
        return "PID 1 is no systemd of this root; a container's host is not rebooted"
    argv = [systemctl, "reboot"]
    done = process.run([*argv, "--check-inhibitors=yes"], ok=None, timeout=process.QUESTION_SECONDS)
    if done.returncode and "unrecognized option" in done.stderr:
        # Before systemd 248.
        done = process.run(argv, ok=None, timeout=process.QUESTION_SECONDS)
    return f"{' '.join(argv)} ended with exit status {done.returncode}: {done.tail}" if done.returncode else ""


def is_booting(systemctl: str) -> bool:
    """Is not everything started yet that is started at boot? Raises CommandFailed when there is no such program."""
    done = process.run([systemctl, "is-system-running"], ok=None, timeout=process.QUESTION_SECONDS)
    return done.stdout.strip() in ("initializing", "starting")


def boot_time(proc: Path = Path("/proc")) -> float:
    """When the first process of this machine, or of this container, was started: seconds since the epoch, by today's
    clock.
    """
    kernel = next((int(line.split()[1]) for line in _read(proc / "stat").splitlines() if line.startswith("btime ")), 0)
    # proc(5): the 22nd field, in ticks since the kernel was started. The second one is in brackets and may hold blanks.
    fields = _read(proc / "1/stat").rpartition(")")[2].split()
    return kernel + (int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else 0.0)


def reboot_reasons(root: Path) -> Tuple[str, ...]:
    """Why the machine should be booted again, a sentence each; nothing when nothing is known to ask for it.

    A package may have left its wish in ``root``; which kernel runs is asked for the machine's own root only.
    """
    reasons = _wishes(root)
    if root == HOST and not _is_container():
        running, kernels = os.uname().release, [path.name for path in Path("/boot").glob("vmlinuz-*")]
        newest = newest_kernel(kernels, running)
        if newest and newest != running:
            reasons.append(f"kernel {newest} is installed, {running} is running")
    return tuple(reasons)


def newest_kernel(names: Iterable[str], running: str) -> Optional[str]:
    """The release of the newest kernel among the file names of /boot that is of the flavour (cloud, rt, debug ...) that
    is running.

    None when there is no such kernel: then something else than /boot decides what this machine boots.
    """
    releases = [match["release"] for match in map(_KERNEL.fullmatch, names) if match]
    return max(
        (release for release in releases if _flavour(release) == _flavour(running)), key=_version_key, default=None
    )


def stale_services(root: Path) -> Tuple[str, ...]:
    """The systemd services that run code which is no longer on the disk: needrestart's answer, or our own look at
    /proc.

    Nothing for another root than the machine's own, and not the agent's own units, which end by themselves. What we may
    not read is left out: only root sees everything.
    """
    if root != HOST:
        return ()
    return tuple(unit for unit in _all_stale_services() if not unit.startswith(OWN_UNITS))


def _all_stale_services() -> Tuple[str, ...]:
    import shutil  # late: it loads each compression

    if shutil.which("needrestart"):
        try:
            asked = process.run(["needrestart", "-b", "-r", "l"], timeout=process.QUESTION_SECONDS)
            return parse_needrestart(asked.stdout)
        except CommandFailed as error:
            log.warning(logged(needrestart="not used", why=error, instead="/proc"))
    return replaced_in(Path("/proc"))


def replaced_in(proc: Path) -> Tuple[str, ...]:
    """The system services with replaced code, found in a directory like /proc; what may not be read is left out."""
    units = set()
    for entry in proc.glob("[0-9]*"):
        if has_replaced_code(_read(entry / "maps")):
            units.add(unit_of(_read(entry / "cgroup")))
    return tuple(sorted(unit for unit in units if unit))


def parse_needrestart(text: str) -> Tuple[str, ...]:
    """The services in the output of `needrestart -b` (its README.batch.md).

    Raises CommandFailed when it does not begin as that output does.
    """
    lines = [(match["name"], match["value"]) for match in map(_NEEDRESTART.fullmatch, text.splitlines()) if match]
    if not any(name == "VER" for name, _ in lines):
        raise CommandFailed("needrestart -b did not answer in its batch format")
    return tuple(sorted({value.strip() for name, value in lines if name == "SVC"}))


def own_unit() -> Optional[str]:
    """The system service that this process belongs to."""
    return unit_of(_read(Path("/proc/self/cgroup")))


def unit_of(cgroup_text: str) -> Optional[str]:
    """The system service that a /proc/PID/cgroup belongs to; None for sessions, containers and systemd itself.

    What runs below user.slice is a person's, and its user@.service must not be restarted under them.
    """
    for match in _CGROUP.finditer(cgroup_text):
        parts = match["path"].split("/")
        services = [part for part in parts if part.endswith(".service")]
        if services and parts[0] != "user.slice":
            return services[0]
    return None


def has_replaced_code(maps_text: str) -> bool:
    """Does a /proc/PID/maps hold code from a system directory that was removed or replaced since it was mapped?"""
    return _REPLACED.search(maps_text) is not None


def _wishes(root: Path) -> List[str]:
    if not (root / _REQUIRED).exists():
        return []
    names = _read(root / (_REQUIRED + ".pkgs")).split("\n")
    packages = sorted({name.strip() for name in names if name.strip()})
    return [f"package {name} asks for it" for name in packages] or [f"/{_REQUIRED} asks for it"]


def _has_own_systemd(proc: Path) -> bool:
    try:
        return _read(proc / "1/comm").strip() == "systemd" and os.path.samefile(proc / "1/root", HOST)
    except OSError:
        return False


def _is_container() -> bool:
    marked = any((HOST / mark).exists() for mark in _CONTAINER_MARKS)
    return marked or "\0container=" in "\0" + _read(Path("/proc/1/environ"))


def _flavour(release: str) -> FrozenSet[str]:
    return frozenset(_FLAVOUR.findall(release)) - _NO_FLAVOUR


def _version_key(release: str) -> List[Tuple[int, str]]:
    """As rpm compares versions: numbers as numbers, and a number is newer than a word, as 427.13.1.el9 is than
    427.el9.
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[A-Za-z]+", release)]


def _read(path: Path) -> str:
    """The text of a file; '' when it is not there, no longer there, or not for us."""
    try:
        return read_text(path, RECORD_LIMIT, errors="replace")
    except OSError:
        return ""
