"""Runs a command in a root: python -m matrix.inside ROOT SCRATCH CHECKOUT COMMAND...

It is PID 1 of a PID namespace and has a mount namespace of its own (unshare(1)): all mounts go with it, and so does
every process that is left. Root and checkout are the lower layers of overlays, so that both stay as they are; Python
can keep its bytecode, without which the tests would take twice as long. The checkout has its own path in the root. A
directory in SCRATCH becomes the root's /tmp.
"""

import os
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


def run(place: Path, directory: Path, argv: Sequence[str]) -> int:
    """Run the command in the root, and collect what its orphans leave, as an init does. Return its exit status."""
    enter = ("chroot", str(place), "env", f"--chdir={directory}", *argv)
    process = subprocess.Popen(enter, stdin=subprocess.DEVNULL)
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            return os.waitstatus_to_exitcode(status)


def main() -> int:
    root, scratch, checkout = map(Path, sys.argv[1:4])
    return abs(run(prepare(root, scratch, checkout), checkout, sys.argv[4:]))


if __name__ == "__main__":
    sys.exit(main())
