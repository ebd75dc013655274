"""What apt and dpkg print, as values. Pure; a line that should be understood and is not raises PackageError."""

import re
from dataclasses import replace
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import Offer
from os_update_agent.model.packages import CONFIG_FILES, Change, Identity, Package, PackageState, Slot, other_than
from os_update_agent.packages.lines import fields_of, misread

STATE_FORMAT = (
    "${Package}\\t${Architecture}\\t${Version}\\t${db:Status-Want}\\t${db:Status-Status}\\t${db:Status-Eflag}\\n"
)

# Inst app [1.0-1] (2.0-1 Debian-Security:12/oldstable-security, local-deb [amd64]) []
# Inst newname (2.0-1 Lab:lab [all])
# Inst libc6:i386 [2.36-9] (2.36-9+deb12u4 Debian:12.5/oldstable [i386])
_INST = re.compile(
    r"Inst (?P<name>[^\s:]+)(?::(?P<foreign>\S+))? (?:\[(?P<before>\S+)\] )?\((?P<after>\S+)"
    r" (?P<origins>.*?)\s*\[(?P<arch>\S+)\]\)"
)
# Remv oldname [1.0-1] [dropper:amd64 ]
# Purg leftover (of which only the configuration is left)
_REMV = re.compile(r"(?:Remv|Purg) (?P<name>[^\s:]+)(?::(?P<foreign>\S+))?(?: \[|$)")
_ANNOUNCES = ("Inst ", "Remv ", "Purg ")
# E: Can't find a source to download version '1.0-1' of 'app:amd64'
_NO_SOURCE = re.compile(
    r"E: Can't find a source to download version '(?P<version>[^']+)' of '(?P<name>[^':]+)(?::(?P<arch>[^']+))?'"
)
# E: Unable to locate package newname
_NO_PACKAGE = re.compile(r"E: Unable to locate package (?P<name>[^\s:]+)(?::(?P<arch>\S+))?")
# E: Version '2.0-1' for 'app' was not found
_NO_VERSION = re.compile(r"E: Version '(?P<version>[^']+)' for '(?P<name>[^':]+)(?::(?P<arch>[^']+))?' was not found")
# 'http://deb.example/pool/app_2.0-1_amd64.deb' app_2.0-1_amd64.deb 20672 SHA256:ed17...
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+)(?: SHA256:(?P<sha256>[0-9a-f]{64}))?")
#  app : Depends: app-extra but it is not installable
#        Breaks: tool (< 2) but 1.0-1 is to be installed
_UNMET = re.compile(r"^ (?:\S+ : | {3,})(?P<why>\S.*)$")


_SIZE = re.compile(r"[0-9]{1,20}")

# "Debian-Security:12/oldstable-security", "Ubuntu:22.04/jammy-security", "Lab:lab-security"
_SECURITY = re.compile(r"^Debian-Security:|-security$")


class Simulated(NamedTuple):
    """One line of a simulation: ``version`` None is a removal; ``foreign`` is empty for native and neutral packages."""

    name: str
    foreign: str
    version: Optional[str]
    arch: str = ""
    origins: Tuple[str, ...] = ()

    @property
    def slot(self) -> Slot:
        return self.name, self.foreign


class Simulation(NamedTuple):
    """What apt-get -s says it would do, and the names that it keeps back or defers."""

    lines: Tuple[Simulated, ...]
    kept_back: Tuple[str, ...] = ()
    deferred: Tuple[str, ...] = ()

    @property
    def removed(self) -> Tuple[str, ...]:
        return tuple(line.name for line in self.lines if line.version is None)

    @property
    def effect(self) -> FrozenSet[Tuple[Slot, Optional[str]]]:
        """The simulation as a set that can be compared with a plan."""
        return frozenset((line.slot, line.version) for line in self.lines)


def parse_all_conffiles(text: str) -> Dict[Tuple[str, str], str]:
    """Return dpkg's text about the configuration files of each package that has some, by name and architecture.

    Each package is a line "name, tab, architecture, tab", which the first configuration file may follow. Each further
    one is a line that begins with a blank.
    """
    found: Dict[Tuple[str, str], str] = {}
    key = ("", "")
    for line in text.split("\n"):
        if line.startswith(" "):
            found[key] = f"{found.get(key, '')}{line}\n"
        elif line.count("\t") == 2:
            name, arch, first = line.split("\t")
            key = name, arch
            if first:
                found[key] = f"{first}\n"
    return found


def parse_installed(text: str, auto: FrozenSet[Tuple[str, str]], native: str) -> PackageState:
    """The output of dpkg-query with STATE_FORMAT, and the automatic marks, as a state. An empty list is an error."""
    packages = []
    for line in text.splitlines():
        fields = fields_of("dpkg-query", line, 6)
        name, arch, version, want, status, flag = fields
        if status == "not-installed":
            continue
        is_auto = status != CONFIG_FILES and (name, native if arch == "all" else arch) in auto
        packages.append(Package(name, arch, version, status, want, flag, "auto" if is_auto else "manual"))
    if not packages:
        raise PackageError("the package database lists no package at all; it is damaged or it is not this node's")
    return PackageState("apt", native, tuple(sorted(packages)))


def with_builds(state: PackageState, builds: Mapping[Identity, str]) -> PackageState:
    """Return the state with the digest of the build of each package that is whole. dpkg's record of others may be
    about to change.
    """
    rows = (
        package._replace(digest=builds.get(package.identity, "")) if package.is_whole else package
        for package in state.packages
    )
    return replace(state, packages=tuple(rows))


