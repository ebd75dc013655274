"""What apt and dpkg print, as values. Pure; a line that should be understood and is not raises PackageError."""

import re
from dataclasses import replace
from typing import Dict, FrozenSet, List, Mapping, Optional, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import CONFIG_FILES, Identity, Package, PackageState, Slot
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
_UNMET = "The following packages have unmet dependencies:"
#  app : Depends: app-extra but it is not installable
#        Breaks: tool (< 2) but 1.0-1 is to be installed
_UNMET_LINE = re.compile(r"^ (?:(?P<name>\S+) : | {3,})(?P<why>\S.*)$")

_SIZE = re.compile(r"[0-9]{1,20}")


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


def parse_simulation(text: str) -> FrozenSet[Tuple[Slot, Optional[str]]]:
    """Return the places that apt-get --simulate would change, each with its new version, None for a removal. The text
    is in the C locale.
    """
    effect: List[Tuple[Slot, Optional[str]]] = []
    for line in text.splitlines():
        if not line.startswith(_ANNOUNCES):
            continue
        inst, remv = _INST.match(line), _REMV.match(line)
        if inst:
            effect.append(((inst["name"], inst["foreign"] or ""), inst["after"]))
        elif remv:
            effect.append(((remv["name"], remv["foreign"] or ""), None))
        else:
            raise misread("apt-get --simulate", line)
    return frozenset(effect)


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
    """apt's own reason in one line: the unmet dependencies, each with the package that has it, else its first error.

    apt 3 adds to them what its solver has tried, which says nothing to an operator.
    """
    unmet: List[str] = []
    name = ""
    for line in text.partition(f"{_UNMET}\n")[2].splitlines():
        match = _UNMET_LINE.match(line)
        if match is None:
            break
        name = match["name"] or name
        unmet.append(f"{name}: {match['why']}")
    return "; ".join(unmet) or first_error(text)


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
