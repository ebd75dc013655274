"""What new kernels take in /boot."""

from pathlib import Path

from os_update_agent.model.package_files import NewKernels
from os_update_agent.packages.disk_space import boot_need


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
