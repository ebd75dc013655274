"""The packages that the repositories have. Runs in the worker, Python 3.9."""

from typing import Any, Iterable, Iterator, List, Optional, Tuple

from os_update_agent.packages.apt.protocol import Available, Offered
from os_update_agent.packages.apt.worker.opened import Opened


def available(opened: Opened, request: Available) -> List[Optional[Offered]]:
    """Return what the index says of each package. ``apt-get download`` chooses by the same rule: the first version of
    this name has to be downloadable.
    """
    found = [opened.found(identity) for identity in request.wanted]
    versions = {version.id: version for version in found if version is not None and version.downloadable}
    offers = {
        version.id: Offered(version.size, version.installed_size, _sha256(opened, place))
        for place, version in _in_order(versions.values())
    }
    return [offers.get(version.id) if version is not None else None for version in found]


def _in_order(versions: Iterable[Any]) -> Iterator[Tuple[Any, Any]]:
    """Yield the versions with a place of each in an index, as they follow each other there: apt may have to unpack an
    index from its beginning to go back in it.
    """
    places = [(_source(version), version) for version in versions]
    return iter(sorted(places, key=lambda each: (each[0][0].id, each[0][1])))


def _source(version: Any) -> Any:
    """Return the first place of a downloadable version in an index of a repository."""
    return next(place for place in version.file_list if not place[0].not_source)


def _sha256(opened: Opened, place: Any) -> str:
    """Return the sha256 of a version's file, "" if the index has none."""
    found = opened.records.hashes.find("SHA256") if opened.records.lookup(place) else None
    return str(found).rpartition(":")[2] if found else ""
