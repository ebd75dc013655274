"""dnf 4 on a node's own root, with its plugins: this machine's root with rpm packages laid over it, in a mount
namespace of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List

from os_update_agent.testing.rpm_repository import Rpm
from packages.dnf.world import World

CHECKOUT = Path(__file__).parents[3]
# The upper layer is in memory: nothing of it is left. $1 is the root to lay over, $2 an empty directory; the others
# have to be seen.
_WORLD = """
set -e
root=$1 place=$2; shift 2
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/merged"
cp -a "$root/." "$place/upper/"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/merged"
for path in /proc /dev "$@"; do
    mkdir -p "$place/merged$path"
    mount --rbind "$path" "$place/merged$path"
done
chroot "$place/merged" /bin/sh -eu
"""


def in_own_root(world: World, script: str) -> str:
    place = world.directory / "place"
    place.mkdir()
    seen = [world.repository.directory, world.directory / "home", CHECKOUT, Path(sys.prefix)]
    # The system's own Python is seen already; to mount /usr over the layer would show it to rpm, for writing.
    seen += [] if Path(sys.base_prefix) == Path("/usr") else [Path(sys.base_prefix)]
    argv: List[str] = ["unshare", "--mount", "sh", "-c", _WORLD, "sh", str(world.root), str(place), *map(str, seen)]
    environment = {
        **world.environment(),
        **{
            "PYTHONPATH": str(CHECKOUT / "agent"),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        "OS_UPDATE_AGENT_CONFIG": "/etc/os-update-agent/agent.conf",
    }
    done = subprocess.run(argv, input=script, env=environment, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_and_back_on_the_own_root_with_plugins(two: World) -> None:
    conf = two.root / "etc/os-update-agent/agent.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[node]\nbackend = dnf\n", encoding="utf-8")
    locks = two.root / "etc/dnf/plugins/versionlock.list"
    locks.parent.mkdir(parents=True)
    locks.write_text("epochy-0:9.0-1.*\n", encoding="utf-8")
    agent = f"{sys.executable} -m os_update_agent"
    said = in_own_root(
        two,
        f"""
        rows() {{ echo "--- $1"; rpm -qa --queryformat '%{{name}}-%{{version}}\\n' | sort; }}
        rows start
        {agent} update v1 --exclude '*'
        {agent} update v2
        rows two
        cat /usr/share/app/version
        echo 'app-0:2.0-1.*' > /etc/dnf/plugins/versionlock.list
        {agent} rollback v1
        rows one
        rpm -Va --noconfig
        dnf -q history info last
        """,
    )
    parts = {part.splitlines()[0]: part for part in said.split("--- ")[1:]}
    rows = {name: re.findall(r"^[a-z0-9]+-[0-9.]+$", part, re.MULTILINE) for name, part in parts.items()}
    assert rows["one"] == rows["start"] and "app-1.0" in rows["one"]
    assert "app-2.0" in rows["two"] and "newname-2.0" in rows["two"] and "epochy-9.0" in rows["two"]
    assert "locked by dnf's versionlock" in parts["start"]
    assert "\n2\n" in parts["two"]
    assert "os-update-agent v1" in parts["one"]
    assert not Path("/usr/share/app/version").exists()


def test_a_kernel_that_the_machine_has_booted_into_is_taken_back(two: World) -> None:
    """dnf looks in /boot for the kernel that runs, and protects it from whoever is not on the way back."""
    conf = two.root / "etc/os-update-agent/agent.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[node]\nbackend = dnf\n", encoding="utf-8")
    two.offer(
        Rpm(
            "kernel",
            "6.1.9",
            provides=["installonlypkg(kernel)"],
            files={f"/boot/vmlinuz-{os.uname().release}": "kernel"},
        )
    )
    agent = f"{sys.executable} -m os_update_agent"
    said = in_own_root(
        two,
        f"""
        kernels() {{ rpm -q kernel --queryformat "$1 %{{version}}\\n"; }}
        {agent} update v1 --exclude '*'
        {agent} update v2
        kernels two
        dnf --assumeno remove kernel-6.1.9 2>&1 && exit 1
        {agent} rollback v1
        kernels one
        """,
    )
    kernels = {name: set(re.findall(rf"^{name} (.*)$", said, re.MULTILINE)) for name in ("one", "two")}
    assert kernels == {"one": {"6.1.1"}, "two": {"6.1.1", "6.1.9"}}
    assert "would result in removing the following protected packages: kernel" in said
