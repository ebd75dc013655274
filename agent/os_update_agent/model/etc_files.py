"""The files below /etc, and configuration files elsewhere: how they are at one moment, and what has changed. Pure."""

import json
from typing import Collection, Iterable, Literal, Mapping, NamedTuple, Optional, Sequence, Tuple

# Files that programs write anew by themselves, locks, and the copies that package managers leave beside a file.
_IGNORED = (
    *("/etc/mtab", "/etc/ld.so.cache", "/etc/adjtime", "/etc/.pwd.lock", "/etc/.updated", "/etc/resolv.conf"),
    *(f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")),
)
# Alternatives and dnf's module streams are settings of the package state.
_SETTINGS = ("/etc/alternatives/", "/etc/dnf/modules.d/")
_COPIES = (
    *(".dpkg-dist", ".dpkg-new", ".dpkg-old", ".dpkg-bak", ".dpkg-tmp", ".dpkg-remove", ".dpkg-backup"),
    *(".ucf-dist", ".ucf-new", ".ucf-old", ".rpmnew", ".rpmsave", ".rpmorig", "~"),
)


class PackagedText(NamedTuple):
    """The hash of the text that a package has for a configuration file, the hash's name for hashlib, and the
    package.
    """

    algorithm: str
    content: str
    package: str = ""


class EtcFile(NamedTuple):
    """One file, symbolic link or directory.

    Attributes:
        path: The path on the node, without a private root.
        kind: What it is; "absent" is a configuration file of an installed package that somebody has removed.
            Directories are not compared: packages leave them, and files need them.
        mode: The permissions in octal digits ("" for a link).
        owner: The numbers of user and group, "0:0".
        content: The sha256 of the file, or the target of the link ("" if it could not be read).
        is_edited: Is it a configuration file of an installed package with another text than the package has?
        package: The name of the installed package whose configuration file it is ("" if it is none).
    """

    path: str
    kind: Literal["file", "link", "directory", "absent"]
    mode: str
    owner: str
    content: str
    is_edited: bool = False
    package: str = ""

    @property
    def is_ignored(self) -> bool:
        """Do changes of the file say nothing about the configuration, or are they compared elsewhere?"""
        return self.path in _IGNORED or self.path.startswith(_SETTINGS) or self.path.endswith(_COPIES)

    def line(self) -> str:
        """Return the file as one line of text, whatever characters its path has."""
        return json.dumps(self)


# The fields before is_edited: what a package thinks of a file does not change it.
_COMPARED = 5
Listing = Mapping[str, EtcFile]


def listing_of(lines: Iterable[str]) -> Listing:
    """Return the files of stored lines, by their paths. Fields that a newer agent has added are passed over.

    Raises ValueError or TypeError for what is no such line.
    """
    files = (EtcFile(*json.loads(line)[: len(EtcFile._fields)]) for line in lines)
    return {file.path: file for file in files}


class Difference(NamedTuple):
    """A file that is not as a recorded state has it.

    Attributes:
        path: The path of the file.
        wanted: The file in the recorded state (None: it was not there).
        found: The file now (None: it is gone).
        by_run: Did only runs of the agent change it since?
    """

    path: str
    wanted: Optional[EtcFile]
    found: Optional[EtcFile]
    by_run: bool

    @property
    def kind(self) -> Literal["changed", "gone", "new"]:
        """The way in which the file differs."""
        there = [file is not None and file.kind != "absent" for file in (self.wanted, self.found)]
        return "changed" if all(there) else "gone" if there[0] else "new"

    @property
    def words(self) -> str:
        """The difference for a sentence: "/etc/app.conf (changed)"."""
        return f"{self.path} ({self.kind}{'' if self.by_run else ', not by the agent'})"


class Step(NamedTuple):
    """The files before and after one run of the agent."""

    before: Listing
    after: Listing


def differences(wanted: Listing, now: Listing, steps: Sequence[Step] = ()) -> Tuple[Difference, ...]:
    """Return the files that differ now from the wanted ones. ``steps`` are the runs since then, the oldest first."""
    moments = [wanted, *(listing for step in steps for listing in step), now]
    # Whatever changed in the gaps between the runs is the change of another program or person.
    gaps = list(zip(moments[0::2], moments[1::2]))
    found = []
    for path in sorted(wanted.keys() | now.keys()):
        old, new = wanted.get(path), now.get(path)
        there = [file for file in (old, new) if file is not None]
        if is_same(old, new) or any(file.is_ignored or file.kind == "directory" for file in there):
            continue
        by_run = all(is_same(before.get(path), after.get(path)) for before, after in gaps)
        found.append(Difference(path, old, new, by_run))
    return tuple(found)


def is_same(one: Optional[EtcFile], other: Optional[EtcFile]) -> bool:
    """Is the file the same, whatever package has it?"""
    if one is None or other is None or "absent" in (one.kind, other.kind):
        return all(file is None or file.kind == "absent" for file in (one, other))
    return one[:_COMPARED] == other[:_COMPARED]


def changed_paths(before: Listing, after: Listing) -> Collection[str]:
    """Return the paths that differ between two listings."""
    return {path for path in before.keys() | after.keys() if not is_same(before.get(path), after.get(path))}


def lost_edits(found: Iterable[Difference]) -> Tuple[Difference, ...]:
    """Return the differences where the agent's runs have lost the text that somebody had given to a configuration
    file.
    """
    return tuple(one for one in found if one.wanted is not None and one.wanted.is_edited and one.by_run)
