"""A machine with a real systemd as its PID 1, in namespaces of its own: boots, reboots, loses its power; sees nothing
but loopback.

The kernel is the host's, and there is no boot loader. A power cut kills every process at once and keeps the page cache.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Callable, Dict, List, Optional, Sequence, Type, TypeVar, Union

TESTS = Path(__file__).resolve().parents[1]
TOOLS = ("systemd-nspawn", "nsenter", "unshare", "ip")
# How long a condition is waited for, in seconds: never reached where all is well, however slow the machine.
LONG = 180.0
# systemd-nspawn's exit status when the machine asks for a reboot.
WANTS_REBOOT = 133

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: Union[str, Callable[[], str]], *, seconds: float = LONG) -> T:
    """The first true value of the condition. Raises AssertionError that says what did not come."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"after {seconds:g} s still not there: {what() if callable(what) else what}"
        time.sleep(0.05)


class Machine:
    """One machine between ``with`` and its end. ``root`` is a root file system that is only read; the disk is a layer
    above it.

    ``directory`` must not lie on an overlay. ``www`` in it is served under ``url`` and what is POSTed there is in
    ``posts()``. ``above`` are the ``disk_layer``s of other machines with the same root, the lowest first: this one goes
    on from there.
    """

    def __init__(
        self, root: Path, directory: Path, *, above: Sequence[Path] = (), boot_options: Sequence[str] = ()
    ) -> None:
        self.directory = directory.absolute()
        self.boot_options = tuple(boot_options)
        self.url = ""
        self.boots = 0
        self._host: Optional[subprocess.Popen[str]] = None
        self._nspawn: Optional[subprocess.Popen[bytes]] = None
        self._cgroup = Path()
        for name in ("upper", "work", "disk", "www"):
            (self.directory / name).mkdir(parents=True)
        for number, layer in enumerate(reversed((root, *above))):
            (self.directory / f"lower-{number}").symlink_to(layer.absolute())

    @property
    def disk_layer(self) -> Path:
        """What this machine has written to its disk."""
        return self.directory / "upper"

    def __enter__(self) -> "Machine":
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        assert not missing, f"install systemd-container, util-linux and iproute2: {', '.join(missing)} not found"
        assert os.geteuid() == 0, "a machine can only be made by root"
        argv = ["unshare", "--mount", "--net", sys.executable, "-m", "systemd.host", str(self.directory)]
        environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'agent'}:{TESTS}"}
        log = self._log("host.log")
        self._host = subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert self._host.stdout is not None
        self.url = self._host.stdout.readline().strip()
        assert self.url, f"the namespaces were not made:\n{self.log('host.log')}"
        self._cgroup = Path(f"/proc/{self._host.pid}/root/sys/fs/cgroup/os-update-agent-test-{self._host.pid}")
        self._cgroup.mkdir()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._nspawn is not None:
            self.cut_power()
        self._remove_cgroup()
        if self._host is not None:
            self._host.communicate()

    # --- power

    def boot(self) -> None:
        """Start the machine and return when its systemd takes orders; services may still be starting."""
        assert self._nspawn is None and self._host is not None
        self.boots += 1
        # Two machines in one control group would be in each other's way.
        enter = f'echo $$ > /sys/fs/cgroup/{self._cgroup.name}/cgroup.procs && exec "$@"'
        nspawn = [
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            f"--directory={self.directory / 'disk'}",
            "--boot",
        ]
        argv = [
            *self._inside(self._host.pid, "--mount", "--net"),
            "/bin/sh",
            "-c",
            enter,
            "sh",
            *nspawn,
            *self.boot_options,
        ]
        console = self._log(f"console-{self.boots}.log")
        self._nspawn = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        wait_for(self._takes_orders, "a systemd that takes orders")

    def wait_until_booted(self) -> str:
        """Wait until all that starts at boot is started. Returns systemd's word for it: running or degraded."""
        return wait_for(
            lambda: state if (state := self._system_state()) in ("running", "degraded") else "", self._what_hangs
        )

    def _what_hangs(self) -> str:
        return f"the end of the boot:\n{self.run('systemctl', '--no-pager', 'list-jobs', check=False).stdout}"

    def wait_until_off(self) -> bool:
        """Wait until the machine has shut itself down. Returns whether it asks for a reboot."""
        assert self._nspawn is not None
        code = self._nspawn.wait(LONG)
        self._nspawn = None
        assert code in (0, WANTS_REBOOT), (
            f"systemd-nspawn ended with {code}:\n{self.log(f'console-{self.boots}.log')[-3000:]}"
        )
        return code == WANTS_REBOOT

    def wait_for_reboot(self) -> None:
        """The machine shuts itself down for a reboot; start it again, as its firmware would."""
        assert self.wait_until_off(), "the machine was switched off; it should have asked for a reboot"
        self.boot()

    def cut_power(self) -> None:
        """Every process of the machine ends at once."""
        assert self._nspawn is not None
        leader = self._leader()
        for pid in (leader, self._nspawn.pid):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._nspawn.wait(LONG)
        self._nspawn = None
        wait_for(lambda: not self._processes(), "the end of every process of the machine")

    # --- inside

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a program in the machine, from outside of all its services."""
        leader = self._leader()
        assert leader is not None, "the machine is off"
        inside = [
            *self._inside(leader, "--all"),
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        ]
        done = subprocess.run([*inside, *argv], input=stdin, capture_output=True, text=True, timeout=LONG)
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def path(self, path: str) -> Path:
        """A file of the machine's disk, seen from outside; also while the machine is off. Not for what it mounts itself
        (/run, /tmp).
        """
        assert self._host is not None
        return Path(f"/proc/{self._host.pid}/root{self.directory / 'disk'}") / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def read(self, path: str) -> str:
        """'' for a file that is not there."""
        file = self.path(path)
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def boot_id(self) -> str:
        return self.run("cat", "/proc/sys/kernel/random/boot_id").stdout.strip()

    def is_active(self, unit: str) -> bool:
        return self.run("systemctl", "--quiet", "is-active", unit, check=False).returncode == 0

    def main_pid(self, unit: str) -> int:
        """The process id of a service's main process as the machine counts them; 0 where there is none."""
        return int(self.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout)

    # --- outside

    def posts(self) -> List[Dict[str, str]]:
        """Everything that was POSTed to the host: "path" and "body"."""
        file = self.directory / "posts"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def answer(self, status: int) -> None:
        """Answer what is POSTed with this HTTP status from now on."""
        staging = self.directory / "answer.new"
        staging.write_text(str(status), encoding="utf-8")
        os.replace(staging, self.directory / "answer")

    def log(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8", errors="replace")

    def _log(self, name: str) -> int:
        return os.open(self.directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    @staticmethod
    def _inside(pid: int, *namespaces: str) -> List[str]:
        return ["nsenter", "--target", str(pid), *namespaces, "--"]

    def _takes_orders(self) -> bool:
        assert self._nspawn is not None
        code = self._nspawn.poll()
        assert code is None, f"systemd-nspawn ended with {code}:\n{self.log(f'console-{self.boots}.log')[-3000:]}"
        return self._leader() is not None and self._system_state() not in ("", "offline", "unknown")

    def _system_state(self) -> str:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def _leader(self) -> Optional[int]:
        """The process that is PID 1 of the machine, once it is there and in its own namespaces."""
        if self._nspawn is None:
            return None
        for child in _children(self._nspawn.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip() == "systemd":
                    return child
        return None

    def _processes(self) -> List[str]:
        return [line for file in self._cgroup.rglob("cgroup.procs") for line in _read(file).split()]

    def _remove_cgroup(self) -> None:
        if self._cgroup.name:
            for directory in sorted(
                (path.parent for path in self._cgroup.rglob("cgroup.procs")), key=lambda path: -len(path.parts)
            ):
                wait_for(partial(_removed, directory), f"an empty control group {directory.name}")


def _children(pid: int) -> List[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*") for word in _read(task / "children").split()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _removed(directory: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        try:
            directory.rmdir()
        except OSError:
            return False
    return True
