"""Which packages the repositories can give, and fetching them: each checked by its checksum and its signature. Runs in
the worker.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Optional, Sequence

import dnf  # type: ignore
import dnf.callback  # type: ignore

from os_update_agent.packages.dnf.protocol import Available, Fetch, Identity, Offered, Refused
from os_update_agent.packages.dnf.worker.dnf4.dnf_base import fill, versions
from os_update_agent.packages.dnf.worker.download import Countdown, all_of, countdown, fetch_all, is_local


def available(base: Any, request: Available) -> List[Optional[Offered]]:
    return [
        None if pkg is None else Offered(int(pkg.downloadsize), int(pkg.installsize), _sha256(pkg))
        for pkg in _offers(base, request.wanted)
    ]


def _sha256(pkg: Any) -> str:
    kind, checksum = pkg.returnIdSum() or ("", "")
    return str(checksum) if kind == "sha256" else ""


def fetch(base: Any, request: Fetch) -> None:
    packages = all_of(request, _offers(base, request.wanted))
    with countdown(request) as counting:
        display = Display(counting)
        fetch_all(
            request,
            packages,
            location=lambda pkg: str(pkg.location),
            label=lambda pkg: f"{pkg} in the repository {pkg.repoid}",
            obtain=lambda some, paths: _download(base, some, paths, display),
            check=lambda pkg, _: _check_signature(base, pkg),
        )


def _offers(base: Any, wanted: Sequence[Identity]) -> List[Optional[Any]]:
    """The package of a repository for each wanted one. A rebuild under the same version is another package: the build
    time tells.
    """
    fill(base, repositories=True)
    offers = []
    present = versions(base, wanted, installed=True)
    for found, installed in zip(versions(base, wanted, installed=False), present):
        if installed:
            found = [pkg for pkg in found if int(pkg.buildtime) == int(installed[0].buildtime)]
        offers.append(min(found, key=lambda pkg: (pkg.repo.priority, pkg.repo.cost, pkg.repoid), default=None))
    return offers


class Display(dnf.callback.DownloadProgress):  # type: ignore
    """Notes each package as its download begins; dnf calls it from its one thread."""

    def __init__(self, counting: Countdown) -> None:
        super().__init__()
        self._counting = counting

    def progress(self, payload: Any, done: Any) -> None:
        self._counting.begin(str(payload))

    def end(self, payload: Any, status: Any, msg: Any) -> None:
        # A small package gets no call of progress() before.
        self._counting.begin(str(payload))


def _download(base: Any, packages: List[Any], paths: List[str], display: Display) -> None:
    """librepo checks the checksums of what it downloads, dnf those of what lies on the disk already."""
    for pkg, path in zip(packages, paths):
        pkg.repo.pkgdir = os.path.dirname(path)
    try:
        base.download_packages(packages, display)
    except dnf.exceptions.DownloadError as error:
        raise Refused(" ".join(str(error).split())) from error
    with ThreadPoolExecutor() as pool:
        list(pool.map(_stage, packages, paths))


def _stage(pkg: Any, path: str) -> None:
    """Copy a package of a repository on this node's disk, which dnf uses where it lies."""
    if not os.path.exists(path):
        shutil.copyfile(pkg.localPkg(), path)


def _check_signature(base: Any, pkg: Any) -> None:
    """Check the signature, because a file that is installed by its path is not checked again. Keys that lie on the node
    are imported, as dnf -y does. Raises Refused.
    """
    result, message = base.package_signature_check(pkg)
    if result == 1 and all(map(is_local, pkg.repo.gpgkey)):
        base.package_import_key(pkg, askcb=lambda *_: True, fullaskcb=lambda *_: True)
        result, message = base.package_signature_check(pkg)
    if result:
        raise Refused(f"{message} (repository {pkg.repoid}, gpgcheck=1)")
