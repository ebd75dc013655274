"""A private root with dnf 4, driven through the backend alone: release one installed, release two beside it."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from os_update_agent.ledger import Ledger
from os_update_agent.model.packages import Change, Package, PackageState, Selection
from os_update_agent.packages.archive import Archive
from os_update_agent.packages.dnf.dnf4 import Dnf4
from os_update_agent.packages.dnf.protocol import Request
from os_update_agent.packages.state import expected
from os_update_agent.packages.transition import Transition
from os_update_agent.packages.worker import wire
from os_update_agent.testing.rpm_repository import DATABASE, Advisory, Repository, Rpm
from packages.node import PATIENCE, wait_until


def version_file(name: str, version: str) -> Dict[str, str]:
    return {f"/usr/share/{name}/version": f"{version}\n"}


def kernel(version: str) -> Rpm:
    return Rpm(
        "kernel", version, provides=["installonlypkg(kernel)"], files={f"/boot/vmlinuz-{version}": version * 100}
    )


CONF = "/etc/app.conf"


ONE = (
    Rpm("app", "1.0", requires=["libapp1 >= 1.0"], files={CONF: "a=1\n", **version_file("app", "1")}, configs=[CONF]),
    Rpm("libapp1", "1.0", files=version_file("libapp1", "1")),
    Rpm("oldname", "1.0"),
    Rpm("useold", "1.0", requires=["oldname"]),
    Rpm("epochy", "9.0", files=version_file("epochy", "9")),
    Rpm("tool", "1.0", files=version_file("tool", "1")),
    Rpm("dropped", "1.0"),
    Rpm("dropper", "1.0", requires=["dropped"]),
    kernel("6.1.1"),
)


TWO = (
    Rpm(
        "app",
        "2.0",
        requires=["libapp1 >= 2.0", "extra"],
        files={CONF: "a=2\n", **version_file("app", "2")},
        configs=[CONF],
    ),
    Rpm("libapp1", "2.0", conflicts=["app < 2.0"], files=version_file("libapp1", "2")),
    Rpm("extra", "2.0", arch="noarch"),
    Rpm("newname", "2.0", obsoletes=["oldname < 2.0"], provides=["oldname = 2.0"]),
    Rpm("useold", "2.0", requires=["newname"]),
    Rpm("epochy", "1.0", epoch="1", files=version_file("epochy", "1:1")),
    Rpm("dropper", "2.0", obsoletes=["dropped"]),
    kernel("6.1.2"),
)


INSTALLED = ("app", "useold", "epochy", "tool", "dropper", "kernel")


VERSIONS_ONE = {
    **dict.fromkeys(("app", "libapp1", "oldname", "useold", "tool", "dropped", "dropper"), "1.0-1"),
    "epochy": "9.0-1",
}


VERSIONS_TWO = {
    **dict.fromkeys(("app", "libapp1", "extra", "newname", "useold", "dropper"), "2.0-1"),
    "tool": "1.0-1",
    "epochy": "1:1.0-1",
}


class World:
    """A private root with release one, its repository, and the agent's rooms around it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.repository = Repository(directory / "repository")
        for name in ("work", "archive", "home"):
            (directory / name).mkdir(exist_ok=True)
        # So that the operator's dnf finds the database where the agent's does.
        (directory / "home/.rpmmacros").write_text(f"%_dbpath {DATABASE}\n", encoding="utf-8")
        self.log = directory / "log"
        self.ledger = Ledger(directory / "ledger.sqlite")

    def backend(self) -> Dnf4:
        return Dnf4(self.root, self.directory / "archive", self.directory / "work", 60.0, value="2026-11-08")

    @property
    def archive(self) -> Archive:
        return Archive(self.directory / "archive", self.ledger, self.backend())

    def state(self) -> PackageState:
        return self.backend().capture()

    def versions(self) -> Dict[str, str]:
        """All but the kernels, of which there are several."""
        return {package.name: package.version for package in self.state().packages if package.name != "kernel"}

    def kernels(self) -> List[str]:
        return [package.version for package in self.state().packages if package.name == "kernel"]

    def marks(self) -> Dict[str, str]:
        return {package.name: package.mark for package in self.state().packages}

    def serve(self, section: str) -> None:
        (self.root / "etc/yum.repos.d/demo.repo").write_text(section, encoding="utf-8")

    def offer(self, *rpms: Rpm, advisories: Sequence[Advisory] = ()) -> None:
        self.repository.add(*rpms)
        self.repository.publish(*advisories)

    def plan(self, selection: Optional[Selection] = None) -> Tuple[Tuple[Change, ...], Dict[str, str]]:
        backend = self.backend()
        backend.refresh()
        changes, held = backend.candidates(backend.capture(), selection or Selection())
        return changes, {item.name: item.reason for item in held}

    def update(self, selection: Optional[Selection] = None) -> Tuple[str, ...]:
        """From plan to transaction, as a run does it. Returns what dnf complained about."""
        before = self.state()
        return self.reach(expected(before, self.plan(selection)[0]), forced=False)

    def reach(self, target: PackageState, *, forced: bool = True) -> Tuple[str, ...]:
        before = self.state()
        with self.log.open("ab", buffering=0) as output:
            transition = Transition(self.backend(), self.archive, self.root, output)
            transition.keep_old(before, target)
            transition.fetch(before, target)
            transition.check_space(before, target)
            transition.rehearse(before, target, forced=forced)
            return transition.go(target, forced=forced)

    def obtain(self, packages: Sequence[Package]) -> Tuple[Package, ...]:
        """See that their files are in the archive, for good. Returns those that nobody has."""
        archive = self.archive
        nowhere = archive.obtain(packages)
        archive.flush()
        return nowhere

    def go(self, target: PackageState) -> Tuple[str, ...]:
        """The transaction alone."""
        with self.log.open("ab", buffering=0) as output:
            return Transition(self.backend(), self.archive, self.root, output).go(target, forced=True)

    def dnf(self, *arguments: str, ok: bool = True) -> str:
        """dnf as the operator calls it."""
        done = subprocess.run(self.dnf_argv(*arguments), env=self.environment(), text=True, capture_output=True)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    def dnf_argv(self, *arguments: str) -> List[str]:
        own = ["-c", f"{self.root}/etc/dnf/dnf.conf", f"--installroot={self.root}", "--noplugins"]
        return ["dnf", "-q", "-y", "--releasever=1", *own, *arguments]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "HOME": str(self.directory / "home"), "LC_ALL": "C.UTF-8"}

    def rpm(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["rpm", "--root", str(self.root), "--dbpath", DATABASE, *arguments], text=True, capture_output=True
        )

    def is_sound(self) -> bool:
        """Do the files on the disk agree with the database? Configuration may differ."""
        done = self.rpm("-Va", "--noconfig")
        print(done.stdout, done.stderr)
        return not done.stdout and not done.stderr

    def ask_and_leave(self, request: Request) -> None:
        """Ask dnf's worker as an agent does that is killed directly afterwards; return when the worker has ended."""
        child = self.backend()._worker()
        child.close.detach()
        with self.log.open("ab", buffering=0) as output:
            wire.send_request(child._socket, request, output.fileno())
            child._socket.close()
        assert child._process.wait(PATIENCE) == 0

    def workers(self) -> List[int]:
        """The processes of the agent's dnf in this world."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            is_ours = any(str(self.directory).encode() in word for word in words)
            if is_ours and any(word.endswith(b"/dnf/worker/main.py") for word in words):
                found.append(int(entry.parent.name))
        return found

    def complete(self) -> Tuple[str, ...]:
        """Complete an interruption. Returns the complaints."""
        with self.log.open("ab", buffering=0) as output:
            return self.backend().mend((), output)


def killed(world: World, number: signal.Signals = signal.SIGKILL) -> Tuple[PackageState, PackageState]:
    """Kill the transaction of the agent in a scriptlet that waits. Returns the state before and the one that was to be
    reached.
    """
    before = world.state()
    target = expected(before, world.plan()[0])

    def kill() -> None:
        wait_until(lambda: (world.root / "run/waits").exists(), "the scriptlet")
        for pid in world.workers():
            os.kill(pid, number)
        time.sleep(0.5)
        (world.root / "run/go").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    world.reach(target, forced=False)
    thread.join(PATIENCE)
    return before, target
