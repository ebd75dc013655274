"""What rpm prints, as values."""

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Package
from os_update_agent.packages.rpm.parse import (
    parse_installed,
    parse_installed_since,
    parse_new_kernels,
    parse_sizes,
)


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
    assert parse_installed_since(text, 1700000100.5, names) == ("kernel", "systemd")
    assert parse_installed_since("", 0, names) == ()


def test_a_suggestion_counts_for_its_very_version() -> None:
    text = "tool\tx86_64\t1\t2.0-1\t1700000500\nlib\tx86_64\t0\t2.0-1\t1700000500\n"
    suggested = {("tool", "x86_64", "1:2.0-1"), ("lib", "x86_64", "1:2.0-1"), ("lib", "i686", "2.0-1")}
    assert parse_installed_since(text, 1700000100, (), suggested) == ("tool",)
    assert parse_installed_since(text, 1700000600, (), suggested) == ()


def test_a_kernel_counts_once_wherever_its_packages_have_it() -> None:
    core = "/boot/vmlinuz-6.1.2\t0\n/boot/System.map-6.1.2\t7\n"
    core += "/boot/initramfs-6.1.2.img\t50\n/lib/modules/6.1.2/vmlinuz\t10\n"
    modules = "/lib/modules/6.1.2/kernel/fs/ext4.ko\t99\n/usr/bin/turbostat\t99\n"
    # The one goes to /boot and says so, the other one is copied there behind its package's back.
    assert parse_new_kernels(core + modules) == NewKernels(1, 17, 50)
    assert parse_new_kernels(core + modules + "/usr/lib/modules/6.1.2+debug/vmlinuz\t20\n") == NewKernels(2, 37, 50)
    assert parse_new_kernels(modules) == NewKernels(0, 0)


def test_a_list_of_packages_is_read_with_marks_and_without_keys() -> None:
    text = (
        "tool\tx86_64\t1\t2.0-1\t2049\tfe\tabc\n"
        "gpg-pubkey\t(none)\t0\t1-1\t0\t(none)\t(none)\n"
        "lib\tnoarch\t0\t1.0-1\t0\t(none)\t(none)\n"
    )
    tool = Package("tool", "x86_64", "1:2.0-1", mark="auto", digest="sha256header:fe,sigmd5:abc")
    lib = Package("lib", "noarch", "1.0-1", mark="manual")
    marks = {("tool", "x86_64"): "auto"}
    # The same bytes twice are one package.
    assert parse_installed(text * 2, lambda *key: marks.get(key, "manual")) == (lib, tool)
    assert parse_sizes(text)[tool.identity] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no package at all"),
        ("gpg-pubkey\t(none)\t0\t1-1\t0\t(none)\t(none)\n", "lists no package at all"),
        ("tool\n", "'tool'"),
    ],
)
def test_a_list_that_cannot_be_true_is_an_error(text: str, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        parse_installed(text, lambda *_: "manual")
