import time
from pathlib import Path

from os_update_agent.node.reboot import boot_time
from os_update_agent.packages.dnf.reboot import names_below
from os_update_agent.packages.rpm.parse import parse_installed_since as installed_since


def test_only_what_was_installed_later_counts_and_each_name_once() -> None:
    rows = (
        ("kernel", 1700000000),
        ("kernel", 1700000500),
        ("glibc", 1700000100),
        ("systemd", 1700000101),
        ("tool", 1700000500),
    )
    text = "package kernel-rt is not installed\n" + "".join(
        f"{name}\tx86_64\t0\t1.0-1\t{moment}\n" for name, moment in rows
    )
    names = {"kernel", "glibc", "systemd"}
    assert installed_since(text, 1700000100.5, names) == ("kernel", "systemd")
    assert installed_since("", 0, names) == ()


def test_a_suggestion_counts_for_its_very_version() -> None:
    text = "tool\tx86_64\t1\t2.0-1\t1700000500\nlib\tx86_64\t0\t2.0-1\t1700000500\n"
    suggested = {("tool", "x86_64", "1:2.0-1"), ("lib", "x86_64", "1:2.0-1"), ("lib", "i686", "2.0-1")}
    assert installed_since(text, 1700000100, (), suggested) == ("tool",)
    assert installed_since(text, 1700000600, (), suggested) == ()


def test_an_operator_adds_names_and_nothing_that_is_no_name(tmp_path: Path) -> None:
    directory = tmp_path / "etc/dnf/plugins/needs-restarting.d"
    directory.mkdir(parents=True)
    (directory / "a.conf").write_text("qemu-kvm \n# why\n--all\nglibc\n*\n", encoding="utf-8")
    (directory / "a.conf.rpmsave").write_text("old\n", encoding="utf-8")
    assert set(names_below(tmp_path)) - set(names_below(tmp_path / "other")) == {"qemu-kvm"}
    assert names_below(tmp_path).count("glibc") == 1


def test_a_machine_was_started_when_its_first_process_was(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1700000000\nprocesses 1\n", encoding="ascii")
    assert boot_time(tmp_path) == 1700000000
    (tmp_path / "1/stat").write_text(
        "1 (an (odd) name) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 25000 1 1\n", encoding="ascii"
    )
    assert 1700000000 < boot_time(tmp_path) <= 1700000250
    assert 0 < boot_time() < time.time()
