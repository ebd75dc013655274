"""Which nodes are recognized as ones whose packages are not the agent's to change."""

from pathlib import Path
from typing import Any, Dict

import pytest

from os_update_agent.node import kind
from os_update_agent.node.kind import unsuitable

OVERLAY = "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/x,upperdir=/var/lib/containers/storage/overlay/a/diff\n"


def node(tmp_path: Path, *, pid_1: str = "systemd", mounts: str = "", is_own: bool = True, **files: str) -> Any:
    """A root and what its /proc shows; the names of ``files`` have __ for a slash and _DOT_ for a dot."""
    root, proc = tmp_path / "root", tmp_path / "proc"
    for directory in (root / "usr", root / "etc", proc / "1", proc / "self"):
        directory.mkdir(parents=True)
    (proc / "1/root").symlink_to(root if is_own else tmp_path)
    (proc / "1/comm").write_text(f"{pid_1.rpartition('/')[2]}\n", encoding="utf-8")
    (proc / "1/cmdline").write_text(f"{pid_1}\0", encoding="utf-8")
    (proc / "1/environ").write_text(files.pop("environ", ""), encoding="utf-8")
    (proc / "self/mountinfo").write_text(mounts.replace(" / rw", f" {root} rw"), encoding="utf-8")
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root, proc


@pytest.mark.parametrize(
    "files, said",
    [
        ({"run__ostree-booted": "", "usr__bin__rpm-ostree": ""}, "(ostree): its packages are changed with 'rpm-ostree"),
        (
            {"run__ostree-booted": "", "usr__bin__bootc": ""},
            "(ostree): its packages are changed with 'bootc upgrade' and",
        ),
        ({"run__ostree-booted": ""}, "'ostree admin upgrade'"),
        ({"usr__lib__os-release": 'NAME="Ubuntu Core"\nID=ubuntu-core\n'}, "'snap refresh'"),
        ({"etc__os-release": "ID='nixos'\n"}, "'nixos-rebuild switch --upgrade'"),
        ({"etc__os-release": 'ID="opensuse-microos"\nID_LIKE="suse"\n'}, "'transactional-update up'"),
        ({"etc__os-release": "ID=flatcar\n"}, "'update_engine_client -update'"),
    ],
)
def test_a_system_that_gets_its_packages_with_its_image_is_recognized(
    tmp_path: Path, files: Dict[str, Any], said: str
) -> None:
    why = unsuitable(*node(tmp_path, **files))
    assert why.startswith("this node is an image-based system") and said in why
    assert why.endswith("not by os-update-agent")


def test_a_bootc_system_without_ostree_is_known_by_the_mount_of_its_root(tmp_path: Path) -> None:
    mounts = "1 0 0:1 / / rw - overlay composefs:4a1f ro,lowerdir=/x\n"
    assert "image-based system (bootc)" in unsuitable(*node(tmp_path, mounts=mounts, usr__bin__bootc=""))


@pytest.mark.parametrize(
    "pid_1, files",
    [
        ("start-heat-container-agent", {"run___DOT_containerenv": ""}),
        ("os-collect-config", {"_DOT_dockerenv": ""}),
        ("/usr/bin/tini", {"environ": "HOME=/\0container=oci\0"}),
        ("sh", {"environ": "KUBERNETES_SERVICE_HOST=10.0.0.1\0"}),
        ("sh", {"mounts": OVERLAY}),
        # podman run --init
        ("/dev/init", {"run___DOT_containerenv": ""}),
        # The container sees the processes of its host.
        ("systemd", {"run___DOT_containerenv": "", "is_own": False}),
    ],
)
def test_an_application_container_is_not_its_host(tmp_path: Path, pid_1: str, files: Dict[str, Any]) -> None:
    assert "an application container (" in unsuitable(*node(tmp_path, pid_1=pid_1, **files))


@pytest.mark.parametrize(
    "pid_1, files",
    [
        # LXC and systemd-nspawn --boot; a container of docker or podman that has booted a system.
        ("/sbin/init", {"environ": "container=lxc\0"}),
        ("systemd", {"environ": "container=systemd-nspawn\0", "run__systemd__container": "systemd-nspawn\n"}),
        ("/sbin/init", {"_DOT_dockerenv": "", "mounts": OVERLAY}),
        # A machine without systemd, and one that was made from a container's files.
        ("runit", {"_DOT_dockerenv": ""}),
        ("busybox", {}),
        # A private root: nobody's container.
        ("sh", {"is_own": False}),
        ("systemd", {"etc__os-release": "ID=debian\n"}),
        # A container's mark that the mounts of the host show.
        ("systemd", {"run__systemd__container": "podman\n"}),
    ],
)
def test_a_machine_and_a_system_container_are_nodes(tmp_path: Path, pid_1: str, files: Dict[str, Any]) -> None:
    assert unsuitable(*node(tmp_path, pid_1=pid_1, **files)) == ""


def test_a_chroot_in_a_container_has_the_marks_of_that_container_only_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, proc = node(tmp_path, pid_1="sh", is_own=False, _DOT_dockerenv="")
    assert unsuitable(root, proc) != ""
    # What is "/" for the agent.
    monkeypatch.setattr(kind, "HOST", root)
    assert unsuitable(root, proc) == ""


def test_extensions_that_are_mounted_over_usr_hide_it(tmp_path: Path) -> None:
    root, proc = node(tmp_path)
    mount = f"1 0 0:1 / {root}/usr ro - overlay sysext ro,lowerdir=/x\n"
    (proc / "self/mountinfo").write_text(mount, encoding="utf-8")
    assert "'systemd-sysext unmerge'" in unsuitable(root, proc)


def test_a_read_only_directory_is_named_unless_the_package_manager_makes_it_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, proc = node(tmp_path)
    monkeypatch.setattr(kind, "_is_read_only", lambda path: path == root / "usr")
    assert unsuitable(root, proc).startswith(f"{root}/usr is mounted read-only, so packages cannot be changed")
    hook = root / "etc/apt/apt.conf.d/50-usr"
    hook.parent.mkdir(parents=True)
    hook.write_text('// DPkg::Pre-Invoke { "mount -o remount,rw /usr"; };\n', encoding="utf-8")
    assert unsuitable(root, proc) != ""
    hook.write_text('DPkg {\n Pre-Invoke { "mount -o remount,rw /usr"; };\n};\n', encoding="utf-8")
    assert unsuitable(root, proc) == ""
    hook.unlink()
    (root / "usr/sbin").mkdir()
    (root / "usr/sbin/transactional-update").touch()
    assert "'transactional-update up'" in unsuitable(root, proc)
