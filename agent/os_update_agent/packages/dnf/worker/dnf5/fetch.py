"""Which packages the repositories can give, and fetching them: each checked by its checksum and its signature. Runs in
the worker.
"""

import binascii
import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Iterator, List, Optional, Set, Tuple
from urllib.parse import unquote, urlparse

import libdnf5  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.worker.dnf5.dnf_base import Refused, Request, everything, fill, row, versions
from os_update_agent.packages.dnf.worker.rpm_recovery import read_header
from os_update_agent.packages.dnf.worker.server import Countdown, all_of

_OK = libdnf5.rpm.RpmSignature.CheckResult_OK
_KEY_MISSING = libdnf5.rpm.RpmSignature.CheckResult_FAILED_KEY_MISSING
_BLOCK = 1 << 20


def offered(base: Any, request: Request) -> List[Optional[Tuple[int, int, str]]]:
    """The bytes of each wanted package, as a file and once it is installed, and the file's sha256 ("" where the
    repository has another checksum); None for one that no repository has."""
    return [
        None if pkg is None else (int(pkg.get_download_size()), int(pkg.get_install_size()), _sha256(pkg))
        for pkg in _offers(base, request)
    ]


def _sha256(pkg: Any) -> str:
    checksum = pkg.get_checksum()
    return str(checksum.get_checksum()) if checksum.get_type_str() == "sha256" else ""


def fetch(base: Any, request: Request) -> None:
    """Download the wanted packages to the files that the request names; nothing that fails a check gets there."""
    packages = all_of(request, _offers(base, request))
    place = tempfile.TemporaryDirectory(dir=request["staging"], prefix=".fetch-")
    with place as staging, open(request["progress"], "w", encoding="utf-8") as told:
        # libdnf5 calls it for as long as there is the Base, and keeps it alive in C++ only.
        base.display = Display(Countdown(told, len(packages)))
        base.set_download_callbacks(libdnf5.repo.DownloadCallbacksUniquePtr(base.display))
        for count, batch in enumerate(_batches(list(range(len(packages))), packages)):
            directory = os.path.join(staging, str(count))
            os.mkdir(directory)
            paths = {
                index: os.path.join(directory, os.path.basename(packages[index].get_location())) for index in batch
            }
            there = _copied([(packages[index], paths[index]) for index in batch], base.display)
            # librepo checks the checksums, and says what is wrong with a repository.
            downloader = libdnf5.repo.PackageDownloader(base)
            for index in batch:
                if paths[index] not in there:
                    downloader.add(packages[index], directory)
            downloader.download()
            for index, path in paths.items():
                _check_signature(base, packages[index], path)
                _check_digest(packages[index], path, request["digests"][index])
                os.replace(path, request["files"][index])


class Display(libdnf5.repo.DownloadCallbacks):  # type: ignore
    """Tells of each package as its download begins."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        self._countdown = countdown

    def add_new_download(self, user_data: Any, description: Any, total_to_download: Any) -> None:
        self.begin(description)

    def begin(self, name: Any) -> None:
        self._countdown.begin(str(name))


def _copied(wanted: List[Tuple[Any, str]], display: Display) -> Set[str]:
    """Copy the packages of repositories on the node's own disk, and answer which are there now, with the right
    checksum.

    librepo takes a millisecond for each of them, most of it waiting, and would find the same.
    """
    # Threads must not touch what is libdnf5's.
    sources = {path: (_local_file(pkg), int(pkg.get_download_size()), _sha256(pkg)) for pkg, path in wanted}
    names = {path: pkg.get_full_nevra() for pkg, path in wanted}
    there = set()
    with ThreadPoolExecutor() as pool:
        for path, is_right in zip(sources, pool.map(lambda path: _copy(*sources[path], path), sources)):
            if is_right:
                display.begin(names[path])
                there.add(path)
    return there


def _local_file(pkg: Any) -> str:
    """Where the package lies on the node's own disk; "" where it has to be downloaded, or may be."""
    places = list(pkg.get_remote_locations())
    return unquote(urlparse(places[0]).path) if places and all(place.startswith("file:///") for place in places) else ""


def _copy(source: str, size: int, sha256: str, target: str) -> bool:
    """Copy a file that has the size and the checksum. Else there is nothing, the answer is False, and librepo finds out
    why.
    """
    if not source or not sha256:
        return False
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


def _offers(base: Any, request: Request) -> List[Optional[Any]]:
    """The package of a repository for each wanted one. A rebuild under the same version is another package: the build
    time tells.
    """
    fill(base, repositories=True)
    offers = []
    here, elsewhere = everything(base)
    for found, there in zip(versions(request["wanted"], elsewhere), versions(request["wanted"], here)):
        if there:
            found = [pkg for pkg in found if pkg.get_build_time() == there[0].get_build_time()]
        offers.append(min(found, key=_preference, default=None))
    return offers


def _preference(pkg: Any) -> Any:
    repo = pkg.get_repo()
    return repo.get_priority(), repo.get_cost(), repo.get_id()


def _batches(rest: List[int], packages: List[Any]) -> Iterator[List[int]]:
    """Lists in which no two packages have the same file name: an epoch is no part of it."""
    while rest:
        batch = {os.path.basename(packages[index].get_location()): index for index in reversed(rest)}
        yield sorted(batch.values())
        rest = [index for index in rest if index not in batch.values()]


def _check_signature(base: Any, pkg: Any, path: str) -> None:
    """A file is not checked again when it is installed by its path. Keys that lie on the node are imported, as dnf -y
    does.
    """
    if not _is_to_be_signed(pkg):
        return
    checker = libdnf5.rpm.RpmSignature(base)
    result = checker.check_package_signature(path)
    urls = list(pkg.get_repo().get_config().gpgkey)
    if result == _KEY_MISSING and urls and all(urlparse(url).scheme in ("", "file") for url in urls):
        for url in urls:
            for key in checker.parse_key_file(unquote(urlparse(url).path)):
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


def _check_digest(pkg: Any, path: str, digest: str) -> None:
    if not digest:
        return
    header = read_header(path)
    found = binascii.hexlify(header[rpm.RPMTAG_SIGMD5] or b"").decode()
    if found != digest:
        name = " ".join(row(pkg))
        raise Refused(f"{name} in the repository {pkg.get_repo_id()} is another build than the one that was installed")
