"""Reading package files by rpm itself. Runs in the worker, Python 3.6."""

import binascii
import os
from typing import Any, List, Tuple

import rpm  # type: ignore

from os_update_agent.model import builds
from os_update_agent.packages.dnf.protocol import Identity, Refused
from os_update_agent.packages.dnf.worker.identity import evr


def read_header(path: str) -> Any:
    """Return the header of a package file, whose signature was checked when it was fetched. Raises Refused."""
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES)
    with open(path, "rb") as file:
        try:
            return transaction.hdrFromFdno(file.fileno())
        except rpm.error as error:
            raise Refused(f"{os.path.basename(path)} is no sound package file: {error}") from error


def identity_of(header: Any) -> Identity:
    version = evr(header[rpm.RPMTAG_EPOCH], _text(header[rpm.RPMTAG_VERSION]), _text(header[rpm.RPMTAG_RELEASE]))
    return _text(header[rpm.RPMTAG_NAME]), _text(header[rpm.RPMTAG_ARCH]), version


def label_of(header: Any) -> str:
    """Return what a package is called in a message."""
    name, arch, version = identity_of(header)
    return f"{name}-{version}.{arch}"


def build_of(path: str) -> str:
    """Return the digest of the build in a package file, as the agent has it of an installed one; "" if it has none."""
    header = read_header(path)
    md5 = binascii.hexlify(header[rpm.RPMTAG_SIGMD5] or b"").decode()
    return builds.digest_of(zip(builds.KINDS, (_text(header[rpm.RPMTAG_SHA256HEADER] or ""), md5)))


def provided_by(path: str) -> List[str]:
    """Return the names that a package file provides."""
    return [_text(name) for name in read_header(path)[rpm.RPMTAG_PROVIDENAME] or ()]


def compared(version: str, other: str) -> int:
    """Return -1, 0 or 1 as rpm orders two versions, each [epoch:]version-release."""
    return int(rpm.labelCompare(_label(version), _label(other)))


def _label(version: str) -> Tuple[str, str, str]:
    epoch, _, rest = version.rpartition(":")
    number, _, release = rest.rpartition("-")
    return epoch or "0", number, release


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
