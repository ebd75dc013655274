"""What rpm prints and what dnf's worker answers, as values. Pure; what should be understood and is not raises
PackageError.
"""

import re
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Change, HeldBack, Identity, Package, PackageState, Slot
from os_update_agent.packages.disk_space import NewKernels

STATE_FORMAT = r"%{name}\t%{arch}\t%{epochnum}\t%{version}-%{release}\t%{sigmd5}\t%{longsize}\n"
FILES_FORMAT = r"[%{filenames}\t%{longfilesizes}\n]"
KEYS = "gpg-pubkey"
_KIB = 1024
# The mark of what dnf has not installed itself, and dnf's words for the two that apt knows as well.
UNKNOWN = "unknown"
_TO_DNF = {"manual": "user", "auto": "dependency"}

# warning: %post(brokenpost-2.0-1.x86_64) scriptlet failed, exit status 3
# error: lua script failed: [string "%post(brokenpost-2.0-1.x86_64)"]:1: simulated failure
# error: %prein(brokenpre-2.0-1.x86_64) scriptlet failed, exit status 255
_SCRIPTLET = re.compile(r"(?:warning|error): (?P<why>.*(?:scriptlet failed|script failed).*)")

# /boot/vmlinuz-6.1.0-1.x86_64   /lib/modules/6.1.0-1.x86_64/vmlinuz
_KERNEL = re.compile(r"/boot/vmlinuz-(?P<release>[^/]+)|(?:/usr)?/lib/modules/(?P<below>[^/]+)/vmlinuz")


def parse_installed(
    text: str, mark_of: Callable[[str, str], str], native: str, several: FrozenSet[str]
) -> PackageState:
    """The output of rpm -qa with STATE_FORMAT, and the mark of each name and architecture, as a state.

    The keys are no packages; an empty list is an error. What is there twice in the same bytes, because a scriptlet did
    not let it go when it was installed again, counts once.
    """
    packages = []
    for name, arch, version, digest, _ in _identified(text):
        if name != KEYS:
            packages.append(
                Package(name, arch, version, mark=mark_of(name, arch), digest="" if digest == "(none)" else digest)
            )
    if not packages:
        raise PackageError("the package database lists no package at all; it is damaged or it is not this node's")
    return PackageState("dnf", native, tuple(sorted(set(packages))), several & {package.name for package in packages})


def dnf_word(mark: str) -> str:
    """dnf's word for a mark."""
    return _TO_DNF.get(mark, mark)


def parse_sizes(text: str) -> Dict[Identity, int]:
    """(name, architecture, version) -> KiB, from the same."""
    return {
        (name, arch, version): kib(int(size)) if size.isdigit() else 0
        for name, arch, version, _, size in _identified(text)
    }


def kib(size: int) -> int:
    """Bytes as KiB, the last one counted whole."""
    return -(-size // _KIB)


def parse_new_kernels(text: str) -> NewKernels:
    """What of FILES_FORMAT comes into /boot, files that a package only announces (%ghost) and that are made later among
    them.

    A kernel lies below /boot, or with its modules and is copied to /boot, or in both; an announced initrd is told for
    itself.
    """
    kernels: Dict[str, int] = {}
    initrd = other = 0
    for line in text.splitlines():
        path, _, size = line.rpartition("\t")
        kernel = _KERNEL.fullmatch(path)
        if kernel:
            release = kernel["release"] or kernel["below"]
            kernels[release] = max(kernels.get(release, 0), int(size))
        elif path.startswith("/boot/initr"):
            initrd = max(initrd, int(size))
        elif path.startswith("/boot/"):
            other += int(size)
    return NewKernels(len(kernels), sum(kernels.values()) + other, initrd)


def evr(epoch: str, version: str) -> str:
    """[epoch:]version-release: an epoch of 0 and none are the same to rpm, and are not spelled."""
    return version if epoch in ("0", "") else f"{epoch}:{version}"


def _identified(text: str) -> List[Tuple[str, str, str, str, str]]:
    rows = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 6:
            raise PackageError(f"rpm printed a line that is not understood: {line!r}")
        name, arch, epoch, version, digest, size = fields
        rows.append((name, arch, evr(epoch, version), digest, size))
    return rows


def as_changes(answer: Mapping[str, Any], state: PackageState, marks: Mapping[str, str]) -> Tuple[Change, ...]:
    """The plan of the worker with the rows that it starts from. ``marks`` translates dnf's reasons for what is new."""
    gone = {tuple(identity) for identity in answer["goes"]}
    before: Dict[Slot, Package] = {state.slot(p): p for p in state.packages if p.identity in gone}
    changes = []
    for item in answer["comes"]:
        name, arch, version = item["identity"]
        bare = Package(name, arch, version)
        old = before.pop(state.slot(bare), None)
        kin = old or next(
            (package for package in state.packages if package.name in state.install_only and package.name == name), None
        )
        mark = kin.mark if kin else marks.get(item["reason"], item["reason"])
        changes.append(Change(old, bare._replace(mark=mark), (item["repository"],)))
    changes += [Change(package, None) for package in before.values()]
    return tuple(sorted(changes, key=lambda change: (change.package.name, change.package.arch, change.package.version)))


def as_held_back(answer: Mapping[str, Any]) -> Tuple[HeldBack, ...]:
    return tuple(HeldBack(name, reason) for name, reason in answer["held"])


def as_effect(answer: Mapping[str, Any], state: PackageState) -> FrozenSet[Tuple[Slot, Optional[str]]]:
    """The places that change, each with its new version, None for a removal."""
    found: Dict[Slot, Optional[str]] = {state.slot(Package(*identity)): None for identity in answer["goes"]}
    found.update({state.slot(Package(*identity)): identity[2] for identity in answer["comes"]})
    return frozenset(found.items())


def as_complaints(answer: Mapping[str, Any]) -> Tuple[str, ...]:
    """What went wrong in a transaction, with the words of the scriptlets behind it."""
    complaints: List[str] = list(answer["complaints"])
    why = [match["why"] for match in map(_SCRIPTLET.match, answer["said"]) if match]
    if complaints and why:
        complaints[-1] = f"{complaints[-1]}: {'; '.join(dict.fromkeys(why))}"
    return tuple(complaints)
