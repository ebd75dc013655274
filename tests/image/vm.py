"""The disk image under QEMU: an update with a new kernel, and the reboot into it. python -m image.vm, or tests/run image-vm

Not part of tests/run: without an accelerator it takes a quarter of an hour. The guest sees nothing but one port of one server here
(restrict=on and a guestfwd): it has no way to any network. Its log is console.log in the directory of the image.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from image.build import CHECKOUT, ELEMENTS, OURS, RELEASE, work
from os_update_agent.demo.receiver import Receiver, Reply, Request
from os_update_agent.demo.repository import Repository

TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "socat": "socat", "apt-get": "apt"}
# The one address that the guest sees.
HOST = "http://10.0.2.100/"
PATIENCE = 3600.0
FIRST, SECOND = "2026-11-01T02:00:00Z", "2026-11-08T02:00:00Z"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Runs whenever os-refresh-config runs: what kernel this is and which boot.
TELL = f"""\
#!/usr/bin/python3
import os, urllib.request
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
urllib.request.urlopen("{HOST}boot", data=f"{{boot}} {{os.uname().release}}".encode())
"""
COLLECT_CONF = f"""\
[DEFAULT]
command = os-refresh-config
collectors = request
polling_interval = 5
[request]
metadata_url = {HOST}metadata
"""


class Heat:
    """The server that the guest sees: metadata, signals, the repository, and what the guest tells of its boots."""

    def __init__(self, www: Path) -> None:
        self.www = www
        self.deployments: List[Dict[str, Any]] = []
        self.boots: List[Tuple[str, str]] = []
        self.signals: Dict[str, List[Dict[str, Any]]] = {}

    def deliver(self, value: str, action: str, **options: Any) -> str:
        config_id = str(uuid.uuid4())
        added = {
            "deploy_server_id": "server",
            "deploy_action": action,
            "deploy_stack_id": "stack/1",
            "deploy_resource_name": "update",
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": f"{HOST}signal/{config_id}",
            "deploy_signal_verb": "POST",
        }
        inputs = [{"name": name, "type": "String", "value": text} for name, text in {"update_after_time": value, **added}.items()]
        common = {"name": "update", "group": "package-update", "creation_time": "2026-11-22T09:56:42Z", "config": "", "outputs": []}
        self.deployments = [{"id": config_id, "inputs": inputs, "options": options, **common}]
        return config_id

    def answer(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if request.method == "POST" and path == "/boot":
            boot, _, kernel = request.body.decode().partition(" ")
            if (boot, kernel) not in self.boots:
                self.boots.append((boot, kernel))
            return 200
        if request.method == "POST":
            self.signals.setdefault(path.rpartition("/")[2], []).append(json.loads(request.body))
            return 200
        if path == "/metadata":
            occ = {"command": "os-refresh-config", "collectors": ["request"], "polling_interval": 5}
            occ["request"] = {"metadata_url": f"{HOST}metadata"}
            return 200, json.dumps({"deployments": self.deployments, "os-collect-config": occ}).encode()
        file = self.www / os.path.normpath(path).lstrip("/")
        return (200, file.read_bytes()) if file.is_file() else 404


def main() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"install {' '.join(missing)}")
    directory = work() / "vm"
    directory.mkdir(parents=True, exist_ok=True)
    _say("building the disk image, with the kernel of the release")
    disk = build(directory)
    _say("fetching the newer kernel")
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=directory))
    heat = Heat(scratch)
    repository = Repository(scratch / "repository")
    repository.publish()
    with Receiver() as receiver:
        receiver.answer(heat.answer)
        with guest(disk, scratch, receiver.url()) as qemu:
            _prove(heat, repository, fetch_kernel(scratch), qemu)
    shutil.rmtree(scratch)
    _say("1 passed, 0 failed")


def _prove(heat: Heat, repository: Repository, kernel: List[Path], qemu: "subprocess.Popen[bytes]") -> None:
    first = heat.deliver(FIRST, "CREATE")
    _wait(qemu, lambda: first in heat.signals, "the signal of the baseline")
    assert heat.signals[first][0]["deploy_status_code"] == 0, heat.signals[first]
    _say(f"booted with {heat.boots[0][1]}; the baseline is recorded")
    for deb in kernel:
        shutil.copy(deb, repository.directory)
    repository.publish()
    second = heat.deliver(SECOND, "UPDATE", reboot="always")
    _wait(qemu, lambda: second in heat.signals, "the signal of the update")
    result = heat.signals[second][0]
    assert result["deploy_status_code"] == 0, result
    _wait(qemu, lambda: len(heat.boots) > 1, "word of the second boot")
    (before, old), (after, new) = heat.boots[0], heat.boots[-1]
    assert before != after and old != new, heat.boots
    assert any(new in deb.name for deb in kernel), (new, kernel)
    # os-collect-config polls on; nothing more may be sent.
    time.sleep(30)
    assert [len(signals) for signals in heat.signals.values()] == [1, 1], heat.signals
    _say(f"rebooted into {new}; each deployment was signalled once")


def build(directory: Path) -> Path:
    """A qcow2 image from the release alone, without its security updates: so there is a newer kernel."""
    main_mirror, _ = mirrors()
    environment = {
        **os.environ,
        "ELEMENTS_PATH": str(OURS),
        "DIB_DISTRIBUTION_MIRROR": main_mirror,
        "DIB_APT_SOURCES_CONF": f"default:deb {main_mirror} {RELEASE} main",
    }
    if not Path("/dev/mapper/control").exists() or subprocess.run(["dmsetup", "version"], capture_output=True).returncode != 0:
        environment["OS_UPDATE_AGENT_IMAGE_PATH"] = str(CHECKOUT / "tests/image/standins")
    argv = [str(ELEMENTS / "build"), "-r", RELEASE, "-t", "qcow2", "-w", str(work()), "-o", str(directory / "disk"), "guest"]
    with (directory / "build.log").open("wb") as log:
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    if done.returncode != 0:
        sys.exit(f"elements/build ended with {done.returncode}; see {directory / 'build.log'}")
    return directory / "disk.qcow2"


def fetch_kernel(scratch: Path) -> List[Path]:
    """The packages of the newest kernel in the release's security updates."""
    main_mirror, security = mirrors()
    apt = scratch / "apt"
    for name in (
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/sources.list.d",
        "etc/trusted.gpg.d",
        "lists/partial",
        "cache/archives/partial",
    ):
        (apt / name).mkdir(parents=True)
    suites = ((main_mirror, RELEASE), (security, f"{RELEASE}-security"))
    (apt / "etc/sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {url} {suite} main\n" for url, suite in suites))
    places = {"Dir::Etc": "etc", "Dir::State::lists": "lists", "Dir::Cache": "cache"}
    options = [f"-o{name}={apt / value}" for name, value in places.items()] + [
        "-oDir::State::status=/dev/null",
        "-oAPT::Sandbox::User=root",
    ]
    subprocess.run(["apt-get", "-q", *options, "update"], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        ["apt-cache", *options, "show", "--no-all-versions", "linux-image-amd64"], capture_output=True, text=True, check=True
    )
    depends = next(line for line in shown.stdout.splitlines() if line.startswith("Depends:"))
    names = ["linux-image-amd64", depends.split()[1]]
    subprocess.run(["apt-get", "-q", *options, "download", *names], check=True, cwd=scratch, stdout=subprocess.DEVNULL)
    return sorted(scratch.glob("*.deb"))


