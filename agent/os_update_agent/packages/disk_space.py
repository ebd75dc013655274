"""Is there room for a transaction? apt checks the space for its downloads only, not for what it unpacks."""

import os
from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

from os_update_agent.model.errors import PackageError
from os_update_agent.model.package_files import NewKernels
from os_update_agent.model.packages import Change, Identity
from os_update_agent.text.phrases import amount

KIB = 1024
# dpkg's own journal, logs and what maintainer scripts write.
MARGIN = 8 * 1024 * KIB


def growth(changes: Sequence[Change], new: Mapping[Identity, int], old: Mapping[Identity, int]) -> int:
    """Bytes that the changes add on the disk; ``new`` and ``old`` are KiB by (name, architecture, version)."""
    total = 0
    for change in changes:
        if change.after is not None:
            total += new.get(change.after.identity, 0)
        if change.before is not None:
            total -= old.get(change.before.identity, 0)
    return total * KIB


def peak(changes: Sequence[Change], new: Mapping[Identity, int], old: Mapping[Identity, int]) -> int:
    """Bytes needed while it runs: dpkg unpacks each package beside the old one before it lets that go."""
    largest = max((new.get(change.after.identity, 0) for change in changes if change.after), default=0)
    return max(0, growth(changes, new, old)) + largest * KIB + MARGIN


def check_space(root: Path, needed: int, boot: int, ours: Path, *, coming: int = 0) -> None:
    """Compare with what is free in each file system that the packages fill. ``boot`` counts where /boot is one of its
    own; ``ours`` is where the ledger has to be written while it runs, and where ``coming`` bytes of package files are
    still to be fetched to before.

    Raises PackageError that names the file system, what is needed and what is free.
    """
    usr, var, boot_path = root / "usr", root / "var", root / "boot"
    needs: List[Tuple[Path, int]] = [(usr if usr.exists() else root, needed)]
    if _is_own(root, usr):
        needs.append((root, MARGIN))
    if _is_own(var, root) and _is_own(var, usr):
        needs.append((var, MARGIN))
    if _is_own(ours, usr) and _is_own(ours, var):
        needs.append((ours, MARGIN))
    if boot and _is_own(boot_path, root):
        needs.append((boot_path, boot))
    for path, size in needs:
        free, fetched = free_bytes(path), 0 if _is_own(path, ours) else coming
        if size + fetched > free:
            what = "for the transaction and the package files" if fetched else "for the transaction"
            raise PackageError(
                f"not enough space in {path}: {amount(size + fetched)} are needed {what}, {amount(free)} are free"
            )


def boot_need(root: Path, new: NewKernels) -> int:
    """What new kernels take in /boot: their own files, and an initrd each as large as the largest that is there.

    A rescue image has the modules of every machine in it, and no update makes another one.
    """
    if not new.boot_bytes:
        return 0
    initrds = [
        path.stat().st_size for path in (root / "boot").glob("initr*") if path.is_file() and "rescue" not in path.name
    ]
    return new.boot_bytes + new.number * max(initrds, default=new.initrd_bytes)


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there: before the first run there is no archive yet."""
    return next(place for place in (path, *path.parents) if place.exists())


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _is_own(path: Path, other: Path) -> bool:
    try:
        return path.stat().st_dev != other.stat().st_dev
    except OSError:
        return False
