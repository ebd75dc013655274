"""The world around a machine under test: python -m systemd.host DIRECTORY, inside mount and network namespaces of its
own.

Mounts what a systemd needs and the machine's disk, brings the loopback device up, and serves HTTP on it: GET gives the
files of DIRECTORY/www, and what is POSTed is kept in DIRECTORY/posts, one JSON object a line, and answered with the
status that DIRECTORY/answer holds (200 without it). Says its port on standard output when all is ready, and ends with
its standard input.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from os_update_agent.testing.receiver import Receiver, Reply, Request

CGROUP = Path("/sys/fs/cgroup")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, stdin=subprocess.DEVNULL)


def prepare(directory: Path) -> None:
    """Everything that is mounted here goes with the namespace."""
    mount("--make-rprivate", "/")
    # systemd-nspawn refuses a /run on a disk.
    mount("-t", "tmpfs", "tmpfs", "/run")
    Path("/run/systemd").mkdir()
    if not (CGROUP / "cgroup.controllers").exists():
        subprocess.run(["umount", "-l", str(CGROUP)], check=True)
        mount("-t", "cgroup2", "cgroup2", str(CGROUP))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # The paths of layers are options of a bounded length, and one must not hold a colon or a comma: links in a short
    # directory name them.
    lower = ":".join(str(link) for link in sorted(directory.glob("lower-*")))
    options = f"lowerdir={lower},upperdir={directory / 'upper'},workdir={directory / 'work'}"
    mount("-t", "overlay", "overlay", "-o", options, str(directory / "disk"))


def answer(directory: Path, request: Request) -> Reply:
    if request.method == "POST":
        with (directory / "posts").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"path": request.path, "body": request.body.decode("utf-8", "replace")}) + "\n")
        status = directory / "answer"
        return int(status.read_text(encoding="utf-8")) if status.exists() else 200
    path = directory / "www" / os.path.normpath(request.path.partition("?")[0]).lstrip("/")
    return (200, path.read_bytes()) if path.is_file() else 404


def main() -> None:
    directory = Path(sys.argv[1])
    prepare(directory)
    receiver = Receiver()
    receiver.answer(lambda request: answer(directory, request))
    with receiver:
        print(receiver.url("/"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
