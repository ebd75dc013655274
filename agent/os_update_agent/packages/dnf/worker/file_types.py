"""Which paths rpm cannot install because something of another type is there, decided without touching anything. Runs in
the worker, Python 3.6.

Facts (measured with rpm 4.18 and 6.1). rpm finds some of these only while it unpacks, in the middle of a transaction:

- it replaces no directory by a file or a symbolic link, not even one whose package leaves in the same transaction;
- it makes no directory in the place of a file or a dangling link, unless the package itself lists the directory;
- for a listed directory in the place of a packaged link to a directory it reports a conflict.

A %pretrans or %pre may make room before that. rpm then reports no conflict either.
"""

import stat
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

DIRECTORY, LINK_TO_DIRECTORY, OTHER = "a directory", "a link to a directory", "no directory"

# The type of what is at a path when rpm installs the package: one of the three above, None if nothing is there.
TypeOf = Callable[[str], Optional[str]]


class Listed(NamedTuple):
    """A package that rpm installs, with its files: ``modes`` by path, without %ghost. ``has_pretrans``: does a script
    of it run before the transaction? ``has_pre``: does one run before its files are unpacked? ``scripts`` is the text
    of its %pretrans and %pre.
    """

    label: str
    modes: Dict[str, int]
    has_pretrans: bool
    scripts: str
    has_pre: bool = False

    def directories(self) -> Set[str]:
        """Return the directories that it lists."""
        return {path for path, mode in self.modes.items() if stat.S_ISDIR(mode)}

    def parents(self) -> Set[str]:
        """Return the directories that its files need."""
        found: Set[str] = set()
        for path in self.modes:
            above = path.rpartition("/")[0]
            while above and above not in found:
                found.add(above)
                above = above.rpartition("/")[0]
        return found


class Misfit(NamedTuple):
    """A path that rpm cannot install. ``is_open``: a script of the package may make room for it."""

    text: str
    is_open: bool


def misfits(coming: Sequence[Listed], type_of: TypeOf, before: Sequence[Listed] = ()) -> List[Misfit]:
    """Return what rpm cannot install of ``coming``. Paths that the packages ``before`` have in the same type are as
    these have left them.
    """
    known = {(path, stat.S_IFMT(mode)) for one in before for path, mode in one.modes.items()}
    needed = {path for one in before for path in one.parents()}
    found = []
    for package in coming:
        for path, obstacle in _obstacles(package, type_of, known, needed):
            mentioned = any(path in other.scripts for other in coming)
            found.append(Misfit(f"{package.label} {obstacle}", package.has_pretrans or package.has_pre or mentioned))
    return found


def _obstacles(
    package: Listed, type_of: TypeOf, known: Set[Tuple[str, int]], needed: Set[str]
) -> Iterator[Tuple[str, str]]:
    listed = package.directories()
    for path, mode in package.modes.items():
        if path in listed or (path, stat.S_IFMT(mode)) in known:
            continue
        if type_of(path) == DIRECTORY:
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "a file"
            yield path, f"has {path} as {kind}, and rpm cannot replace the directory there"
    for path in sorted(package.parents() - listed - needed):
        if type_of(path) == OTHER:
            yield path, f"has files below {path}, and rpm makes no directory in place of the file or link there"


def conflicts(coming: Sequence[Listed], present: Sequence[Listed], type_of: TypeOf) -> List[Misfit]:
    """Return what rpm cannot install of ``coming`` if ``present`` are installed by then: directories in the place of
    their links to a directory. rpm's own test finds these conflicts only after ``present`` are on the disk.
    """
    links = {path: one.label for one in present for path, mode in one.modes.items() if stat.S_ISLNK(mode)}
    return [
        Misfit(
            f"{package.label} has {path} as a directory, which is a link to a directory in {links[path]}",
            package.has_pretrans,
        )
        for package in coming
        for path in sorted(package.directories().intersection(links))
        if type_of(path) == LINK_TO_DIRECTORY
    ]


def astray(coming: Sequence[Listed], present: Sequence[Listed], now: TypeOf, type_of: TypeOf) -> List[str]:
    """Return a sentence for each directory that no package of ``coming`` lists and that is a link of ``present`` when
    they come. rpm puts their files where the link leads. ``now`` gives the types before ``present`` come.
    """
    links = {path: one.label for one in present for path, mode in one.modes.items() if stat.S_ISLNK(mode)}
    return [
        f"{package.label} has files below {path}, and rpm puts them elsewhere as long as {links[path]} has a link to a"
        f" directory at {path}"
        for package in coming
        for path in sorted((package.parents() - package.directories()).intersection(links))
        if now(path) == DIRECTORY and type_of(path) == LINK_TO_DIRECTORY
    ]
