"""The image as it lies there: what is in it, with which modes, what is not in it, and how much of it is the
element's.
"""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List

from image.build import CANARY, CHECKOUT, RELEASE, Built, work
from os_update_agent.install.layout import HOME, PROGRAMS

MEGABYTE = 1024 * 1024
BUDGET = 60 * MEGABYTE


def mode(image: Built, path: str) -> str:
    found = (image.root / path.lstrip("/")).lstat()
    return f"{stat.S_IMODE(found.st_mode):04o} {found.st_uid}:{found.st_gid}"


def enabled(image: Built, unit: str) -> bool:
    return subprocess.run(["systemctl", f"--root={image.root}", "is-enabled", "--quiet", unit]).returncode == 0


def test_the_test_element_has_passed(image: Built) -> None:
    assert "hook-works: PASS" in image.log.read_text(encoding="utf-8", errors="replace")


def test_the_hook_and_the_command_are_where_they_are_looked_for(image: Built) -> None:
    assert os.readlink(image.root / "usr/libexec/heat-config/hooks/package-update") == f"{PROGRAMS}/package-update"
    assert os.readlink(image.root / "usr/local/bin/os-update-agent") == f"{PROGRAMS}/os-update-agent"
    for program in ("os-collect-config", "os-refresh-config", "os-apply-config", "dib-run-parts", "heat-config-notify"):
        assert subprocess.run(["chroot", image.root, "test", "-x", f"/usr/local/bin/{program}"]).returncode == 0, (
            program
        )


def test_no_virtual_environment_of_the_agent_is_left_and_that_of_the_chain_keeps_its_python(image: Built) -> None:
    assert not (image.root / "opt/os-update-agent").exists()
    program = subprocess.run(
        ["chroot", image.root, "readlink", "-f", "/usr/local/bin/os-update-agent"], capture_output=True, text=True
    ).stdout.strip()
    assert program.startswith(f"{HOME}/code/")
    assert (image.root / program.lstrip("/")).read_text().startswith("#!/usr/bin/python3 -I\n")
    python = os.readlink(image.root / "opt/os-config-agents/bin/python3")
    assert re.fullmatch(r"python3\.\d+", python)
    assert os.readlink(image.root / "opt/os-config-agents/bin" / python) == f"/usr/bin/{python}"
    states = (image.root / "var/lib/apt/extended_states").read_text()
    assert f"Package: {python}\nArchitecture: amd64\nAuto-Installed: 1\n" not in states
    assert f"Package: {python}-minimal\nArchitecture: amd64\nAuto-Installed: 1\n" in states, "the file was read right"


def test_the_modes_are_those_that_keep_secrets(image: Built) -> None:
    assert mode(image, "/var/lib/os-update-agent") == mode(image, "/var/log/os-update-agent") == "0700 0:0"
    for steps in ("pre-update.d", "post-update.d", "health.d"):
        assert mode(image, f"/etc/os-update-agent/{steps}") == "0755 0:0"
    templates = "usr/libexec/os-apply-config/templates"
    for template in ("var/run/heat-config/heat-config", "etc/os-collect-config.conf", "etc/os-update-agent/agent.conf"):
        assert (image.root / templates / template).is_file()
        assert "mode: 0600" in (image.root / templates / f"{template}.oac").read_text()


def test_nothing_of_ours_can_be_written_by_others(image: Built) -> None:
    places = [
        "/opt/os-config-agents",
        "/usr/libexec",
        "/usr/local",
        "/etc/os-update-agent",
        "/etc/systemd/system",
    ]
    open_ones = [
        path
        for place in places
        for path in (image.root / place.lstrip("/")).rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & 0o022 or path.stat().st_uid != 0)
    ]
    # diskimage-builder's own file, which its group, root, may write.
    assert [path for path in open_ones if path.name != "dib-init-system"] == []


