"""Which packages the repositories can give, and fetching them: each checked by its checksum and its signature. Runs in
the worker.
"""

import binascii
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Iterator, List, Optional, Tuple
from urllib.parse import urlparse

import dnf  # type: ignore
import dnf.callback  # type: ignore
import rpm  # type: ignore

from os_update_agent.packages.dnf.worker.dnf4.dnf_base import Refused, Request, fill, versions
from os_update_agent.packages.dnf.worker.rpm_recovery import read_header
from os_update_agent.packages.dnf.worker.server import Countdown, all_of


def available(base: Any, request: Request) -> List[Optional[Tuple[int, int, str]]]:
    """The bytes of each wanted package, as a file and once it is installed, and the file's sha256 ("" where the
    repository has another checksum); None for one that no repository has."""
    return [
        None if pkg is None else (int(pkg.downloadsize), int(pkg.installsize), _sha256(pkg))
        for pkg in _offers(base, request)
    ]


def _sha256(pkg: Any) -> str:
    kind, checksum = pkg.returnIdSum() or ("", "")
    return str(checksum) if kind == "sha256" else ""


def fetch(base: Any, request: Request) -> None:
    """Download the wanted packages to the files that the request names; nothing that fails a check gets there."""
    packages = all_of(request, _offers(base, request))
    place = tempfile.TemporaryDirectory(dir=request["staging"], prefix=".fetch-")
    with place as staging, open(request["progress"], "w", encoding="utf-8") as told:
        display = Display(Countdown(told, len(packages)))
        for count, batch in enumerate(_batches(packages)):
            directory = os.path.join(staging, str(count))
            os.mkdir(directory)
            _download(base, batch, directory, display)
            with ThreadPoolExecutor() as pool:
                paths = list(pool.map(lambda pkg: _staged(pkg, directory), batch))  # noqa: B023
            for pkg, path in zip(batch, paths):
                index = packages.index(pkg)
                _check_signature(base, pkg)
                _check_digest(pkg, path, request["digests"][index])
                os.replace(path, request["files"][index])


def _offers(base: Any, request: Request) -> List[Optional[Any]]:
    """The package of a repository for each wanted one. A rebuild under the same version is another package: the build
    time tells.
    """
    fill(base, repositories=True)
    offers = []
    present = versions(base, request["wanted"], installed=True)
    for found, installed in zip(versions(base, request["wanted"], installed=False), present):
        if installed:
            found = [pkg for pkg in found if int(pkg.buildtime) == int(installed[0].buildtime)]
        offers.append(min(found, key=lambda pkg: (pkg.repo.priority, pkg.repo.cost, pkg.repoid), default=None))
    return offers


def _batches(packages: List[Any]) -> Iterator[List[Any]]:
    """Lists in which no two packages have the same file name: an epoch is no part of it."""
    rest = packages
    while rest:
        batch = {os.path.basename(pkg.location): pkg for pkg in reversed(rest)}
        yield list(batch.values())
        rest = [pkg for pkg in rest if pkg not in batch.values()]


class Display(dnf.callback.DownloadProgress):  # type: ignore
    """Tells of each package as its download begins; dnf calls it from its one thread."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        self._countdown = countdown

    def progress(self, payload: Any, done: Any) -> None:
        self._countdown.begin(str(payload))

    def end(self, payload: Any, status: Any, msg: Any) -> None:
        # What is so small that nothing was said of it before.
        self._countdown.begin(str(payload))


def _download(base: Any, packages: List[Any], directory: str, display: Display) -> None:
    """librepo checks the checksums of what it downloads, dnf those of what lies on the disk already."""
    for pkg in packages:
        pkg.repo.pkgdir = directory
    try:
        base.download_packages(packages, display)
    except dnf.exceptions.DownloadError as error:
        raise Refused(" ".join(str(error).split())) from error


def _staged(pkg: Any, directory: str) -> str:
    path = os.path.join(directory, os.path.basename(pkg.location))
    if not os.path.exists(path):
        shutil.copyfile(pkg.localPkg(), path)
    return path


def _check_signature(base: Any, pkg: Any) -> None:
    """A file is not checked again when it is installed by its path. Keys that lie on the node are imported, as dnf -y
    does.
    """
    result, message = base.package_signature_check(pkg)
    if result == 1 and all(urlparse(url).scheme in ("", "file") for url in pkg.repo.gpgkey):
        base.package_import_key(pkg, askcb=lambda *_: True, fullaskcb=lambda *_: True)
        result, message = base.package_signature_check(pkg)
    if result:
        raise Refused(f"{message} (repository {pkg.repoid}, gpgcheck=1)")


def _check_digest(pkg: Any, path: str, digest: str) -> None:
    if not digest:
        return
    header = read_header(path)
    found = binascii.hexlify(header[rpm.RPMTAG_SIGMD5] or b"").decode()
    if found != digest:
        raise Refused(f"{pkg} in the repository {pkg.repoid} is another build than the one that was installed")
