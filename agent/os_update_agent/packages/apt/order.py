"""What a way back has to do before apt, which has no order for it: programs before the older libraries that they would
not start with, and successors together with the packages that they have replaced. Pure.

Every maintainer script needs /bin/sh and the other essential packages, also while they are only unpacked (Debian
Policy, 3.8). An essential program of a newer release needs a newer libc6. apt orders by dependencies, but breaks
circles where it likes: on the way from Debian 13 to 12 it unpacks the old libc6 under the new /bin/sh, and no script
runs any more.
"""

import re
from typing import Collection, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from os_update_agent.model.packages import Package
from os_update_agent.packages.lines import fields_of

# dpkg-query's format for parse_needs.
NEEDS_FORMAT = (
    "${db:Status-Status}\\t${Package}\\t${Architecture}\\t${Version}\\t${Essential}\\t${Pre-Depends}\\t${Depends}"
    "\\t${Breaks}, ${Conflicts}\\t${Replaces}\\n"
)
_RELATION = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?::\w+)?(?:\s*\((?P<operator>[<>=]+)\s*(?P<version>\S+)\))?")
_DIGITS = re.compile("[0-9]+")
_PARTS = re.compile(r"(\D*)(\d*)")

Slot = Tuple[str, str]


class Need(NamedTuple):
    """A package that a dependency names, perhaps as one of several, with the condition on its version."""

    name: str
    operator: str
    version: str


class Needs(NamedTuple):
    """An installed package, the packages that it depends on (before it is unpacked, and to be configured), those that
    it does not go with, and those whose files it may take over.
    """

    name: str
    arch: str
    version: str
    is_essential: bool
    before: Tuple[Need, ...]
    needs: Tuple[Need, ...]
    breaks: Tuple[Need, ...]
    replaces: Tuple[Need, ...]


def parse_needs(text: str) -> Tuple[Needs, ...]:
    """Return the installed packages, from dpkg-query's answer to NEEDS_FORMAT."""
    found = []
    for line in text.splitlines():
        status, name, arch, version, essential, *relations = fields_of("dpkg-query", line, 9)
        if status == "installed":
            found.append(Needs(name, arch, version, essential == "yes", *map(_relations, relations)))
    return tuple(found)


def _relations(text: str) -> Tuple[Need, ...]:
    matches = map(_RELATION.match, map(str.strip, re.split("[,|]", text)))
    return tuple(Need(match["name"], match["operator"] or "", match["version"] or "") for match in matches if match)


def unpacked_first(installed: Sequence[Needs], install: Collection[Package]) -> Tuple[Package, ...]:
    """Return the packages of ``install`` that have to be unpacked before the others, in this order.

    They are essential packages, or needed by one, whose installed version would not work with the coming version of a
    package that it depends on. Each stands before the packages that it depends on. Left out are those whose coming
    version an installed package breaks: they could not be configured until that package has gone.
    """
    coming = {(package.name, package.arch): package for package in install}
    now = {(one.name, one.arch): one for one in installed}
    edges = {
        slot: broken
        for slot in _essential(installed).intersection(coming) - _broken(installed, coming)
        if (broken := {other for other in _needed(now[slot], now, coming) if other != slot})
    }
    return tuple(coming[slot] for slot in _sorted(edges) if slot in edges)


def successors(
    installed: Sequence[Needs], install: Collection[Package], remove: Collection[Package]
) -> Tuple[Tuple[Package, ...], Tuple[Package, ...]]:
    """Return the leaving packages that are the successors of coming ones, and these. They have to change at once.

    libssl3t64 of Debian 13 Replaces libssl3, with the same files. dpkg leaves out the files of libssl3 while libssl3t64
    is there, and removes them with libssl3t64: whatever needs libcrypto.so.3 fails until they are repaired. Only what
    an essential package needs counts. With more packages changed by force, apt finds no way for the rest.
    """
    present = {(one.name, one.arch): one for one in installed}
    leaving = [package for package in remove if (package.name, package.arch) in _essential(installed)]
    pairs = [
        (gone, package)
        for gone in leaving
        for need in present[gone.name, gone.arch].replaces
        for package in install
        if package.name == need.name and package.arch == gone.arch and _holds(package.version, need)
        if (package.name, package.arch) not in present
    ]
    return tuple(dict.fromkeys(gone for gone, _ in pairs)), tuple(dict.fromkeys(package for _, package in pairs))


