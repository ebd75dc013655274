"""Which packages the repositories can give, and fetching them: each checked by its checksum and its signature. Runs in
the worker.
"""

import os
from contextlib import suppress
from functools import partial
from itertools import starmap
from typing import Any, Iterator, List, Optional, Sequence, Set, Tuple

import libdnf5  # type: ignore

from os_update_agent.packages.dnf.protocol import Available, Fetch, Identity, Offered, Refused
from os_update_agent.packages.dnf.worker.dnf5.dnf_base import everything, fill, row, versions
from os_update_agent.packages.dnf.worker.download import Countdown, all_of, countdown, fetch_all, is_local, path_of

_OK = libdnf5.rpm.RpmSignature.CheckResult_OK
_KEY_MISSING = libdnf5.rpm.RpmSignature.CheckResult_FAILED_KEY_MISSING
_BLOCK = 1 << 20
# So many files of a local repository are copied by several threads.
_MANY = 8


def available(base: Any, request: Available) -> List[Optional[Offered]]:
    return [
        None if pkg is None else Offered(int(pkg.get_download_size()), int(pkg.get_install_size()), _sha256(pkg))
        for pkg in _offers(base, request.wanted)
    ]


def _sha256(pkg: Any) -> str:
    checksum = pkg.get_checksum()
    return str(checksum.get_checksum()) if checksum.get_type_str() == "sha256" else ""


def fetch(base: Any, request: Fetch) -> None:
    packages = all_of(request, _offers(base, request.wanted))
    with countdown(request) as counting:
        # libdnf5 calls it for as long as there is the Base, and keeps it alive in C++ only.
        base.display = Display(counting)
        base.set_download_callbacks(libdnf5.repo.DownloadCallbacksUniquePtr(base.display))
        fetch_all(
            request,
            packages,
            location=lambda pkg: str(pkg.get_location()),
            label=lambda pkg: f"{' '.join(row(pkg))} in the repository {pkg.get_repo_id()}",
            obtain=lambda some, paths: _download(base, some, paths),
            check=lambda pkg, path: _check_signature(base, pkg, path),
        )


class Display(libdnf5.repo.DownloadCallbacks):  # type: ignore
    """Notes each package as its download begins."""

    def __init__(self, counting: Countdown) -> None:
        super().__init__()
        self._counting = counting

    def add_new_download(self, user_data: Any, description: Any, total_to_download: Any) -> None:
        self.begin(description)

    def begin(self, name: Any) -> None:
        self._counting.begin(str(name))


def _download(base: Any, packages: List[Any], paths: List[str]) -> None:
    there = _copied(packages, paths, base.display)
    # librepo checks the checksums, and reports what is wrong with a repository.
    downloader = libdnf5.repo.PackageDownloader(base)
    for pkg, path in zip(packages, paths):
        if path not in there:
            downloader.add(pkg, os.path.dirname(path))
    downloader.download()


def _copied(packages: List[Any], paths: List[str], display: Display) -> Set[str]:
    """Copy the packages of repositories on the node's own disk. Returns the paths that are there now, with the right
    checksum.

    librepo takes a millisecond for each of them, most of it waiting, and would find the same.
    """
    # Threads must not touch what is libdnf5's.
    sources = [(_local_file(pkg), int(pkg.get_download_size()), _sha256(pkg)) for pkg in packages]
    there = set()
    for pkg, path, is_right in zip(packages, paths, _copies(sources, paths)):
        if is_right:
            display.begin(pkg.get_full_nevra())
            there.add(path)
    return there


def _copies(sources: Sequence[Tuple[str, int, str]], paths: Sequence[str]) -> Iterator[bool]:
    """Copy each source with its size and checksum to its path. Yields whether that worked."""
    arguments = [(*source, path) for source, path in zip(sources, paths)]
    if sum(bool(source) for source, _, _ in sources) < _MANY:
        yield from starmap(_copy, arguments)
        return
    from concurrent.futures import ThreadPoolExecutor  # late: to import it costs as much as copying several files

    with ThreadPoolExecutor() as pool:
        yield from pool.map(_copy, *zip(*arguments))


def _local_file(pkg: Any) -> str:
    """Where the package lies on the node's own disk; "" where it has to be downloaded, or may be."""
    places = list(pkg.get_remote_locations())
    return path_of(places[0]) if places and all(place.startswith("file:///") for place in places) else ""


def _copy(source: str, size: int, sha256: str, target: str) -> bool:
    """Copy a file that has the size and the checksum. Else there is nothing, the answer is False, and librepo finds out
    why.
    """
    if not source or not sha256:
        return False
    import hashlib  # late: it loads OpenSSL

    found = hashlib.sha256()
    # The latter is for a name that no file can have.
    with suppress(OSError, ValueError):
        with open(source, "rb") as file, open(target, "wb") as copy:
            # A repository's file may be larger than there is room for.
            for block in iter(partial(file.read, _BLOCK), b"") if os.fstat(file.fileno()).st_size == size else ():
                found.update(block)
                copy.write(block)
        if found.hexdigest() == sha256:
            return True
    with suppress(OSError, ValueError):
        os.unlink(target)
    return False


def _offers(base: Any, wanted: Sequence[Identity]) -> List[Optional[Any]]:
    """The package of a repository for each wanted one. A rebuild under the same version is another package: the build
    time tells.
    """
    fill(base, repositories=True)
    offers = []
    here, elsewhere = everything(base)
    for found, there in zip(versions(wanted, elsewhere), versions(wanted, here)):
        if there:
            found = [pkg for pkg in found if pkg.get_build_time() == there[0].get_build_time()]
        offers.append(min(found, key=_preference, default=None))
    return offers


def _preference(pkg: Any) -> Any:
    repo = pkg.get_repo()
    return repo.get_priority(), repo.get_cost(), repo.get_id()


def _check_signature(base: Any, pkg: Any, path: str) -> None:
    """Check the signature, because a file that is installed by its path is not checked again. Keys that lie on the node
    are imported, as dnf -y does. Raises Refused.
    """
    if not _is_to_be_signed(pkg):
        return
    checker = libdnf5.rpm.RpmSignature(base)
    result = checker.check_package_signature(path)
    urls = list(pkg.get_repo().get_config().gpgkey)
    if result == _KEY_MISSING and urls and all(map(is_local, urls)):
        for url in urls:
            for key in checker.parse_key_file(path_of(url)):
                checker.import_key(key)
        result = checker.check_package_signature(path)
    if result != _OK:
        why = (
            _NOT_SIGNED
            if result == libdnf5.rpm.RpmSignature.CheckResult_FAILED_NOT_SIGNED
            else checker.check_result_to_string(result)
        )
        raise Refused(f"Package {pkg.get_nevra()} {why} (repository {pkg.get_repo_id()}, gpgcheck=1)")


_NOT_SIGNED = "is not signed"


def _is_to_be_signed(pkg: Any) -> bool:
    """Of a package dnf can say so since 5.4.1; what Fedora 41 to 43 have came before that, and knows it of the
    repository.
    """
    if hasattr(pkg, "is_pkg_gpgcheck_enabled"):
        return bool(pkg.is_pkg_gpgcheck_enabled())
    config = pkg.get_repo().get_config()
    # The former name, until 5.2.6.
    return bool(config.pkg_gpgcheck if hasattr(config, "pkg_gpgcheck") else config.gpgcheck)
