"""Somebody else on a node: who holds a lock, a step that waits to be let go, and the operator's own command."""

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterator

from packages.node import PATIENCE, Node

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(node: Node, path: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process holds the lock until its standard input ends."""
    file = node.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.communicate()


def block_in(node: Node, place: str) -> None:
    """A step that waits until the test lets it go on."""
    node.step(place, f"while [ ! -e {node.directory}/go ]; do sleep 0.05; done")


def let_go(node: Node) -> None:
    (node.directory / "go").touch()


def command(node: Node, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command line on the node, as an operator calls it."""
    argv = [sys.executable, "-m", "os_update_agent", *arguments]
    return subprocess.run(argv, env=node.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False)


def said(node: Node, *arguments: str, status: int = 0) -> str:
    """Return the command's answer, or its complaint if the status is not 0. The status must be as given."""
    done = command(node, *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def document(node: Node, *arguments: str) -> Dict[str, Any]:
    """Return the command's answer to --json."""
    found = json.loads(said(node, *arguments, "--json"))
    assert isinstance(found, dict)
    return found
