"""Which of the kept package files is the one of a package: of its name, architecture, version, and build. Pure."""

from typing import Dict, Iterable, Iterator, List, Optional, Sequence

from os_update_agent.model.builds import is_other_build
from os_update_agent.model.package_files import ArchiveEntry
from os_update_agent.model.packages import Identity, Package


class KeptFiles:
    """The entries of the archive."""

    def __init__(self, entries: Iterable[ArchiveEntry]) -> None:
        self._entries: Dict[Identity, List[ArchiveEntry]] = {}
        for entry in entries:
            self._entries.setdefault(entry.identity, []).append(entry)

    def of(self, package: Package) -> Optional[ArchiveEntry]:
        """Return the entry with the package's build, otherwise one whose build nobody has looked at.

        A planned build is known only when its file has come. A package whose build is unknown may be any.
        """
        found = self._entries.get(package.identity, ()) if not package.is_planned else ()
        known = (entry for entry in found if entry.digest and not is_other_build(entry.digest, package.digest))
        return next(known, None) or next((entry for entry in found if not entry.digest), None)

    def unproven(self, packages: Iterable[Package]) -> Sequence[ArchiveEntry]:
        """Return the entries that have to be looked at before they can stand for one of the packages."""
        asked = dict.fromkeys(package.identity for package in packages if package.digest)
        return [entry for identity in asked for entry in self._entries.get(identity, ()) if not entry.digest]

    def in_place_of(self, package: Package, file: str) -> Iterator[ArchiveEntry]:
        """Yield the entry of another build that has the file name, if there is one."""
        for entry in self._entries.get(package.identity, ()):
            if entry.file == file and entry is not self.of(package):
                yield entry


def unneeded(entries: Iterable[ArchiveEntry], needed: Iterable[Package]) -> List[ArchiveEntry]:
    """Return the entries that are the file of none of the packages."""
    digests: Dict[Identity, List[str]] = {}
    for package in needed:
        digests.setdefault(package.identity, []).append(package.digest)
    return [
        entry
        for entry in entries
        if all(is_other_build(entry.digest, digest) for digest in digests.get(entry.identity, ()))
    ]
