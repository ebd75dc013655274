"""Runs a command in a root: python -m matrix.inside ROOT SCRATCH CHECKOUT COMMAND...

It is PID 1 of a PID namespace and has a mount namespace of its own (unshare(1)): all mounts go with it, and so does
every process that is left. Root and checkout are the lower layers of overlays, so that both stay as they are; Python
can keep its bytecode, without which the tests would take twice as long. The checkout has its own path in the root. A
directory in SCRATCH becomes the root's /tmp. This machine's own root cannot be reached any more: a test of a mistake
must not make it here.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from real.inside import furnish, mount


def prepare(root: Path, scratch: Path, checkout: Path) -> Path:
    """Mount everything. Return the directory to enter."""
    mount("--make-rprivate", "/")
    layers, place, temporary = (scratch / name for name in ("layers", "place", "tmp"))
    for directory in (layers, place, temporary):
        directory.mkdir()
    temporary.chmod(0o1777)
    mount("-t", "tmpfs", "tmpfs", str(layers))
    overlay(root, layers / "root", place)
    furnish(place)
    # Some tests mount an image.
    os.mknod(place / "dev/loop-control", 0o600 | stat.S_IFCHR, os.makedev(10, 237))
    for number in range(64):
        os.mknod(place / f"dev/loop{number}", 0o600 | stat.S_IFBLK, os.makedev(7, number))
    mount("--bind", str(temporary), str(place / "tmp"))
    seen = place / checkout.relative_to("/")
    seen.mkdir(parents=True)
    overlay(checkout, layers / "checkout", seen)
    return place


def overlay(lower: Path, layers: Path, place: Path) -> None:
    upper, work = layers / "upper", layers / "work"
    for directory in (layers, upper, work):
        directory.mkdir()
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", str(place))


def enter(place: Path) -> None:
    """Make the directory the root of this process, too. With chroot(1) alone /proc/1/root would be this machine's."""
    (place / "old").mkdir()
    subprocess.run(["pivot_root", str(place), str(place / "old")], check=True)
    os.chdir("/")
    subprocess.run(["umount", "--lazy", "/old"], check=True)
    os.rmdir("/old")


def run(directory: Path, argv: Sequence[str]) -> int:
    """Run the command, and collect what its orphans leave, as an init does. Return its exit status."""
    process = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL)
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            return os.waitstatus_to_exitcode(status)


def main() -> int:
    root, scratch, checkout = map(Path, sys.argv[1:4])
    enter(prepare(root, scratch, checkout))
    return abs(run(checkout, sys.argv[4:]))


if __name__ == "__main__":
    sys.exit(main())
