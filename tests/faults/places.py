"""Faults of the places around the agent: read-only file systems, missing system files, no network, changed files."""

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable

from faults.fault import (
    VERSIONS_NEW,
    VERSIONS_OLD,
    Lab,
    assert_next_works,
    assert_no_matter,
    assert_survived,
    assert_true,
    delivered,
    fault,
    mounted,
)
from os_update_agent.testing.repository import Deb
from packages.node import Node, wait_until


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


class FileSystem:
    """A file system of its own under a directory of the node: ext4 on a loop device, as on a disk. Needs root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.image = directory.with_name(f"{directory.name}.img")

    def turning(self) -> str:
        """Return the line of shell that makes it read-only at once, open files or not, as the kernel does it after an
        error of the disk (ext4: errors=remount-ro). Once: the script may be run again.
        """
        mark = self.directory.with_name(f"{self.directory.name}-turned")
        return f"[ -e {mark} ] || {{ touch {mark}; mount -o remount,abort {self.directory}; }}"

    def remount(self, how: str) -> None:
        """Mount it read-only (ro) or writable (rw)."""
        _do("mount", "-o", f"remount,{how}", str(self.directory))

    def repair(self) -> None:
        """Check it and mount it anew, as the next boot would.

        A copy: a mount namespace of another test may hold the old mount, and so the file system with its error.
        """
        self._unmount()
        old, self.image = self.image, self.image.with_suffix(".copy.img")
        _do("cp", "--sparse=always", str(old), str(self.image))
        # 1: errors were corrected.
        done = subprocess.run(["e2fsck", "-f", "-y", str(self.image)], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stdout
        self._mount()

    def __enter__(self) -> "FileSystem":
        aside = self.directory.with_name(f"{self.directory.name}-aside")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.directory.rename(aside)
        self.directory.mkdir()
        _do("truncate", "-s", "32M", str(self.image))
        _do("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", "-J", "size=4", str(self.image))
        self._mount()
        shutil.copytree(aside, self.directory, dirs_exist_ok=True, symlinks=True)
        (self.directory / "lost+found").rmdir()
        # All of it is old when the fault comes.
        _do("sync", "-f", str(self.directory))
        return self

    def __exit__(self, *_: object) -> None:
        self._unmount()

    def _mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.directory))

    def _unmount(self) -> None:
        # A process that is just ending may hold its file for a moment.
        wait_until(
            lambda: not subprocess.run(["umount", str(self.directory)], capture_output=True).returncode, "umount"
        )


@fault("read-only/the root, before the update", is_cheap=False)
def root_read_only(lab: Lab) -> None:
    """The update is refused before anything changes, and names the mount."""
    with lab.node() as node, FileSystem(node.root) as disk:
        disk.remount("ro")
        result = delivered(node, "v2")
        assert result.status != 0 and "read-only" in result.complaint.lower(), result.complaint
        assert node.versions() == VERSIONS_OLD
        disk.remount("rw")
        assert_next_works(node)


@fault("read-only/the root, in the middle of the transaction")
def root_turns_read_only(lab: Lab) -> None:
    """As a kernel does it after an error of the disk: what has happened is reported, and repaired later."""
    with lab.node() as node, FileSystem(node.root) as disk:
        script = disk.turning()
        node.offer(Deb("libapp", "3.0-1", scripts={"postinst": script}), Deb("app", "3.0-1"))
        result = delivered(node, "v2")
        assert result.status != 0, result.told
        assert "read-only" in (result.complaint + node.run_log()).lower(), result.complaint
        assert "could not be" in result.complaint or "nothing was changed" in result.complaint, result.complaint
        disk.repair()
        node.withdraw("3.0-1", "libapp", "app")
        # The next delivery repairs what was left, whichever it is.
        result = delivered(node, "v1")
        assert result.status == 0, result.complaint
        assert node.versions() == VERSIONS_OLD
        assert node.hand.faults() == ""
        assert delivered(node, "v-next").status == 0 and node.versions() == VERSIONS_NEW


@fault("read-only/the state, before the update", is_cheap=False)
def state_read_only(lab: Lab) -> None:
    """Without a ledger nothing is changed, and Heat is told so at once."""
    with lab.node() as node, FileSystem(node.state) as disk:
        disk.remount("ro")
        result = delivered(node, "v2")
        assert result.status != 0 and "read-only" in result.complaint.lower(), result.complaint
        assert_true(node, result)
        disk.remount("rw")
        assert_next_works(node)


@fault("read-only/the state, in the middle of the transaction", is_cheap=False)
def state_turns_read_only(lab: Lab) -> None:
    """The result cannot be stored. Heat gets a failure that claims nothing, and the run is finished later."""
    with lab.node() as node, FileSystem(node.state) as disk:
        node.offer(Deb("libapp", "3.0-1", scripts={"postinst": disk.turning()}))
        result = delivered(node, "v2")
        assert result.status != 0, result.told
        assert len(result.received) == 1
        node.wait_until_at_rest()
        disk.repair()
        node.command("resume")
        node.wait_until_at_rest()
        assert node.hand.faults() == ""
        with node.ledger() as ledger:
            assert ledger.open_runs() == ()
        assert delivered(node, "v1").status == 0 and node.versions() == VERSIONS_OLD


@fault("read-only/the logs, in the middle of the transaction", is_cheap=False)
def log_turns_read_only(lab: Lab) -> None:
    """A log is no part of the promise."""
    with lab.node() as node, FileSystem(node.log) as disk:
        node.step("pre-update.d/50-remount", disk.turning())
        result = delivered(node, "v2")
        assert_true(node, result)
        shutil.rmtree(node.steps)
        disk.repair()
        assert_next_works(node)


@fault("read-only/the run directory", is_cheap=False)
def run_read_only(lab: Lab) -> None:
    """There can be no lock, so nothing is changed."""
    with lab.node() as node, FileSystem(node.run) as disk:
        disk.remount("ro")
        result = delivered(node, "v2")
        assert result.status != 0
        assert_true(node, result)
        disk.remount("rw")
        assert_next_works(node)


@fault("system/no /dev/null")
def no_dev_null(lab: Lab) -> None:
    """The next step is clear: the message names it."""
    with lab.node() as node:
        script = "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/urandom c 1 9"
        assert_survived(node, *mounted(script))


@fault("system/dev/null is a regular file", is_cheap=False)
def dev_null_is_a_file(lab: Lab) -> None:
    """As some careless "mv x /dev/null" leaves it."""
    with lab.node() as node:
        script = "mount -t tmpfs tmpfs /dev; echo old > /dev/null; chmod 666 /dev/null; mknod -m 666 /dev/urandom c 1 9"
        assert_no_matter(node, *mounted(script))


@fault("system/no /etc/passwd and no /etc/group", is_cheap=False)
def no_passwd(lab: Lab) -> None:
    """No name of a user can be looked up."""
    with lab.node() as node:
        empty = node.directory / "empty"
        empty.touch(mode=0o644)
        assert_survived(node, *mounted(f"mount --bind {empty} /etc/passwd; mount --bind {empty} /etc/group"))


@fault("system/no /proc", is_cheap=False)
def no_proc(lab: Lab) -> None:
    """Processes cannot be named, and locks are taken all the same."""
    with lab.node() as node:
        assert_survived(node, *mounted("mount -t tmpfs tmpfs /proc"))


@fault("system/no /sys and no /run", is_cheap=False)
def no_sys(lab: Lab) -> None:
    """As in a plain chroot."""
    with lab.node() as node:
        assert_no_matter(node, *mounted("mount -t tmpfs tmpfs /sys; mount -t tmpfs tmpfs /run"))


@fault("system/tmp is full, and so is /var/tmp", is_cheap=False)
def full_tmp(lab: Lab) -> None:
    """apt needs room there. The agent says so."""
    with lab.node() as node:
        full = node.directory / "full"
        full.mkdir(mode=0o1777)
        # The node itself lies below /tmp, maybe; TMPDIR leads everybody to the full one.
        script = (
            f"mount -t tmpfs -o size=4k tmpfs {full}; dd if=/dev/zero of={full}/f bs=4k count=2 2>/dev/null || true"
        )
        assert_survived(node, *mounted(script), "/usr/bin/env", f"TMPDIR={full}")


@fault("system/an empty host name", is_cheap=False)
def empty_host_name(lab: Lab) -> None:
    """The name of the machine is not used."""
    with lab.node() as node:
        code = "import os, socket, sys; socket.sethostname(''); os.execvp(sys.argv[1], sys.argv[1:])"
        assert_no_matter(node, "unshare", "--uts", "/usr/bin/python3", "-c", code)


@fault("network/no interface at all")
def no_network(lab: Lab) -> None:
    """Not even the loopback is up. The packages come from a directory; the result is owed, and sent later."""
    with lab.node() as node:
        result = delivered(node, "v2", "unshare", "--net")
        assert result.status == 0 and result.received == ()
        assert node.versions() == VERSIONS_NEW
        node.wait_until_at_rest()
        assert node.signals()[result.id].standing == "owed"
        node.command("resume")
        node.wait_until_at_rest()
        assert [request.body.decode() for request in node.receiver.received[-1:]] == [result.stdout]
        assert_next_works(node)


def _in_the_middle(node: Node, change: Callable[[], object]) -> threading.Thread:
    """Call ``change`` while a script of the transaction waits, then let the script go on."""

    def wait() -> None:
        wait_until(node.hand.is_waiting, "the script")
        change()
        node.hand.let_go()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


WAITS = (
    'touch "$DPKG_ROOT/run/waits"; i=0; while [ ! -e "$DPKG_ROOT/run/go" ] && [ $i -lt 300 ]; do sleep 0.02;'
    " i=$((i+1)); done"
)


def _update_while(node: Node, change: Callable[[], object]) -> int:
    """Update with a change in the middle of the transaction, and check the result. Returns the status."""
    node.offer(Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}, scripts={"postinst": WAITS}))
    thread = _in_the_middle(node, change)
    result = delivered(node, "v2")
    thread.join()
    expected = VERSIONS_OLD if result.status else VERSIONS_NEW
    assert node.versions() == expected, (result.status, node.versions(), result.complaint)
    assert node.hand.faults() == ""
    return result.status


@fault("changes/agent.conf is replaced in the middle of a run", is_cheap=False)
def other_configuration(lab: Lab) -> None:
    """A run keeps the settings with which it began."""
    with lab.node() as node:
        before = node.conf.read_text()
        _update_while(node, lambda: node.conf.write_text("[nonsense\n"))
        node.conf.write_text(before)
        assert_next_works(node)


@fault("changes/agent.conf vanishes in the middle of a run", is_cheap=False)
def no_configuration(lab: Lab) -> None:
    """A named file that is not there never means this machine's own packages."""
    with lab.node() as node:
        before = node.conf.read_text()
        _update_while(node, node.conf.unlink)
        node.conf.write_text(before)
        assert_next_works(node)


