"""Listed paths of packages, faults of installed files, and the choice of the faults that a way back has made. Pure."""

import posixpath
from typing import Collection, Dict, Iterable, List, Literal, NamedTuple, Tuple

from os_update_agent.model.packages import Identity
from os_update_agent.text.phrases import named

# The document of a run holds at most this number of paths.
MOST_PATHS = 1000

Kind = Literal["missing", "of another type", "with other content"]
Type = Literal["any", "file", "directory", "link"]


class Listed(NamedTuple):
    """One path that an installed package lists.

    Attributes:
        path: The path in the package.
        place: Where the path really is (another path if it is diverted).
        name: The name of the package.
        arch: The architecture of the package.
        version: The version of the package.
        type: What the path has to be ("any": the database does not say).
        content: The hash of a file's content, or the target of a link. "" skips the comparison.
        algorithm: The name of the hash.
    """

    path: str
    place: str
    name: str
    arch: str
    version: str
    type: Type = "any"
    content: str = ""
    algorithm: str = "md5"


class FileFault(NamedTuple):
    """A file that is not as its installed package has it.

    Attributes:
        path: The path as the package lists it, without the root.
        name: The name of the package.
        arch: The architecture of the package.
        version: The version of the package.
        kind: What is wrong with the file.
    """

    path: str
    name: str
    arch: str
    version: str
    kind: Kind

    @property
    def identity(self) -> Identity:
        """The name, architecture and version of the package."""
        return self.name, self.arch, self.version


def topmost(faults: Iterable[FileFault]) -> Tuple[str, ...]:
    """Return the paths of the faults, without those below a directory that has a fault itself.

    If there are more than MOST_PATHS, their directories are returned: an image may lack its whole documentation.
    """
    paths = _topmost({fault.path for fault in faults})
    while len(paths) > MOST_PATHS:
        paths = _topmost({posixpath.dirname(path) for path in paths})
    return tuple(sorted(paths))


def _topmost(paths: Collection[str]) -> Collection[str]:
    return {path for path in paths if path == "/" or not _is_below(posixpath.dirname(path), paths)}


def new_faults(faults: Iterable[FileFault], earlier: Collection[str]) -> Tuple[FileFault, ...]:
    """Return the faults that are not at, or below, one of the ``earlier`` paths."""
    known = frozenset(earlier)
    return tuple(fault for fault in faults if not _is_below(fault.path, known))


def _is_below(path: str, places: Collection[str]) -> bool:
    while path not in places:
        if path in ("/", ""):
            return False
        path = posixpath.dirname(path)
    return True


def told(faults: Iterable[FileFault]) -> str:
    """Return the faults for a sentence: "web (missing: /usr/bin/tool), ..."."""
    by_package: Dict[Tuple[str, str, Kind], List[str]] = {}
    for fault in faults:
        by_package.setdefault((fault.name, fault.arch, fault.kind), []).append(fault.path)
    return named([f"{name} ({kind}: {named(paths)})" for (name, _, kind), paths in by_package.items()])
