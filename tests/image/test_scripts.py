"""The scripts of the elements that run outside of the chroot, by themselves."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from image.build import CHECKOUT, ELEMENTS

# As diskimage-builder hands it to its scripts.
ARRAY = f"get_image_element_array() {{ echo '[heat-config-package-update]={ELEMENTS}/heat-config-package-update '; }}\n"


def run(script: str, environment: Dict[str, str], *, ok: bool = True) -> str:
    """Run the script of an element with nothing but its variables and the functions of diskimage-builder; what it
    says.
    """
    text = f'{ARRAY}export -f get_image_element_array\nexec "$0"'
    path = f"{CHECKOUT}/tests/image/standins:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", text, str(ELEMENTS / script)], env={"PATH": path, **environment}, capture_output=True, text=True
    )
    assert (done.returncode == 0) == ok, f"{script} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


SOURCE = "heat-config-package-update/extra-data.d/60-heat-config-package-update"
WHEELS = "os-config-agents/extra-data.d/50-os-config-agents"


def test_without_wheels_the_checkout_of_the_element_is_the_source(tmp_path: Path) -> None:
    run(SOURCE, {"TMP_HOOKS_PATH": str(tmp_path)})
    taken = tmp_path / "os-update-agent"
    wheels = tmp_path / "built"
    # What was taken is enough to build from.
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(taken)]
    subprocess.run(argv, check=True, capture_output=True)
    assert [path.name.split("-")[0] for path in wheels.iterdir()] == ["os_update_agent"]


def test_the_source_can_be_named(tmp_path: Path) -> None:
    said = run(SOURCE, {"TMP_HOOKS_PATH": str(tmp_path), "DIB_OS_UPDATE_AGENT_SOURCE": str(tmp_path)}, ok=False)
    assert f"nor a source tree in {tmp_path}" in said


def test_a_wheel_of_the_agent_makes_the_source_needless(tmp_path: Path) -> None:
    (tmp_path / "os_update_agent-0.1.0-py3-none-any.whl").touch()
    run(SOURCE, {"TMP_HOOKS_PATH": str(tmp_path / "hooks"), "DIB_OS_CONFIG_AGENTS_WHEELS": str(tmp_path)})
    assert not (tmp_path / "hooks").exists()


def test_the_wheels_of_the_builder_are_taken(tmp_path: Path) -> None:
    (tmp_path / "some.whl").touch()
    run(WHEELS, {"TMP_HOOKS_PATH": str(tmp_path / "hooks"), "DIB_OS_CONFIG_AGENTS_WHEELS": str(tmp_path)})
    assert (tmp_path / "hooks/wheels/some.whl").is_file()


def test_a_directory_without_wheels_is_refused_by_name(tmp_path: Path) -> None:
    said = run(
        WHEELS, {"TMP_HOOKS_PATH": str(tmp_path / "hooks"), "DIB_OS_CONFIG_AGENTS_WHEELS": str(tmp_path)}, ok=False
    )
    assert f"DIB_OS_CONFIG_AGENTS_WHEELS is {tmp_path}: it must name a directory that holds wheels" in said


@pytest.fixture
def target(tmp_path: Path) -> Path:
    for name in ("etc/dib-manifests", "etc/apt/sources.list.d", "var/lib/apt/lists", "var/cache/apt"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("dib_environment", "dib_arguments", "dib-manifest-dpkg-image"):
        (tmp_path / "etc/dib-manifests" / name).write_text("text")
    (tmp_path / "etc/apt/sources.list.d/default.list").write_text("deb http://mirror.example/debian trixie main\n")
    return tmp_path


NO_HOST = "no-build-host/cleanup.d/90-no-build-host"


def test_the_traces_of_the_host_go_and_nothing_else(target: Path) -> None:
    (target / "etc/resolv.conf.ORIG").write_bytes(Path("/etc/resolv.conf").read_bytes())
    sources = (
        "default:deb http://archive.example/debian trixie main\nsecurity:deb http://security.example/ trixie-security"
        " main\n"
    )
    run(NO_HOST, {"TARGET_ROOT": str(target), "DIB_NO_BUILD_HOST_APT_SOURCES": sources})
    assert [path.name for path in (target / "etc/dib-manifests").iterdir()] == ["dib-manifest-dpkg-image"]
    assert not (target / "etc/resolv.conf.ORIG").exists()
    lists = {path.name: path.read_text() for path in (target / "etc/apt/sources.list.d").iterdir()}
    assert lists == {
        "default.list": "deb http://archive.example/debian trixie main\n",
        "security.list": "deb http://security.example/ trixie-security main\n",
    }


def test_an_images_own_name_servers_and_sources_stay(target: Path) -> None:
    (target / "etc/resolv.conf.ORIG").write_text("nameserver 192.0.2.53\n")
    run(NO_HOST, {"TARGET_ROOT": str(target)})
    assert (target / "etc/resolv.conf.ORIG").read_text() == "nameserver 192.0.2.53\n"
    assert "mirror.example" in (target / "etc/apt/sources.list.d/default.list").read_text()


@pytest.mark.parametrize(
    ("option", "text"),
    [("-rjessie", "the release is 'jessie'; it must be bookworm (Debian 12) or trixie"), ("-z", "elements/build [-r")],
)
def test_nonsense_is_refused_before_anything_is_made(tmp_path: Path, option: str, text: str) -> None:
    done = subprocess.run(
        [str(ELEMENTS / "build"), option, "-w", str(tmp_path / "work")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and text in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_build_in_one_directory_waits_and_says_so(tmp_path: Path) -> None:
    with (tmp_path / "build.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        argv = [str(ELEMENTS / "build"), "-t", "tar", "-w", str(tmp_path), "-o", str(tmp_path / "image")]
        waiting = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)
        try:
            assert waiting.stderr is not None
            assert (
                waiting.stderr.readline()
                == f"elements/build: another build is at work in {tmp_path}; waiting for its end\n"
            )
            assert [path.name for path in tmp_path.iterdir()] == ["build.lock"]
        finally:
            os.killpg(waiting.pid, signal.SIGKILL)
            waiting.communicate()
