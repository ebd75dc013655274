import re
import time
from pathlib import Path

import pytest

from os_update_agent.model.errors import AgentError, CommandFailed
from os_update_agent.node import reboot
from os_update_agent.node.boot import boot_id
from os_update_agent.node.reboot import has_replaced_code, newest_kernel, parse_needrestart, unit_of

# The example of needrestart's README.batch.md.
NEEDRESTART = """\
NEEDRESTART-VER: 2.1
NEEDRESTART-KCUR: 3.19.3-tl1+
NEEDRESTART-KEXP: 3.19.3-tl1+
NEEDRESTART-KSTA: 1
NEEDRESTART-SVC: systemd-machined.service
NEEDRESTART-SVC: systemd-journald.service
NEEDRESTART-CONT: LXC web1
NEEDRESTART-SESS: metabase @ user manager service
NEEDRESTART-SESS: root @ session #28017
"""
# needrestart 3.6-4+deb12u4 -b -r l, on a machine where nothing is replaced.
NOTHING_REPLACED = """\
NEEDRESTART-VER: 3.6
NEEDRESTART-KCUR: 6.18.44-fc-v595
NEEDRESTART-KSTA: 0
NEEDRESTART-UCSTA: 1
NEEDRESTART-UCCUR: 0x1000065
NEEDRESTART-UCEXP:\x20
"""

MAPS = """\
55619da41000-55619da47000 r-xp 00002000 fe:00 260386                     /usr/sbin/sshd
5561b9522000-5561b9543000 rw-p 00000000 00:00 0                          [heap]
7f6cc1a28000-7f6cc1b7d000 r-xp 00028000 fe:00 329706                     {path}
7ffd2b5f3000-7ffd2b5f5000 r-xp 00000000 00:00 0                          [vdso]
"""


def test_the_services_of_needrestart_are_its_svc_lines() -> None:
    assert parse_needrestart(NEEDRESTART) == ("systemd-journald.service", "systemd-machined.service")


def test_needrestart_may_find_nothing() -> None:
    assert parse_needrestart(NOTHING_REPLACED) == ()


@pytest.mark.parametrize("text", ["", "Scanning processes...\n", "NEEDRESTART-SVC: cron.service\n"])
def test_an_answer_that_is_not_needrestarts_is_no_answer(text: str) -> None:
    with pytest.raises(CommandFailed):
        parse_needrestart(text)


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/system.slice/docker.service/payload\n", "docker.service"),
        (
            "12:pids:/x.service\n1:name=systemd:/system.slice/cron.service\n0::/system.slice/cron.service\n",
            "cron.service",
        ),
        ("9:name=systemd:/\n4:memory:/process_api/5423\n0::/\n", None),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/gpg-agent.service\n", None),
        ("0::/system.slice/docker-0123abcd.scope\n", None),
        ("0::/init.scope\n", None),
        ("", None),
    ],
)
def test_a_process_belongs_to_the_outermost_system_service(cgroup: str, unit: str) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)",
        "/lib/x86_64-linux-gnu/libc-2.31.so (deleted)",
        "/lib64/ld-2.31.so (deleted)",
        "/bin/dash (deleted)",
        "/sbin/agetty (deleted)",
        "/opt/my app/bin/server (deleted)",
        "/usr/bin/python3.11;65a1b2c3 (deleted)",
    ],
)
def test_code_that_is_no_longer_on_the_disk_is_replaced_code(path: str) -> None:
    assert has_replaced_code(MAPS.format(path=path))


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/tmp/ffi9xX2 (deleted)",
        "/dev/zero (deleted)",
        "/memfd:jit (deleted)",
        "/SYSV00000000 (deleted)",
        "/home/me/usr/lib/a.so (deleted)",
        "/usrlocal/a.so (deleted)",
        "/run/user/0/x (deleted)",
    ],
)
def test_other_mappings_are_not(path: str) -> None:
    assert not has_replaced_code(MAPS.format(path=path))


def test_a_deleted_file_that_is_only_data_is_no_code() -> None:
    assert not has_replaced_code(
        "7f5dd9e000-7f5ddf5000 r--p 00000000 fe:00 329635   /usr/lib/locale/locale-archive (deleted)\n"
    )


