"""The scripts of the elements where the distribution is an EL, as far as that goes without one.

The root is that of the built image with EL's os-release and without apt and dpkg: the programs are Debian's, the
decisions are EL's. What diskimage-builder would do is done by its own programs. No image of an EL was ever built here:
there is no repository of one.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator

import diskimage_builder
import pytest

from image.build import CHECKOUT, ELEMENTS, RELEASE, Built, work
from os_update_agent.install.layout import PROGRAMS

DIB = Path(diskimage_builder.__file__).parent
OS_RELEASE = 'NAME="CentOS Stream"\nVERSION="9"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"\n'
# What the image has of Debian and of the elements: an EL has neither before the build.
GONE = (
    *(
        "usr/bin/apt*",
        "usr/bin/dpkg*",
        "usr/sbin/dpkg*",
        "etc/apt",
        "etc/dpkg",
        "var/lib/dpkg",
        "var/lib/apt",
        "etc/debian_version",
    ),
    *("opt/os-*", "usr/libexec/os-*", "usr/libexec/heat-config", "usr/local/bin/*", "usr/local/share/man", "etc/os-*"),
    *(
        "etc/systemd/system/os-*",
        "etc/systemd/system/*.wants/os-*",
        "etc/logrotate.d/os-*",
        "etc/tmpfiles.d/os-*",
        "var/lib/os-*",
        "var/log/os-*",
    ),
)
# Run below the mounted root: what each line says is asserted by the tests.
QUESTIONS = {
    "version": "os-update-agent --version",
    "again": "os-update-agent install-hook",
    "plan": "os-update-agent plan 2>&1 || true",
    "enabled": (
        "systemctl --root=/ is-enabled os-collect-config.service os-update-agent-resume.service"
        " os-update-agent-resume.timer"
    ),
    "print": "os-apply-config --print-templates; os-refresh-config --print-base",
}


@dataclass(frozen=True)
class Root:
    """What the scripts have written, and what the programs have answered in there."""

    upper: Path
    said: Dict[str, str]


@pytest.fixture(scope="module")
def root(image: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    directory = tmp_path_factory.mktemp("el")
    hooks = _hooks(directory)
    for name in ("upper", "work", "disk", "said"):
        (directory / name).mkdir()
    environment = {
        **{
            "DISTRO_NAME": "centos",
            "DIB_RELEASE": "9-stream",
            "DIB_INIT_SYSTEM": "systemd",
            "DIB_PYTHON_VERSION": "3",
            "LANG": "C.UTF-8",
        },
        **{
            "DIB_OS_CONFIG_AGENTS_WHEELS": "given",
            "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
            "HOME": "/root",
        },
    }
    inside = f"chroot disk env -i {' '.join(f'{name}={value}' for name, value in environment.items())}"
    script = [
        "set -eu",
        f"mount -t overlay overlay -o lowerdir={image.root},upperdir=upper,workdir=work disk",
        f"(cd disk && rm -rf {' '.join(GONE)})",
        "cp os-release disk/usr/lib/os-release; rm -f disk/etc/os-release; cp os-release disk/etc/os-release",
        f"mkdir -p disk/tmp/in_target.d disk/proc; cp -R {hooks}/. disk/tmp/in_target.d; mount -t proc proc disk/proc",
        *(
            f"{inside} /tmp/in_target.d/dib-run-parts /tmp/in_target.d/{phase}.d"
            for phase in ("pre-install", "install")
        ),
        # To be found is all that it is asked for.
        "rm -rf disk/tmp/in_target.d; install -m 0755 /dev/null disk/usr/bin/dnf",
        *(f"{inside} sh -c '{question}' > said/{name}" for name, question in QUESTIONS.items()),
    ]
    (directory / "os-release").write_text(OS_RELEASE)
    argv = ["unshare", "--mount", "sh", "-c", "\n".join(script)]
    done = subprocess.run(
        argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:]
    yield Root(directory / "upper", {path.name: path.read_text() for path in (directory / "said").iterdir()})


def _hooks(directory: Path) -> Path:
    """What diskimage-builder brings into the chroot: the elements on top of each other, and what their scripts have
    added outside.
    """
    hooks = directory / "hooks"
    release = next(work().glob("heat_agents-*/heat-config"))
    for element in (
        DIB / "elements/install-bin",
        ELEMENTS / "os-config-agents",
        release,
        ELEMENTS / "heat-config-package-update",
    ):
        subprocess.run(["cp", "-R", f"{element}/.", str(hooks)], check=True)
    subprocess.run(["cp", str(DIB / "lib/dib-run-parts"), str(hooks)], check=True)
    array = (
        f"get_image_element_array() {{ echo '[heat-config-package-update]={ELEMENTS}/heat-config-package-update '; }}\n"
    )
    environment = {
        "PATH": f"{CHECKOUT}/tests/image/standins:{os.environ['PATH']}",
        "TMP_HOOKS_PATH": str(hooks),
        "DIB_OS_CONFIG_AGENTS_WHEELS": str(work() / f"wheels-{RELEASE}"),
    }
    for script in (
        "os-config-agents/extra-data.d/50-os-config-agents",
        "heat-config-package-update/extra-data.d/60-heat-config-package-update",
    ):
        text = f'{array}export -f get_image_element_array\nexec "$0"'
        subprocess.run(["bash", "-c", text, str(ELEMENTS / script)], env=environment, check=True, capture_output=True)
    return hooks


def test_everything_is_put_at_its_place(root: Root) -> None:
    lines = root.said["again"].splitlines()
    assert [line for line in lines if not line.startswith(("as it should be: ", "enabled: "))] == []
    assert len(lines) > 20
    assert os.readlink(root.upper / "usr/libexec/heat-config/hooks/package-update") == f"{PROGRAMS}/package-update"
    assert root.said["enabled"].split() == ["enabled"] * 3
    assert root.said["print"].split() == ["/usr/libexec/os-apply-config/templates", "/usr/libexec/os-refresh-config"]


def test_the_chain_and_its_first_configuration_are_there(root: Root) -> None:
    assert (root.upper / "etc/os-collect-config.conf").read_text() == "[DEFAULT]\ncommand = os-refresh-config\n"
    for script in (
        "configure.d/20-os-apply-config",
        "configure.d/55-heat-config",
        "pre-configure.d/10-os-update-agent-resume",
    ):
        assert os.access(root.upper / "usr/libexec/os-refresh-config" / script, os.X_OK)
    assert os.access(root.upper / "usr/local/bin/heat-config-notify", os.X_OK)


def test_the_agent_takes_the_node_for_what_it_is(root: Root) -> None:
    assert root.said["version"].startswith("os-update-agent ")
    assert "cannot start rpm" in root.said["plan"]
