"""Runs a command in the namespaces of the node: python -m real.inside WORK ROOT COMMAND...

It is PID 1 of a PID namespace and has a mount namespace of its own (unshare(1)). This machine is read-only, except for
WORK; ROOT gets the file systems that a chroot needs. Everything that is mounted goes with the namespace.

Ends with the status of the command when every other process has ended. Those that have not ended after a while are
named on standard error, and the status is LEFT_RUNNING: nothing may be started here.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List

LEFT_RUNNING = 99
# The agent's worker ends a moment after its caller; gpg-agent and dirmngr end when their directory is gone.
PATIENCE = 20.0
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, stdin=subprocess.DEVNULL)


def prepare(work: Path, root: Path) -> None:
    """Mount everything. A checkout below /tmp keeps its /tmp."""
    mount("--make-rprivate", "/")
    mount("--bind", str(work), str(work))
    if not work.is_relative_to("/tmp"):
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    resolver = Path("/etc/resolv.conf").resolve()
    servers = resolver.read_bytes() if resolver.is_file() else b""
    # Without /run/systemd/system the agent's worker is a session, not a service outside of this namespace.
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    if resolver.is_relative_to("/run"):
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.write_bytes(servers)
    mount("-o", "remount,bind,ro", "/")
    if root.is_dir():
        replace_settings(root)
        furnish(root)


def replace_settings(root: Path) -> None:
    """Replace what dpkg reads below /etc of the machine that it runs on, also with --root.

    It asks for the owner of a file by name: the accounts are those of the root. They are links, because scripts of
    packages add accounts. This machine's settings of dpkg, such as paths to leave out, are not those of the node.
    """
    layers = Path("/run/layers")
    layers.mkdir()
    (layers / "upper").mkdir()
    (layers / "work").mkdir()
    options = f"lowerdir=/etc,upperdir={layers}/upper,workdir={layers}/work"
    mount("-t", "overlay", "overlay", "-o", options, "/etc")
    for path in Path("/etc/dpkg/dpkg.cfg.d").glob("*"):
        path.unlink()
    for name in ("passwd", "group"):
        Path("/etc", name).unlink()
        Path("/etc", name).symlink_to(root / "etc" / name)


def furnish(root: Path) -> None:
    """Mount /proc, /sys and /dev below the root."""
    for name in ("proc", "sys", "dev"):
        (root / name).mkdir(exist_ok=True)
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-t", "sysfs", "-o", "ro", "sysfs", str(root / "sys"))
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "dev"))
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", str(root / "dev" / name))
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(target)
    for name, options in (("pts", ("devpts", "newinstance,ptmxmode=666,mode=620")), ("shm", ("tmpfs", "mode=1777"))):
        (root / "dev" / name).mkdir()
        mount("-t", options[0], "-o", options[1], options[0], str(root / "dev" / name))
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "run"))
    (root / "run/lock").mkdir(mode=0o1777)


def others() -> List[str]:
    """Return the names of the processes besides this one. Those that have ended are waited for first."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    names = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            with contextlib.suppress(OSError):
                names.append((directory / "cmdline").read_text(errors="replace").replace("\0", " ").strip())
    return names


def main() -> int:
    work, root = Path(sys.argv[1]), Path(sys.argv[2])
    prepare(work, root)
    status = subprocess.run(sys.argv[3:], stdin=subprocess.DEVNULL, check=False).returncode
    end = time.monotonic() + PATIENCE
    while (left := others()) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        print(f"still running: {'; '.join(left)}", file=sys.stderr, flush=True)
        return status or LEFT_RUNNING
    return status


if __name__ == "__main__":
    sys.exit(main())
