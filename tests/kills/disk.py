"""A disk whose power can be cut: an ext4 image on a loop device.

What was written and not synced lies in the page cache of the mounted file system and has not reached the image. A copy
of the image taken at the moment of the cut therefore is what a machine finds on its disk after the power is back:
mounting it replays the journal of ext4. The file system is mounted so that it does not write by itself as long as a
trial lasts. The model is that of a disk that keeps what it has confirmed (no lying write cache), and of ext4 as
distributions mount it (data=ordered, barriers).
"""

import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

SIZE = "24M"
# Seconds: ext4 would commit its journal every five.
COMMIT = 3600
# Seconds that processes which were killed may take to let go of their files.
PATIENCE = 60.0


class Disk:
    """Mounted at ``mount_point``; the images lie in ``directory``. Needs root."""

    def __init__(self, mount_point: Path, directory: Path) -> None:
        self.mount_point = mount_point
        self.image = directory / "disk-0.img"
        self.cuts = 0
        mount_point.mkdir()
        _do("truncate", "-s", SIZE, str(self.image))
        _do("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", "-J", "size=4", str(self.image))
        self._mount()

    def fill(self, *places: Path) -> None:
        """Move directories to the disk, safely: they are there before anything happens."""
        for place in places:
            place.mkdir(mode=0o700, exist_ok=True)
            shutil.move(str(place), str(self.mount_point / place.name))
        self.remove()
        self._mount()

    def cut(self) -> None:
        """The power fails and comes back."""
        self.cuts += 1
        copy = self.image.with_name(f"disk-{self.cuts}.img")
        _do("cp", "--sparse=always", str(self.image), str(copy))
        self.remove()
        self.image.unlink()
        self.image = copy
        self._mount()

    def remove(self) -> None:
        _unmount(self.mount_point)

    def _mount(self) -> None:
        _do("mount", "-t", "ext4", "-o", f"loop,commit={COMMIT}", str(self.image), str(self.mount_point))


def _unmount(mount_point: Path) -> None:
    """Who was killed has no name in /proc any more while he still holds his files."""
    end = time.monotonic() + PATIENCE
    while subprocess.run(["umount", str(mount_point)], capture_output=True).returncode and time.monotonic() < end:
        time.sleep(0.02)
    assert f" {mount_point} " not in Path("/proc/mounts").read_text(encoding="utf-8"), (
        f"{mount_point} was still busy after {PATIENCE:g} s"
    )


def _do(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


class SmallDisk:
    """A file system of a few megabytes, in memory, that can be filled. Needs root."""

    def __init__(self, mount_point: Path, size: str) -> None:
        self.mount_point = mount_point
        mount_point.mkdir()
        _do("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(mount_point))

    def free(self) -> None:
        (self.mount_point / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        _unmount(self.mount_point)


@contextmanager
def shared(directory: Path) -> Iterator[None]:
    """What is mounted below the directory shows also in other mount namespaces, if they are slaves of ours."""
    _do("mount", "--bind", str(directory), str(directory))
    try:
        _do("mount", "--make-shared", str(directory))
        yield
    finally:
        _unmount(directory)


def unmount_all(directory: Path) -> None:
    """Whatever a failed trial has left mounted below the directory."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        place = line.split()[1]
        if place.startswith(f"{directory}/"):
            _unmount(Path(place))
