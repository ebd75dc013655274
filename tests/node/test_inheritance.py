"""What a process has inherited is corrected: in a process of its own, as it counts for all of it."""

import subprocess
import sys
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "agent"
LOOK = """
import os, signal, sys
sys.path.insert(0, AGENT)
BEFORE
from os_update_agent.node.inheritance import PRIVATE, correct_inheritance
correct_inheritance(UMASK)
kinds = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
mask = os.umask(0)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
assert out > 2, out
os.write(out, f"{signal.getsignal(signal.SIGCHLD)!r} {blocked} {mask:04o} {kinds}".encode())
"""


def corrected(place: Path, before: str = "", umask: str = "") -> str:
    code = LOOK.replace("AGENT", repr(str(AGENT))).replace("BEFORE", before).replace("UMASK", umask)
    subprocess.run([sys.executable, "-I", "-c", code, str(place / "out")], stdin=subprocess.DEVNULL, check=True)
    return (place / "out").read_text()


@pytest.mark.parametrize(
    ("before", "umask", "found"),
    [
        ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "", "<Handlers.SIG_DFL: 0> [] 0022"),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", "", "<Handlers.SIG_DFL: 0> [] 0022"),
        ("os.umask(0)", "", "[] 0022"),
        ("os.umask(0o777)", "", "[] 0077"),
        ("os.umask(0o027)", "", "[] 0027"),
        ("os.umask(0)", "PRIVATE", "[] 0077"),
        ("os.closerange(0, 3)", "", "['/dev/null', '/dev/null', '/dev/null']"),
        ("os.close(1)", "", "'/dev/null', '/dev/null', "),
    ],
)
def test_it_is_corrected(tmp_path: Path, before: str, umask: str, found: str) -> None:
    assert found in corrected(tmp_path, before, umask)
