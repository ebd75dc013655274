"""What new kernels take in /boot."""

from pathlib import Path

from os_update_agent.model.packages import NewKernels
from os_update_agent.packages.disk_space import boot_need
from os_update_agent.packages.rpm.parse import parse_new_kernels


def test_a_kernel_counts_once_wherever_its_packages_have_it() -> None:
    core = "/boot/vmlinuz-6.1.2\t0\n/boot/System.map-6.1.2\t7\n"
    core += "/boot/initramfs-6.1.2.img\t50\n/lib/modules/6.1.2/vmlinuz\t10\n"
    modules = "/lib/modules/6.1.2/kernel/fs/ext4.ko\t99\n/usr/bin/turbostat\t99\n"
    # The one goes to /boot and says so, the other one is copied there behind its package's back.
    assert parse_new_kernels(core + modules) == NewKernels(1, 17, 50)
    assert parse_new_kernels(core + modules + "/usr/lib/modules/6.1.2+debug/vmlinuz\t20\n") == NewKernels(2, 37, 50)
    assert parse_new_kernels(modules) == NewKernels(0, 0)


def test_an_initrd_is_taken_to_be_as_large_as_the_largest_that_an_update_makes(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    new = NewKernels(2, 17, 50)
    assert boot_need(tmp_path, new) == 117
    (boot / "initramfs-0-rescue-f3b1.img").write_bytes(b"r" * 1000)
    assert boot_need(tmp_path, new) == 117
    (boot / "initramfs-6.1.1.img").write_bytes(b"i" * 30)
    (boot / "initramfs-6.1.0.img").write_bytes(b"i" * 20)
    assert boot_need(tmp_path, new) == 77
    # Nothing comes into /boot: the package has other files, or only requires the one that has.
    assert boot_need(tmp_path, NewKernels(1, 0)) == 0