@fault("changes/the archive vanishes in the middle of a run", is_cheap=False)
def no_archive(lab: Lab) -> None:
    """The update stands; what is missing is fetched, rebuilt, or named later."""
    with lab.node() as node:
        _update_while(node, lambda: shutil.rmtree(node.archive))
        result = delivered(node, "v1")
        assert node.versions() == (VERSIONS_NEW if result.status else VERSIONS_OLD), result.complaint
        assert node.hand.faults() == ""


@fault("changes/the state vanishes in the middle of a run", is_cheap=False)
def no_state(lab: Lab) -> None:
    """Nobody can store the result. The hook says what it does not know, and a new history begins."""
    with lab.node() as node:
        node.offer(Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}, scripts={"postinst": WAITS}))
        thread = _in_the_middle(node, lambda: shutil.rmtree(node.state))
        result = delivered(node, "v2")
        thread.join()
        node.wait_until_at_rest()
        assert result.status != 0, result.told
        assert node.hand.faults() == ""
        assert delivered(node, "v9", action="CREATE").status == 0


@fault("changes/logs and run directory vanish in the middle of a run", is_cheap=False)
def no_log(lab: Lab) -> None:
    """They are made again."""
    with lab.node() as node:

        def vanish() -> None:
            shutil.rmtree(node.log)
            for path in node.run.iterdir():
                if path.name != "work":
                    path.unlink()

        _update_while(node, vanish)
        assert_next_works(node)