def mirrors() -> Tuple[str, str]:
    """This machine's own mirrors of Debian and of its security updates."""
    lines = subprocess.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in lines.stdout.splitlines())
    main_mirror = next(url for suite, url in found.items() if "-" not in suite)
    security = next(url for suite, url in found.items() if suite.endswith("-security"))
    return main_mirror.rstrip("/"), security.rstrip("/")


@contextmanager
def guest(disk: Path, scratch: Path, url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """QEMU with a layer above the image; ended at the end of the block."""
    layer = scratch / "layer.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk), "-F", "qcow2", str(layer)], check=True)
    port = url.rstrip("/").rpartition(":")[2]
    network = f"user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:socat STDIO TCP:127.0.0.1:{port}"
    argv = [
        *("qemu-system-x86_64", "-accel", os.environ.get("OS_UPDATE_AGENT_VM_ACCEL", "tcg,thread=multi,tb-size=512"), "-cpu", "Nehalem"),
        *("-smp", "2", "-m", "1024", "-display", "none", "-nodefaults", "-serial", f"file:{disk.with_name('console.log')}"),
        *("-drive", f"file={layer},if=virtio,cache=unsafe", "-netdev", network, "-device", "virtio-net-pci,netdev=n0"),
        *("-device", "virtio-rng-pci", "-smbios", f"type=11,value=io.systemd.credential.binary:tmpfiles.extra={credential()}"),
    ]
    with (disk.with_name("qemu.log")).open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def credential() -> str:
    """What makes the image a guest of this host: systemd reads it from the firmware at every boot (tmpfiles.d(5))."""
    files = {
        "/etc/os-collect-config.conf": ("0600", COLLECT_CONF),
        "/etc/apt/sources.list.d/default.list": ("0644", f"deb [trusted=yes] {HOST}repository ./\n"),
        "/usr/libexec/os-refresh-config/post-configure.d/90-tell": ("0755", TELL),
    }
    lines = [f"f+~ {path} {mode} root root - {base64.b64encode(text.encode()).decode()}" for path, (mode, text) in files.items()]
    return base64.b64encode("".join(f"{line}\n" for line in lines).encode()).decode()


def _wait(qemu: "subprocess.Popen[bytes]", condition: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert qemu.poll() is None, f"QEMU has ended while {what} was waited for"
        assert time.monotonic() < end, f"after {PATIENCE:g} s still not there: {what}"
        time.sleep(1)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}" if not text[0].isdigit() else text, flush=True)


if __name__ == "__main__":
    main()