@pytest.mark.parametrize(
    ("running", "names", "newest"),
    [
        ("6.1.0-9-amd64", ["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"], "6.1.0-10-amd64"),
        ("6.1.0-10-amd64", ["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"], "6.1.0-10-amd64"),
        ("6.1.0-37-amd64", ["vmlinuz-6.1.0-37-amd64", "vmlinuz-6.12.38+deb13-amd64"], "6.12.38+deb13-amd64"),
        ("6.1.0-9-amd64", ["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-rt-amd64"], "6.1.0-9-amd64"),
        ("6.1.0-9-cloud-amd64", ["vmlinuz-6.1.0-10-cloud-amd64", "vmlinuz-6.5.0-1-amd64"], "6.1.0-10-cloud-amd64"),
        (
            "6.1.0-9-amd64",
            ["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64.old", "vmlinuz-6.1.0-10-amd64.dpkg-bak"],
            "6.1.0-9-amd64",
        ),
        (
            "5.14.0-362.el9_3.x86_64",
            [
                "vmlinuz-0-rescue-0123456789abcdef0123456789abcdef",
                "vmlinuz-5.14.0-362.el9_3.x86_64",
                "vmlinuz-5.14.0-427.13.1.el9_4.x86_64",
                "vmlinuz-5.14.0-999.el9_4.x86_64+debug",
            ],
            "5.14.0-427.13.1.el9_4.x86_64",
        ),
        # The first kernel of a release, and its errata.
        (
            "4.18.0-553.16.1.el8_10.x86_64",
            ["vmlinuz-4.18.0-553.el8_10.x86_64", "vmlinuz-4.18.0-553.16.1.el8_10.x86_64"],
            "4.18.0-553.16.1.el8_10.x86_64",
        ),
        (
            "5.14.0-570.el9",
            ["vmlinuz-5.14.0-570.el9", "vmlinuz-5.14.0-570.12.1.el9_6"],
            "5.14.0-570.12.1.el9_6",
        ),
        (
            "5.15.0-91-generic",
            ["vmlinuz-5.15.0-92-generic", "vmlinuz", "vmlinuz.old", "initrd.img-9"],
            "5.15.0-92-generic",
        ),
        ("6.6.0-custom", ["vmlinuz-6.1.0-9-amd64"], None),
        ("6.6.0", [], None),
    ],
)
def test_the_newest_kernel_is_the_newest_of_the_running_flavour(running: str, names: "list[str]", newest: str) -> None:
    assert newest_kernel(names, running) == newest


def test_nothing_asks_for_a_reboot_of_a_fresh_root(tmp_path: Path) -> None:
    assert reboot.reboot_reasons(tmp_path) == ()


def test_a_package_may_ask_for_a_reboot(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/reboot-required").write_text("*** System restart required ***\n", encoding="utf-8")
    assert reboot.reboot_reasons(tmp_path) == ("/run/reboot-required asks for it",)
    (tmp_path / "run/reboot-required.pkgs").write_text("libc6\nlinux-image-6.1.0-18-amd64\nlibc6\n", encoding="utf-8")
    assert reboot.reboot_reasons(tmp_path) == (
        "package libc6 asks for it",
        "package linux-image-6.1.0-18-amd64 asks for it",
    )


def test_another_root_has_no_running_services(tmp_path: Path) -> None:
    assert reboot.stale_services(tmp_path) == ()


def test_what_cannot_be_read_of_a_process_is_left_out(tmp_path: Path) -> None:
    replaced = MAPS.format(path="/usr/lib/libx.so (deleted)")
    for pid, cgroup in (
        ("10", "0::/system.slice/b.service\n"),
        ("11", "0::/system.slice/a.service\n"),
        ("12", "0::/\n"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "maps").write_text(replaced, encoding="utf-8")
        (tmp_path / pid / "cgroup").write_text(cgroup, encoding="utf-8")
    (tmp_path / "13").mkdir()
    (tmp_path / "14" / "maps").mkdir(parents=True)
    assert reboot.replaced_in(tmp_path) == ("a.service", "b.service")


def test_this_boot_has_an_id_that_does_not_change() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}/[0-9]+", boot_id())
    assert boot_id() == boot_id()


def test_a_container_that_is_booted_again_has_another_boot_id_under_the_same_kernel(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("68c97fbe-e752-4cfc-a202-4c8af197d157\n", encoding="ascii")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").write_text(
        "1 (an (odd) init) S 0 1 1 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 1 0 4711 2 3\n", encoding="ascii"
    )
    assert boot_id(tmp_path) == "68c97fbe-e752-4cfc-a202-4c8af197d157/4711"
    (tmp_path / "1/stat").unlink()
    assert boot_id(tmp_path) == "68c97fbe-e752-4cfc-a202-4c8af197d157/?"
    with pytest.raises(AgentError, match="mount /proc"):
        boot_id(tmp_path / "missing")


@pytest.mark.parametrize("init", ["systemd", "process_api"])
def test_a_systemd_that_does_not_live_in_our_root_is_not_asked_for_a_reboot(tmp_path: Path, init: str) -> None:
    """The unit tests may start no process: had systemctl been asked, this test would fail."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1/comm").write_text(f"{init}\n", encoding="ascii")
    (tmp_path / "1/root").symlink_to("/" if init != "systemd" else tmp_path)
    assert "not rebooted" in reboot.ask_for_reboot("systemctl", tmp_path)


def test_a_machine_was_started_when_its_first_process_was(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1700000000\nprocesses 1\n", encoding="ascii")
    assert reboot.boot_time(tmp_path) == 1700000000
    (tmp_path / "1/stat").write_text(
        "1 (an (odd) name) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 25000 1 1\n", encoding="ascii"
    )
    assert 1700000000 < reboot.boot_time(tmp_path) <= 1700000250
    assert 0 < reboot.boot_time() < time.time()