def test_os_collect_config_has_a_command_from_the_first_boot_on(image: Built) -> None:
    """Without one it prints the metadata, and what is secret in them, into the journal, and no deployment is ever
    served.
    """
    assert (image.root / "etc/os-collect-config.conf").read_text() == "[DEFAULT]\ncommand = os-refresh-config\n"
    assert mode(image, "/etc/os-collect-config.conf") == "0600 0:0"


def test_the_services_start_at_boot(image: Built) -> None:
    assert enabled(image, "os-collect-config.service")
    assert enabled(image, "os-update-agent-resume.service")
    assert enabled(image, "os-update-agent-resume.timer")


def test_the_upstream_scripts_are_upstreams(image: Built) -> None:
    """Taken from heat-agents' release at build time, not copied into the project."""
    release = next(work().glob("heat_agents-*/heat-config"))
    for name in ("20-os-apply-config", "55-heat-config"):
        script = image.root / "usr/libexec/os-refresh-config/configure.d" / name
        assert script.read_bytes() == (release / "os-refresh-config/configure.d" / name).read_bytes()


def text_files(image: Built) -> Iterator[Path]:
    """What a build could leave something in; the distribution's own files come from its packages."""
    for top in ("etc", "root", "home", "opt", "srv", "tmp", "usr/local", "usr/libexec", "var"):
        for path in (image.root / top).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 50 * MEGABYTE:
                yield path


def traces() -> Dict[str, bytes]:
    """What belongs to the machine that has built the image, or to its user."""
    found = {
        "the builder's secret": CANARY.encode(),
        "the path of the checkout": f"{CHECKOUT}/".encode(),
        "the path of the build": f"{work()}/".encode(),
    }
    environment = [
        f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_") and "://" in value
    ]
    apt = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
    ).stdout.split()
    pip = subprocess.run(["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    for url in [*environment, *apt, *re.findall(r"[a-z]+://\S+", pip)]:
        host = re.sub(r".*://(?:[^@/]*@)?([^/:'\"]*).*", r"\1", url)
        # The distribution's own addresses are what the image is to have.
        if "." in host and not host.endswith("debian.org") and not host.endswith("pypi.org"):
            found[f"the host's mirror {host}"] = host.encode()
    return found


def test_nothing_of_the_build_host_is_left(image: Built) -> None:
    wanted = traces()
    found: List[str] = []
    for path in text_files(image):
        content = path.read_bytes()
        found += [f"{what} in /{path.relative_to(image.root)}" for what, text in wanted.items() if text in content]
    assert found == []
    for leftover in (
        "etc/pip.conf",
        "root/.config/pip",
        "root/.cache/pip",
        "root/.pip",
        "etc/dib-manifests/dib_environment",
    ):
        assert not (image.root / leftover).exists()


def test_the_name_servers_are_not_those_of_the_build_host(image: Built) -> None:
    resolv = image.root / "etc/resolv.conf"
    assert not resolv.exists() or resolv.read_bytes() != Path("/etc/resolv.conf").read_bytes()


def test_apt_asks_the_distribution(image: Built) -> None:
    text = "".join(path.read_text() for path in sorted((image.root / "etc/apt/sources.list.d").glob("*.list")))
    lines = [line for line in text.splitlines() if line.strip()]
    assert {line.split()[2] for line in lines} == {RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security"}
    assert all(".debian.org/" in line for line in lines)


def test_the_element_stays_below_its_budget(image: Built) -> None:
    added = {path: size for path, size in image.after.items() if image.before.get(path) != size}
    query = "--showformat=${Package} ${Installed-Size}\n"
    packages = dict(line.split() for line in subprocess.run(
        ["dpkg-query", f"--admindir={image.root}/var/lib/dpkg", "--show", query, "logrotate", "libpopt0"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines())  # fmt: skip
    total = sum(added.values()) + 1024 * sum(map(int, packages.values()))
    print(f"the element adds {len(added)} files, {total / MEGABYTE:.1f} MB")
    assert any(path.startswith(f"{HOME}/") for path in added), "the measure is right"
    assert total <= BUDGET
