"""Downloading packages, the part that both dnfs share: batches, checks, progress. Runs in the worker, Python 3.6."""

import contextlib
import os
from typing import IO, Any, Callable, Iterator, List, Optional, Sequence

from os_update_agent.model.builds import is_same_build
from os_update_agent.packages.dnf.protocol import Fetch, Refused
from os_update_agent.packages.dnf.worker.rpm_files import build_of


class Countdown:
    """The lines that a file gets while packages are downloaded: packages/progress.py reads them."""

    def __init__(self, file: IO[str], total: int) -> None:
        self._file = file
        self._total = total
        self._begun: List[str] = []

    def begin(self, name: str) -> None:
        """Note that the download of a package begins. Further calls with the same name have no effect."""
        if name not in self._begun:
            self._begun.append(name)
            # Neither a full disk nor a closed file may end a download.
            with contextlib.suppress(OSError, ValueError):
                self._file.write(f"[{len(self._begun)}/{self._total}] Downloading {name}\n")
                self._file.flush()


@contextlib.contextmanager
def countdown(request: Fetch) -> Iterator[Countdown]:
    with open(request.progress, "w", encoding="utf-8") as file:
        yield Countdown(file, len(request.wanted))


def all_of(request: Fetch, offers: Sequence[Optional[Any]]) -> List[Any]:
    """Return the packages that were found for those that the request wants. Raises Refused that names one that no
    repository has.
    """
    for wanted, pkg in zip(request.wanted, offers):
        if pkg is None:
            raise Refused("no repository has {}.{} {}".format(*wanted))
    return list(offers)


def fetch_all(
    request: Fetch,
    packages: Sequence[Any],
    location: Callable[[Any], str],
    label: Callable[[Any], str],
    obtain: Callable[[List[Any], List[str]], None],
    check: Callable[[Any, str], None],
) -> None:
    """Bring each package to its file of the request; a file that fails a check never gets there.

    ``location`` returns the path or address of a package in its repository, ``label`` what to call it in a message.
    ``obtain`` gets packages and the paths to put them at, which are all in one directory under the name of their
    location. ``check`` raises Refused for a file that is not rightly signed.
    """
    import tempfile  # late: a restore seldom fetches, and this is slow to import

    names = [os.path.basename(location(pkg)) for pkg in packages]
    with tempfile.TemporaryDirectory(dir=request.staging, prefix=".fetch-") as staging:
        for count, batch in enumerate(_batches(names)):
            directory = os.path.join(staging, str(count))
            os.mkdir(directory)
            paths = [os.path.join(directory, names[index]) for index in batch]
            obtain([packages[index] for index in batch], paths)
            for index, path in zip(batch, paths):
                check(packages[index], path)
                digest = request.digests[index]
                if digest and not is_same_build(build_of(path), digest):
                    raise Refused(f"{label(packages[index])} is another build than the one that was installed")
                os.replace(path, request.files[index])


def path_of(url: str) -> str:
    """Return the path in the URL of a file."""
    from urllib.parse import unquote, urlparse  # late, too

    return unquote(urlparse(url).path)


def is_local(url: str) -> bool:
    """Is it a file of this node?"""
    from urllib.parse import urlparse  # late, too

    return urlparse(url).scheme in ("", "file")


def _batches(names: Sequence[str]) -> Iterator[List[int]]:
    """Yield lists of indexes in which no file name occurs twice: an epoch is no part of it."""
    rest = list(range(len(names)))
    while rest:
        batch = {names[index]: index for index in reversed(rest)}
        yield sorted(batch.values())
        rest = [index for index in rest if index not in batch.values()]