def _needed(one: Needs, now: Mapping[Slot, Needs], coming: Mapping[Slot, Package]) -> Iterator[Slot]:
    """Yield the packages that an installed package depends on, and that it does not work with in the coming version."""
    for need in (*one.before, *one.needs):
        for other in ((need.name, one.arch), (need.name, "all")):
            if other not in now or other not in coming:
                continue
            if _holds(now[other].version, need) and not _holds(coming[other].version, need):
                yield other


def _broken(installed: Sequence[Needs], coming: Mapping[Slot, Package]) -> FrozenSet[Slot]:
    """Return the packages whose coming version an installed package does not go with."""
    by_name: Dict[str, List[Slot]] = {}
    for name, arch in coming:
        by_name.setdefault(name, []).append((name, arch))
    return frozenset(
        slot
        for one in installed
        for need in one.breaks
        for slot in by_name.get(need.name, ())
        if need.name != one.name and _holds(coming[slot].version, need)
    )


def _essential(installed: Sequence[Needs]) -> FrozenSet[Slot]:
    """Return the essential packages and all without which they do not work: they pre-depend on it (Debian Policy, 3.8),
    and a library depends on others.
    """
    by_slot = {(one.name, one.arch): one for one in installed}
    found: Set[Slot] = set()
    todo = [slot for slot, one in by_slot.items() if one.is_essential]
    while todo:
        slot = todo.pop()
        if slot in by_slot and slot not in found:
            found.add(slot)
            one = by_slot[slot]
            needs = one.before if one.is_essential else (*one.before, *one.needs)
            todo += [other for need in needs for other in ((need.name, one.arch), (need.name, "all"))]
    return frozenset(found)


def _sorted(edges: Mapping[Slot, Collection[Slot]]) -> List[Slot]:
    """Return the packages, each before those that its edges lead to. A circle is broken anywhere."""
    done: Dict[Slot, None] = {}
    open_ones: Set[Slot] = set()

    def visit(slot: Slot) -> None:
        if slot in done or slot in open_ones:
            return
        open_ones.add(slot)
        for other in sorted(edges.get(slot, ())):
            visit(other)
        done[slot] = None

    for slot in sorted(edges):
        visit(slot)
    return list(reversed(done))


def _holds(version: str, need: Need) -> bool:
    if not need.operator:
        return True
    order = compare(version, need.version)
    return {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[need.operator]


def compare(one: str, other: str) -> int:
    """Return a number below, equal to or above 0, as dpkg orders versions (deb-version(7))."""
    a, b = _split(one), _split(other)
    if a[0] != b[0]:
        return a[0] - b[0]
    return _compared(a[1], b[1]) or _compared(a[2], b[2])


def _split(version: str) -> Tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    upstream, _, revision = (rest if colon else version).rpartition("-")
    number = int(epoch[:20]) if _DIGITS.fullmatch(epoch) else 0
    return number if colon else 0, upstream or revision, revision if upstream else ""


def _compared(one: str, other: str) -> int:
    for a, b in zip(_keys(one, len(other)), _keys(other, len(one))):
        if a != b:
            return 1 if a > b else -1
    return 0


def _keys(text: str, more: int) -> Iterator[Tuple[Tuple[int, ...], Tuple[int, str]]]:
    """Yield the parts of a version in comparable form, and then what follows its end."""
    for match in _PARTS.finditer(text):
        if match[0]:
            digits = match[2].lstrip("0")
            # As a number, of any length.
            yield (*(_weight(letter) for letter in match[1]), 0), (len(digits), digits)
    for _ in range(more + 1):
        yield (0,), (0, "")


def _weight(letter: str) -> int:
    """Return the place of a letter: a tilde before the end, letters before other signs."""
    return -1 if letter == "~" else ord(letter) if letter.isalpha() else ord(letter) + 256
