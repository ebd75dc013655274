"""Which boot of the machine this is."""

from pathlib import Path


def boot_id(proc: Path = Path("/proc")) -> str:
    """A name for the time since the machine was started: another one after each boot.

    The kernel's own name, and when PID 1 was started: a system container that is booted again keeps the kernel's.
    """
    kernel = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        # 1 (systemd) S 0 1 1 ...: the name may hold blanks and brackets; the 22nd field is the start in ticks since the
        # kernel's boot.
        started = (proc / "1/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "?"
    return f"{kernel}/{started}"
