"""Package files: what a repository says of one, and what the archive knows of one that it keeps."""

from typing import NamedTuple, Optional, Tuple

from os_update_agent.model.packages import Identity

Build = Tuple[str, str, str, str]


class Offer(NamedTuple):
    """The entry of a package in a repository's index: the bytes of its file, the KiB that it takes once installed
    (None: unknown), and the sha256 of its file ("": the index has another checksum, or none).
    """

    size: int
    installed_kb: Optional[int] = None
    sha256: str = ""


class NewKernels(NamedTuple):
    """The kernels in package files: their number, the bytes of their files below /boot, and the bytes that their makers
    expect of an initrd, which the node makes itself (0: unknown)."""

    number: int
    boot_bytes: int
    initrd_bytes: int = 0


class ArchiveEntry(NamedTuple):
    """A package file that the agent keeps; ``origin`` is "repository" or "repack" (rebuilt from the installed
    files). ``digest`` is that of the build in it ("": not computed yet).
    """

    file: str
    name: str
    arch: str
    version: str
    sha256: str
    size: int
    installed_kb: int
    origin: str
    digest: str = ""

    @property
    def identity(self) -> Identity:
        return self.name, self.arch, self.version

    @property
    def build(self) -> Build:
        return self.name, self.arch, self.version, self.digest