@fault("changes/the repository changes in the middle of a run", is_cheap=False)
def other_repository(lab: Lab) -> None:
    """What was fetched is installed; the rest waits for the next value."""
    with lab.node() as node:
        newer = Deb("app", "3.0-1", files={"usr/bin/app": "3\n"})
        assert _update_while(node, lambda: node.offer(newer)) == 0
        assert delivered(node, "v3").status == 0 and node.versions()["app"] == "3.0-1"


@fault("changes/a step replaces itself while it runs", is_cheap=False)
def step_replaces_itself(lab: Lab) -> None:
    """A step that is not trusted any more is not run the next time, and the node comes back."""
    with lab.node() as node:
        node.step("pre-update.d/50-open", f"chmod 0777 {node.steps}/pre-update.d/50-open")
        assert delivered(node, "v2").status == 0
        result = delivered(node, "v1")
        assert result.status != 0 and "0777" in result.complaint
        assert node.versions() == VERSIONS_NEW


@fault("system/the clock source of files is a day ahead", is_cheap=False)
def future_files(lab: Lab) -> None:
    """Files of the agent with times in the future are neither kept for ever nor dropped."""
    with lab.node() as node:
        later = time.time() + 86400
        for path in (*node.state.rglob("*"), *node.run.rglob("*"), *node.log.rglob("*")):
            os.utime(path, (later, later), follow_symlinks=False)
        assert_no_matter(node)
