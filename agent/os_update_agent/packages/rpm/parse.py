"""Reading what rpm prints. Pure: text goes in, values come out.

Every query format that is read here stands beside the function that reads it. rpm ends a list of packages without any
mark of its end, and ends with 0 where its database is damaged, so an empty list is an error.
"""

import re
import stat
from typing import Callable, Collection, Dict, Iterator, List, Mapping, Sequence, Tuple

from os_update_agent.model.builds import KINDS, digest_of
from os_update_agent.model.errors import PackageError
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Identity, Package
from os_update_agent.packages.file_faults import Listed, Type
from os_update_agent.packages.interruption import Instances
from os_update_agent.packages.lines import fields_of, number_of

STATE_FORMAT = r"%{name}\t%{arch}\t%{epochnum}\t%{version}-%{release}\t%{longsize}\t"
BUILD_FORMAT = r"%{sha256header}\t%{sigmd5}\n"
STATE_FORMAT += BUILD_FORMAT
FILES_FORMAT = r"[%{filenames}\t%{longfilesizes}\n]"
TIMES_FORMAT = r"%{name}\t%{arch}\t%{epochnum}\t%{version}-%{release}\t%{installtime}\n"
INSTANCES_FORMAT = r"%{name}\t%{arch}\t%{epochnum}\t%{version}-%{release}\t%{dbinstance}\n"
LISTED_FORMAT = (
    r"[%{=name}\t%{=arch}\t%{=epochnum}\t%{=version}-%{=release}\t%{filemodes}\t%{fileflags}\t%{filestates}\t%{fileverifyflags}"
    r"\t%{=filedigestalgo}\t%{filedigests}\t%{filelinktos}\t%{filenames}\n]"
)
CONFIG_FORMAT = r"[%{fileflags}\t%{=filedigestalgo}\t%{filedigests}\t%{=name}\t%{filenames}\n]"
KEYS = "gpg-pubkey"
_KIB = 1024
_CONFIG = 1
# %config, %config(missingok), %ghost
_NOT_COMPARED = 1 | 8 | 64
_TYPES: Mapping[int, Type] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
# RPMVERIFY_FILEDIGEST and RPMVERIFY_LINKTO: a package may say that its scripts change the file.
_VERIFIED = {"file": 1, "link": 4}
# PGPHASHALGO of rpm; a package without the tag has MD5.
_ALGORITHMS = {"1": "md5", "(none)": "md5", "2": "sha1", "8": "sha256", "9": "sha384", "10": "sha512"}

# /boot/vmlinuz-6.1.0-1.x86_64   /lib/modules/6.1.0-1.x86_64/vmlinuz
_KERNEL = re.compile(r"/boot/vmlinuz-(?P<release>[^/]+)|(?:/usr)?/lib/modules/(?P<below>[^/]+)/vmlinuz")


def parse_installed(text: str, mark_of: Callable[[str, str], str]) -> Tuple[Package, ...]:
    """Return the packages that rpm -qa lists with STATE_FORMAT, in order, each with the mark of its name and
    architecture.

    Signing keys are left out. A package that is listed twice with the same bytes counts once: a scriptlet has kept the
    old row when the package was installed again.

    Raises PackageError for a line that is not understood, and for an empty list.
    """
    packages = {
        Package(name, arch, version, mark=mark_of(name, arch), digest=digest)
        for name, arch, version, _, digest in _identified(text)
        if name != KEYS
    }
    if not packages:
        raise PackageError("the package database lists no package at all; it is damaged or it is not this node's")
    return tuple(sorted(packages))


def parse_sizes(text: str) -> Dict[Identity, int]:
    """Return the installed size of each package in KiB, from a list in STATE_FORMAT. Raises PackageError."""
    return {
        (name, arch, version): kib(number_of("rpm", size, size)) if size.isdigit() else 0
        for name, arch, version, size, _ in _identified(text)
    }


def parse_builds(text: str) -> Tuple[str, ...]:
    """Return the digest of each package file ("": it has none), from a list in BUILD_FORMAT."""
    return tuple(_digest_of(fields_of("rpm", line, 2)) for line in text.splitlines())


def parse_instances(text: str) -> Instances:
    """Return the packages in INSTANCES_FORMAT with their numbers in the database: one that is installed again gets a
    new one.
    """
    rows = (line.split("\t") for line in text.splitlines())
    return frozenset(
        ((row[0], row[1], evr(row[2], row[3])), row[4]) for row in rows if len(row) == 5 and row[0] != KEYS
    )


