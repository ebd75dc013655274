"""A small Debian root with systemd and Python, made once by mmdebstrap and kept: python -m systemd.root [DIRECTORY]"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import List

RELEASE = "bookworm"
PACKAGES = (
    *(
        "systemd",
        "systemd-sysv",
        "dbus",
        "python3",
        "python3-apt",
        "python3-requests",
        "python3-yaml",
        "python3-distro",
    ),
)
KEPT = Path(__file__).resolve().parents[2] / ".test-venv/systemd"
# A root that was made from something else is made anew.
CONTENT = f"{RELEASE} {' '.join(PACKAGES)}\n"


def root() -> Path:
    """The root, made where it is missing. Raises CalledProcessError with what mmdebstrap said on standard error."""
    directory = Path(os.environ.get("OS_UPDATE_AGENT_TEST_ROOT") or KEPT / RELEASE).absolute()
    stamp = directory.with_name(f"{directory.name}.txt")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with stamp.open("a+", encoding="utf-8") as file:
        # One of several test processes makes it; the others wait.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if file.read() != CONTENT:
            make(directory)
            file.truncate(0)
            file.write(CONTENT)
    return directory


def make(directory: Path) -> None:
    assert shutil.which("mmdebstrap"), "install mmdebstrap"
    staging = Path(tempfile.mkdtemp(prefix=f"{directory.name}-", dir=directory.parent))
    leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", *leave_out]
    subprocess.run([*argv, "--format=directory", RELEASE, str(staging), f"deb {mirror()} {RELEASE} main"], check=True)
    # What this machine's network and its copy of the root are is no business of the machines that are booted from it.
    for name in ("apt/sources.list", "machine-id", "resolv.conf"):
        (staging / "etc" / name).write_text("", encoding="utf-8")
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(staging, directory)


def mirror() -> str:
    """The Debian mirror that this machine's own apt uses."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found: List[str] = []
    for file in files:
        if file.is_file():
            lines = [
                line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
            ]
            found += re.findall(r"https?://\S+/debian/?(?=\s|$)", "\n".join(lines))
    assert found, "this machine's apt names no Debian mirror (a URI that ends in /debian)"
    return found[0]


if __name__ == "__main__":
    print(root())
