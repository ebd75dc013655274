"""The node: where its parts lie, and how commands run on it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = CHECKOUT / ".test-venv/real"
AGENT_CONF = """\
[node]
root = {root}
backend = apt
[paths]
state = {work}/node/state
log = {work}/node/log
run = {work}/node/run
steps = {work}/node/steps
collect_config = {work}/node/os-collect-config.conf
[defaults]
etc_files = restore
"""


class Done(NamedTuple):
    """How a command on the node ended."""

    status: int
    stdout: str
    stderr: str


class Node:
    """The private root and the agent's directories beside it, below ``work``."""

    def __init__(self, work: Path = WORK) -> None:
        self.work = work
        self.directory = work / "node"
        self.root = self.directory / "root"
        self.configuration = self.directory / "agent.conf"

    def prepare(self) -> None:
        """Make the directories and the agent's settings."""
        for name in ("", "state", "log", "run", "steps"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        # Maintainer scripts that became another user have to reach the root.
        self.directory.chmod(0o755)
        self.configuration.write_text(AGENT_CONF.format(root=self.root, work=self.work), encoding="utf-8")

    def run(self, *argv: str, network: bool = False) -> Done:
        """Run a command in the namespaces of the node, outside of its root."""
        spaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--uts"]
        if not network:
            spaces.append("--net")
        inside = [sys.executable, "-m", "real.inside", str(self.work), str(self.root)]
        done = subprocess.run(
            # All of it dies with this process, which then holds no lock any more.
            ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *spaces, "--", *inside, *argv],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def chroot(self, *argv: str, network: bool = False, ok: bool = True) -> Done:
        """Run a command inside of the root. Raises RuntimeError with its words if it fails, unless not ``ok``."""
        done = self.run("chroot", str(self.root), *argv, network=network)
        if ok and done.status:
            raise RuntimeError(f"{argv} ended with {done.status} on the node:\n{done.stdout}{done.stderr}")
        return done

    def agent(self, *arguments: str, network: bool) -> "Answer":
        """Run a verb of the agent with --json on the root."""
        program = CHECKOUT / ".test-venv/bin/os-update-agent"
        done = self.run(str(program), "--config", str(self.configuration), *arguments, "--json", network=network)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {}
        return Answer(done, document)


class Answer(NamedTuple):
    """What the agent has printed."""

    done: Done
    document: Dict[str, Any]


def _environment() -> Dict[str, str]:
    """Return the environment for the node: proxies, paths of Python, and nothing else of the caller's."""
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        **kept,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        "PYTHONPATH": f"{CHECKOUT}/tests:{CHECKOUT}/agent",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
