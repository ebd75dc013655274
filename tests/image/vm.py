"""The disk image under QEMU: first boot as in a cloud, an update with a new kernel, the way back. python -m image.vm,
tests/run image-vm

Not part of tests/run: without an accelerator it takes 10 to 40 minutes. The guest sees nothing but one port of one
server here (restrict=on and a guestfwd): it has no way to any network. Its logs are in the directory that is named at
the start, which stays when something goes wrong.

    OS_UPDATE_AGENT_VM_ACCEL     QEMU's accelerator; "kvm" where that works; default: tcg,thread=multi,tb-size=512
    OS_UPDATE_AGENT_VM_KERNEL    the suite of the newer kernel, such as trixie-backports; default: see image.kernels
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, List, Optional, Type

from image.build import CHECKOUT, ELEMENTS, RELEASE, fingerprint, work
from image.cloud import MAC, PINNED, Cloud
from image.kernels import fetch_newer, mirrors
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.repository import Repository

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "socat": "socat",
    "apt-get": "apt",
    "losetup": "mount",
}
# What README names for a cloud.
EXTRA = ("dhcp-all-interfaces", "cloud-init", "growroot")
# How long a condition is waited for, in seconds: never reached where all is well.
PATIENCE = 3600.0
# The disk of the guest: more than that of the image, as a flavour has it.
DISK = "6G"
FIRST, SECOND = "2026-11-01T02:00:00Z", "2026-11-08T02:00:00Z"


class Steps:
    """Says each step when it is done, with the seconds that it took."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def done(self, text: str) -> None:
        now = time.monotonic()
        print(f"{now - self._last:6.0f} s  {text}", flush=True)
        self._last = now

    def total(self) -> float:
        return time.monotonic() - self._start


