"""Which boot of the machine this is."""

from pathlib import Path

from os_update_agent.model.errors import AgentError


def boot_id(proc: Path = Path("/proc")) -> str:
    """A name for the time since the machine was started: another one after each boot.

    The kernel's own name, and when PID 1 was started: a system container that is booted again keeps the kernel's.
    Raises AgentError.
    """
    name = proc / "sys/kernel/random/boot_id"
    try:
        kernel = name.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise AgentError(f"{name} cannot be read, so a boot could not be noticed: {error}; mount /proc") from error
    try:
        # 1 (systemd) S 0 1 1 ...: the name may hold blanks and brackets; the 22nd field is the start in ticks since the
        # kernel's boot.
        started = (proc / "1/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "?"
    return f"{kernel}/{started}"
