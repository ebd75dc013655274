"""What needs a boot and what runs replaced code after an update with rpm, beside the answers of dnf's own plugin."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Set

from os_update_agent.model.packages import Change, Package
from os_update_agent.node.reboot import boot_time, has_replaced_code
from os_update_agent.packages.reboot_forecast import asking_for_a_boot
from os_update_agent.testing.rpm_repository import Rpm
from packages.dnf.world import World

# What the plugin prints: "  * glibc".
_NAMED = re.compile(r"^  \* (\S+)$", re.MULTILINE)


def told_by_the_plugin(world: World) -> Set[str]:
    argv = [word for word in world.dnf_argv() if word not in ("--noplugins", "-q")]
    argv += ["--disableplugin=*", "--enableplugin=needs_restarting", "--disablerepo=*", "needs-restarting", "-r"]
    done = subprocess.run(argv, env=world.environment(), text=True, capture_output=True)
    names = set(_NAMED.findall(done.stdout))
    assert done.returncode == (1 if names else 0) and "eboot" in done.stdout, done.stdout + done.stderr
    return names


def test_what_needs_a_boot_is_what_the_plugin_says(world: World) -> None:
    world.dnf("remove", "kernel")
    assert world.backend().reboot_hints(boot_time()).installed == () and told_by_the_plugin(world) == set()
    added = world.root / "etc/dnf/plugins/needs-restarting.d/site.conf"
    added.parent.mkdir(parents=True)
    added.write_text("hypervisor\n\n-i\nnot a name\nabsent\n", encoding="utf-8")
    world.offer(*(Rpm(name, "1.0") for name in ("glibc", "systemd", "dbus-broker", "hypervisor", "systemd-libs")))
    world.dnf("install", "glibc", "systemd", "dbus-broker", "hypervisor", "systemd-libs")
    asking = world.backend().reboot_hints(boot_time()).installed
    assert asking == ("dbus-broker", "glibc", "hypervisor", "systemd")
    assert told_by_the_plugin(world) == set(asking)
    # The same names are foreseen.
    coming = [Change(None, Package("hypervisor", "noarch", "1.0-1"))]
    assert asking_for_a_boot(coming, world.backend().reboot_hints()) == ("hypervisor",)


def test_what_was_there_at_the_last_boot_does_not_need_another_one(two: World) -> None:
    later = time.time() + 2
    assert two.backend().reboot_hints(later).installed == ()
    # rpm counts whole seconds.
    while time.time() < later + 1:
        time.sleep(0.1)
    assert two.update() == ()
    assert two.backend().reboot_hints(later).installed == ("kernel",)


def test_a_process_that_runs_what_rpm_has_replaced_is_seen(world: World) -> None:
    """The process maps the file by its path in the root; seen from within it would be the path that the package has."""
    library = next(Path("/usr/lib").rglob("libz.so.1")).read_bytes()
    path = "/usr/lib/libdemo.so"
    world.offer(Rpm("demolib", "1.0", files={path: library}))
    world.dnf("install", "demolib")
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('loaded', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, f"{world.root}{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "loaded\n"

        def seen() -> bool:
            maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
            assert str(world.root) in maps
            return has_replaced_code(
                "\n".join(line for line in maps.replace(str(world.root), "").splitlines() if "libdemo" in line)
            )

        assert not seen()
        world.offer(Rpm("demolib", "2.0", files={path: library + b"2"}))
        assert world.update() == ()
        assert seen()
        process.communicate("")