def parse_extended_states(text: str) -> FrozenSet[Tuple[str, str]]:
    """(name, architecture) of the packages that apt marks as automatically installed; packages of arch "all" stand
    under the native one.
    """
    auto = set()
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if fields.get("Auto-Installed") == "1":
            # apt leaves out a stanza without a name, too.
            auto.add((fields.get("Package", ""), fields.get("Architecture", "")))
    return frozenset(auto)


def parse_simulation(text: str) -> Simulation:
    """The output of apt-get --simulate in the C locale."""
    lines = []
    for line in text.splitlines():
        if not line.startswith(_ANNOUNCES):
            continue
        inst, remv = _INST.match(line), _REMV.match(line)
        if inst:
            origins = tuple(origin.strip() for origin in inst["origins"].split(", "))
            lines.append(Simulated(inst["name"], inst["foreign"] or "", inst["after"], inst["arch"], origins))
        elif remv:
            lines.append(Simulated(remv["name"], remv["foreign"] or "", None))
        else:
            raise misread("apt-get --simulate", line)
    return Simulation(tuple(lines), _section(text, "The following packages have been kept back:"), _deferred(text))


def _deferred(text: str) -> Tuple[str, ...]:
    return _section(text, "The following upgrades have been deferred due to phasing:")


def _section(text: str, title: str) -> Tuple[str, ...]:
    lines = iter(text.splitlines())
    names: List[str] = []
    for line in lines:
        if line == title:
            for item in lines:
                if not item.startswith("  "):
                    break
                names.extend(item.split())
            break
    return tuple(names)


def as_changes(simulation: Simulation, state: PackageState) -> Tuple[Change, ...]:
    """The simulated lines with the rows that they start from. What is new comes as "auto": nobody asked for it by
    name.
    """
    changes = []
    for line in simulation.lines:
        rows = [package for package in state.slots.get(line.slot, ()) if package.is_present]
        before = rows[0] if rows else None
        after = None
        if line.version is not None:
            after = Package(
                line.name,
                line.arch,
                line.version,
                want=before.want if before else "install",
                mark=before.mark if before else "auto",
                digest=other_than(before.digest) if before and before.version == line.version else "",
            )
        changes.append(Change(before, after, line.origins, is_security(line.origins)))
    return tuple(sorted(changes, key=lambda change: (change.package.name, change.package.arch)))


def is_security(origins: Iterable[str]) -> bool:
    """Does one of a version's origins call itself a security archive?"""
    return any(_SECURITY.search(origin) for origin in origins)


def parse_unavailable(text: str, asked: Sequence[Package]) -> Tuple[Package, ...]:
    """Which of the packages asked for apt-get download cannot find, from its complaints."""
    missing = []
    for line in text.splitlines():
        match = _NO_SOURCE.match(line) or _NO_VERSION.match(line)
        if match:
            missing += [p for p in asked if p.version == match["version"] and _is_meant(p, match)]
            continue
        match = _NO_PACKAGE.match(line)
        if match:
            missing += [p for p in asked if _is_meant(p, match)]
    return tuple(dict.fromkeys(missing))


def _is_meant(package: Package, match: "re.Match[str]") -> bool:
    """apt names the native architecture or none for a package of architecture "all", and leaves the native one out at
    times.
    """
    return package.name == match["name"] and (match["arch"] in (None, package.arch) or package.arch == "all")


def parse_uris(text: str) -> Dict[str, Offer]:
    """File name -> what the index says of it, from --print-uris."""
    return {
        match["file"]: Offer(int(match["size"][:20]), sha256=match["sha256"] or "")
        for match in map(_URI.match, text.splitlines())
        if match
    }


def parse_installed_sizes(text: str) -> Dict[Identity, int]:
    """(name, architecture, version) -> Installed-Size in KiB, from the stanzas of apt-cache show."""
    sizes = {}
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if "Package" in fields:
            size = fields.get("Installed-Size", "0")
            identity = fields["Package"], fields.get("Architecture", ""), fields.get("Version", "")
            sizes[identity] = int(size) if _SIZE.fullmatch(size) else 0
    return sizes


def why_impossible(text: str) -> str:
    """apt's own reason in one line: the unmet dependencies, else its first error."""
    unmet = [match["why"] for match in map(_UNMET.match, text.splitlines()) if match]
    if unmet:
        return "; ".join(unmet)
    return first_error(text)


def first_error(text: str) -> str:
    """The first line that apt calls an error (dpkg's complaint before apt's summary of it), else the last line.

    What it says there of its progress does not count.
    """
    lines = [line for line in text.splitlines() if not line.startswith("dlstatus:")]
    for start in ("dpkg: error", "E: "):
        for index, line in enumerate(lines):
            if line.startswith(start):
                more = lines[index + 1].strip() if start.startswith("dpkg") and index + 1 < len(lines) else ""
                return f"{line.removeprefix('E: ')} {more}".strip()
    return lines[-1].strip() if lines else "no output"


def parse_failures(status_text: str) -> Tuple[str, ...]:
    """The packages that failed and why, from the file of APT::Status-Fd: "pmerror:/path/or/name:42.8:text"."""
    failures = []
    for line in status_text.splitlines():
        if line.startswith("pmerror:"):
            what, _, rest = line[len("pmerror:") :].partition(":")
            failures.append(f"{what.rsplit('/', 1)[-1].strip()}: {rest.partition(':')[2].strip()}")
    return tuple(dict.fromkeys(failures))
