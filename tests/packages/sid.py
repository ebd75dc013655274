"""A root of Debian sid, the one distribution at hand that has dnf 5: made once for each checkout, and commands that run
in it.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Tuple

CHECKOUT = Path(__file__).parents[2]
# Elsewhere for several checkouts on one machine. "/": this machine has dnf 5 itself.
PLACE = Path(os.environ.get("OS_UPDATE_AGENT_TEST_SID", str(CHECKOUT / ".test-venv/sid")))
# dnf 5 with its bindings, and what the agent itself is made of.
PACKAGES = ("dnf5", "rpm", "python3-libdnf5", "python3-rpm", "python3-requests", "python3-yaml", "python3-distro")
PATIENCE = 600.0

# The files of the tests and the checkout are seen under their own names; all mounts go with the last process.
_ENTER = """
set -e
root=$1; shift
for place in /proc /dev; do mount --rbind "$place" "$root$place"; done
for place in "$1" "$2"; do mkdir -p "$root$place"; mount --rbind "$place" "$root$place"; done
shift 2
exec chroot "$root" "$@"
"""


class Impossible(Exception):
    """The root cannot be made here; the text says why."""


@lru_cache(maxsize=1)
def root() -> Path:
    """The root, made when it is missing: half a minute, once. Raises Impossible where no mirror gives it."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{PLACE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not PLACE.exists():
            with tempfile.TemporaryDirectory(dir=PLACE.parent, prefix="sid-") as scratch:
                made = Path(scratch, "root")
                _make(made)
                made.rename(PLACE)
    return PLACE


def enter() -> Tuple[str, ...]:
    """What stands before a command that is to run in the root. Raises Impossible.

    What is mounted here later shows there as well, where that is shared; nothing shows the other way round.
    """
    if str(PLACE) == "/":
        return ()
    return (
        "unshare",
        "--mount",
        "--propagation",
        "slave",
        "sh",
        "-c",
        _ENTER,
        "sh",
        str(root()),
        tempfile.gettempdir(),
        str(CHECKOUT),
    )


def needed() -> None:
    """For a test of dnf 5: skipped, loudly, where the root cannot be made."""
    import pytest

    try:
        root()
    except Impossible as why:
        pytest.skip(f"NOTHING IS TESTED WITH DNF 5: {why}")


def _make(directory: Path) -> None:
    assert shutil.which("mmdebstrap"), "mmdebstrap is missing: tests/run installs it"
    # A mirror that is a copy of an earlier day has an index that has expired by now.
    options = ["--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"', f"--include={','.join(PACKAGES)}"]
    argv = ["mmdebstrap", *options, "sid", str(directory), _mirror()]
    try:
        done = subprocess.run(argv, text=True, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise Impossible(f"mmdebstrap had not made a root of sid after {PATIENCE:g} s") from error
    if done.returncode:
        raise Impossible(f"mmdebstrap cannot make a root of sid: {' '.join(done.stderr.split()[-60:])}")


def _mirror() -> str:
    """Where this machine itself gets Debian from."""
    form = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    lines = subprocess.run(argv, text=True, capture_output=True, check=True).stdout.splitlines()
    found = [line.split()[2] for line in lines if line.startswith("Debian Debian ")]
    if not found:
        raise Impossible("this machine's apt has no index of Debian to find a mirror in (apt-get update)")
    return found[0]