def parse_listed(text: str, changed: Collection[Identity]) -> Iterator[Listed]:
    """Yield the files in LISTED_FORMAT that have to be on the disk, with the content of those of the ``changed``
    packages.

    Left out: what rpm did not install (another color, no documentation), and what a package only announces, allows to
    be missing or declares as configuration (rpm: RPMFILE_CONFIG, RPMFILE_MISSINGOK, RPMFILE_GHOST). What does not look
    like a file is passed over: a strange name must not stop a way back.
    """
    for line in text.split("\n"):
        fields = line.split("\t", 11)
        # A name that is no UTF-8 has become another one.
        if len(fields) != 12 or "\ufffd" in fields[-1] or fields[6] != "0":
            continue
        if number_of("rpm", fields[5], line) & _NOT_COMPARED:
            continue
        name, arch, epoch, version, mode, _, _, verified, algorithm, digest, target, path = fields
        kind = _TYPES.get(stat.S_IFMT(number_of("rpm", mode, line) & 0xFFFF), "any")
        hashed = _ALGORITHMS.get(algorithm, "")
        content = {"file": digest if hashed else "", "link": target}.get(kind, "")
        identity = name, arch, evr(epoch, version)
        if identity not in changed or not number_of("rpm", verified, line) & _VERIFIED.get(kind, 0):
            content = ""
        yield Listed(path, path, *identity, kind, content, hashed or "md5")


def parse_packaged_texts(text: str) -> Dict[str, PackagedText]:
    """Return the hashes of the %config files in CONFIG_FORMAT, by their paths. A file that a package only announces has
    none.
    """
    found = {}
    for line in text.split("\n"):
        fields = line.split("\t", 4)
        if len(fields) == 5 and number_of("rpm", fields[0], line) & _CONFIG and fields[2]:
            found[fields[4]] = PackagedText(_ALGORITHMS.get(fields[1], "md5"), fields[2], fields[3])
    return found


def parse_new_kernels(text: str) -> NewKernels:
    """Return what the files in FILES_FORMAT bring into /boot.

    Files count that a package only announces (%ghost) and makes later. A kernel lies below /boot, or with its modules
    and is copied to /boot, or in both places. An announced initrd is counted separately.
    """
    kernels: Dict[str, int] = {}
    initrd = other = 0
    for line in text.splitlines():
        path, _, text = line.rpartition("\t")
        size = number_of("rpm", text, line) if path.startswith(("/boot/", "/lib/modules/", "/usr/lib/modules/")) else 0
        kernel = _KERNEL.fullmatch(path)
        if kernel:
            release = kernel["release"] or kernel["below"]
            kernels[release] = max(kernels.get(release, 0), size)
        elif path.startswith("/boot/initr"):
            initrd = max(initrd, size)
        elif path.startswith("/boot/"):
            other += size
    return NewKernels(len(kernels), sum(kernels.values()) + other, initrd)


def parse_installed_since(
    text: str, moment: float, names: Collection[str], suggested: Collection[Identity] = ()
) -> Tuple[str, ...]:
    """Return the names in a list in TIMES_FORMAT that have one of the names or identities and were installed after
    ``moment`` (seconds since the epoch).

    For a package that is not installed rpm prints a line without a tab, which is skipped.
    """
    found = set()
    for row in (line.split("\t") for line in text.splitlines()):
        if len(row) == 5 and number_of("rpm", row[4], "\t".join(row)) > moment:
            name, arch, epoch, version, _ = row
            if name in names or (name, arch, evr(epoch, version)) in suggested:
                found.add(name)
    return tuple(sorted(found))


def kib(size: int) -> int:
    """Return bytes as KiB, rounded up."""
    return -(-size // _KIB)


def evr(epoch: str, version: str) -> str:
    """Return [epoch:]version-release. rpm does not distinguish an epoch of 0 from no epoch: it is not spelled."""
    return version if epoch in ("0", "") else f"{epoch}:{version}"


def _identified(text: str) -> List[Tuple[str, str, str, str, str]]:
    rows = []
    for line in text.splitlines():
        name, arch, epoch, version, size, *values = fields_of("rpm", line, 7)
        rows.append((name, arch, evr(epoch, version), size, _digest_of(values)))
    return rows


def _digest_of(values: Sequence[str]) -> str:
    """Return the digest with the values in BUILD_FORMAT."""
    return digest_of((kind, "" if value == "(none)" else value) for kind, value in zip(KINDS, values))