class Guest:
    """QEMU with a disk that is a layer above the image, between ``with`` and its end."""

    def __init__(self, disk: Path, scratch: Path, url: str) -> None:
        self.scratch = scratch
        self._layer = scratch / "layer.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk), "-F", "qcow2", str(self._layer), DISK],
            check=True,
        )
        port = url.rstrip("/").rpartition(":")[2]
        network = f"user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:socat STDIO TCP:127.0.0.1:{port}"
        accelerator = os.environ.get("OS_UPDATE_AGENT_VM_ACCEL", "tcg,thread=multi,tb-size=512")
        self._argv = [
            *(
                "qemu-system-x86_64",
                "-accel",
                accelerator,
                "-cpu",
                "Nehalem" if accelerator.startswith("tcg") else "host",
            ),
            *("-smp", "2", "-m", "1024", "-display", "none", "-nodefaults", "-monitor", "stdio"),
            *("-serial", f"file:{scratch / 'console.log'}", "-drive", f"file={self._layer},if=virtio,cache=unsafe"),
            *("-drive", f"driver=vvfat,dir={scratch / 'drive'},label=config-2,if=virtio,read-only=on"),
            *("-netdev", network, "-device", f"virtio-net-pci,netdev=n0,mac={MAC}", "-device", "virtio-rng-pci"),
        ]
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> "Guest":
        with (self.scratch / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=log, stderr=log)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, f"QEMU has ended while this was waited for: {what}"
            assert time.monotonic() < end, f"after {PATIENCE:g} s still not there: {what}"
            time.sleep(1)

    def switch_off(self) -> None:
        """Press the power button, and wait until the guest has shut itself down."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(b"system_powerdown\n")
        self._process.stdin.flush()
        assert self._process.wait(PATIENCE) == 0, f"QEMU ended with {self._process.returncode}"
        subprocess.run(["qemu-img", "check", "-q", str(self._layer)], check=True)


def main() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"this machine lacks what the test needs: apt-get install {' '.join(missing)}")
    signal.signal(signal.SIGTERM, _end)
    directory = work() / RELEASE / "vm"
    directory.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=directory))
    print(f"the logs of this run are in {scratch}", flush=True)
    steps = Steps()
    disk, made_of, wanted = directory / "disk.qcow2", directory / "disk.made-of", f"{fingerprint()} {EXTRA}"
    if not made_of.exists() or made_of.read_text(encoding="utf-8") != wanted:
        made_of.unlink(missing_ok=True)
        # diskimage-builder would keep it under another name.
        disk.unlink(missing_ok=True)
        build(disk, scratch)
        made_of.write_text(wanted, encoding="utf-8")
    steps.done(f"the disk image is there: {disk.stat().st_size / 2**20:.0f} MB")
    kernel = fetch_newer(RELEASE, scratch, os.environ.get("OS_UPDATE_AGENT_VM_KERNEL", ""))
    steps.done(f"the newer kernel is fetched: {', '.join(deb.name for deb in kernel)}")
    cloud = Cloud(scratch)
    cloud.write_drive(scratch / "drive")
    with Receiver() as receiver:
        receiver.answer(cloud.answer)
        with Guest(disk, scratch, receiver.url()) as guest:
            _prove(cloud, kernel, guest, steps)
    left = leftovers(work())
    assert not left, f"left behind: {left}"
    shutil.rmtree(scratch)
    print(f"{steps.total():6.0f} s  in all; 1 passed, 0 failed", flush=True)


def _prove(cloud: Cloud, kernel: List[Path], guest: Guest, steps: Steps) -> None:
    repository = Repository(cloud.www / "repository")
    repository.publish()
    first = cloud.deliver(FIRST, "CREATE")
    _served(guest, cloud, first, "the baseline")
    steps.done("booted, and the baseline recorded")
    told = _boot(guest, cloud, 1)
    assert "10.0.2.15/" in told["addresses"], told
    assert told["root_mb"] > 5000, f"the root file system has not grown to its disk: {told}"
    assert told["failed"] == "", told
    card, address = re.findall(r"\d+: (\S+) +inet (\S+)", told["addresses"])[0]
    steps.done(
        f"the first boot has ended: kernel {told['kernel']}, {card} has {address}, a root of {told['root_mb']} MB"
    )

    for deb in kernel:
        shutil.copy(deb, repository.directory)
    repository.publish()
    second = cloud.deliver(SECOND, "UPDATE", reboot="always")
    _served(guest, cloud, second, "the update")
    steps.done("updated and rebooted")
    new = _boot(guest, cloud, 2)
    assert new["boot"] != told["boot"] and new["kernel"] != told["kernel"], (told, new)
    assert any(new["kernel"] in deb.name for deb in kernel), new
    steps.done(f"the second boot has ended: kernel {new['kernel']}")

    # The kernel that runs is one of the packages that go.
    back = cloud.deliver(FIRST, "UPDATE", reboot="always")
    _served(guest, cloud, back, "the way back")
    steps.done("gone back and rebooted")
    old = _boot(guest, cloud, 3)
    assert old["kernel"] == told["kernel"] and old["boot"] not in (told["boot"], new["boot"]), (told, old)
    steps.done(f"the third boot has ended: kernel {old['kernel']}")

    pinned = cloud.deliver(PINNED, "UPDATE", reboot="always")
    result = _served(guest, cloud, pinned, "the update with a pinned kernel")
    steps.done("updated and rebooted, into the kernel that GRUB was told to keep")
    same = _boot(guest, cloud, 4)
    assert same["kernel"] == old["kernel"] and same["boot"] != old["boot"], (old, same)
    said = (
        f"the machine came back from its reboot, and still: kernel {new['kernel']} is installed, {same['kernel']} is"
        " running"
    )
    assert said in result["deploy_stderr"] and result["reboot_required"] is True, result

    # A delivery that changes nothing is served after all that was owed: nothing more came for the others.
    again = cloud.deliver(PINNED, "UPDATE")
    _served(guest, cloud, again, "the last delivery")
    assert [len(signals) for signals in cloud.signals.values()] == [1] * 5, cloud.signals
    steps.done("each deployment was signalled once")
    guest.switch_off()
    steps.done("switched off")


def _served(guest: Guest, cloud: Cloud, deployment: str, what: str) -> Dict[str, Any]:
    """What Heat was told about the deployment, which must be a success."""
    guest.wait_for(lambda: deployment in cloud.signals, f"the signal of {what}")
    signal = cloud.signals[deployment][0]
    (cloud.www / f"{what.replace(' ', '-')}.txt").write_text(
        f"{signal['deploy_stdout']}\n{signal['deploy_stderr']}\n", encoding="utf-8"
    )
    assert signal["deploy_status_code"] == 0, signal
    return signal


def _boot(guest: Guest, cloud: Cloud, number: int) -> Dict[str, Any]:
    """What the node tells at the end of this boot, and that there was none besides."""
    guest.wait_for(lambda: len(cloud.boots) >= number, f"word of boot {number}")
    assert len(cloud.boots) == number, cloud.boots
    return cloud.boots[-1]


def build(disk: Path, scratch: Path) -> None:
    """Build an image from the release alone, without its security updates: so there is a newer kernel."""
    mirror = mirrors().main
    environment = {
        **os.environ,
        "DIB_GRUB_TIMEOUT": "0",
        "DIB_DISTRIBUTION_MIRROR": mirror,
        "DIB_APT_SOURCES_CONF": f"default:deb {mirror} {RELEASE} main",
    }
    if (
        not Path("/dev/mapper/control").exists()
        or subprocess.run(["dmsetup", "version"], capture_output=True).returncode != 0
    ):
        environment["OS_UPDATE_AGENT_IMAGE_PATH"] = str(CHECKOUT / "tests/image/standins")
    argv = [
        str(ELEMENTS / "build"),
        "-r",
        RELEASE,
        "-t",
        "qcow2",
        "-w",
        str(work()),
        "-o",
        str(disk.with_suffix("")),
        *EXTRA,
    ]
    with (scratch / "build.log").open("wb") as log:
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode != 0:
        sys.exit(
            f"elements/build ended with {done.returncode}; see {scratch / 'build.log'}; left behind:"
            f" {leftovers(work()) or 'nothing'}"
        )


def leftovers(directory: Path) -> List[str]:
    """Loop devices and mounts of files below the directory."""
    loops = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"], capture_output=True, text=True, check=True
    )
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return [line for line in [*loops.stdout.splitlines(), *mounts.splitlines()] if str(directory) in line]


def _end(number: int, frame: Optional[FrameType]) -> None:
    sys.exit(f"ended by signal {number}")


if __name__ == "__main__":
    main()
