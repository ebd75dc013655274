"""A node in a directory: the real chain from os-collect-config to heat-config-notify, with our hook at its end.

What stands for Heat is one server on the loopback address: it serves the metadata and receives the signals.
"""

import json
import os
import shlex
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote

from chain import install
from os_update_agent.demo.receiver import Receiver, Reply, Request

DeploymentJson = Dict[str, Any]

SECRET = "c2VjcmV0LW9mLXRoZS1zaWduYWw"
STACK = ("web", "68c97fbe-e752-4cfc-a202-4c8af197d157")
PROJECT = "218d0539a7c440718f82b2f96311698b"
SERVER = "fcdbf267-58ec-478f-8cb1-293d8197c1ef"
RESOURCE = "update"
OUTPUTS = ("changes", "held_back", "state_digest", "restored_from", "restorable", "reboot_required", "services_to_restart")

AGENT_CONF = """\
[node]
root = {root}
backend = apt
[paths]
state = {node}/state
log = {node}/log
run = {node}/run/os-update-agent
steps = {node}/steps
"""

COLLECT_CONF = """\
[DEFAULT]
command = {command}
[request]
metadata_url = {url}
"""

# The hook of this checkout, run by the interpreter of the tests: nothing has to be installed.
HOOK = """\
#!{python}
import os
os.environ["PYTHONPATH"] = {agent!r}
os.execv({python!r}, [{python!r}, {hook!r}])
"""


def installed_tools() -> Path:
    """Where the chain is installed. Fails the test, with the command that installs it, when it is not."""
    target = install.directory()
    assert install.is_installed(target), f"the chain is not installed in {target}; run: {install.COMMAND}"
    return target


class Heat:
    """The metadata and the signals of one server."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.metadata: Dict[str, Any] = {}
        receiver.answer(self._answer)

    @property
    def metadata_url(self) -> str:
        return self.receiver.url("/metadata")

    def signals(self) -> List[Request]:
        return [request for request in self.receiver.received if request.method == "POST"]

    def deployment(
        self, value: str, action: str, *, group: str = "package-update", options: Optional[Mapping[str, Any]] = None
    ) -> DeploymentJson:
        """A delivery as Heat makes it, with a config id of its own and a signal URL that looks signed."""
        added = {
            "deploy_server_id": SERVER,
            "deploy_action": action,
            "deploy_stack_id": "/".join(STACK),
            "deploy_resource_name": RESOURCE,
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": self._signal_url(),
            "deploy_signal_verb": "POST",
        }
        trigger = {"name": "update_after_time", "description": "", "type": "String", "default": "", "value": value}
        return {
            "id": str(uuid.uuid4()),
            "name": "update",
            "group": group,
            "creation_time": "2026-11-22T09:56:42Z",
            "config": "",
            "options": dict(options or {}),
            "inputs": [trigger, *({"name": name, "type": "String", "value": text} for name, text in added.items())],
            "outputs": [{"name": name, "description": "", "type": "String", "error_output": False} for name in OUTPUTS],
        }

    def _signal_url(self) -> str:
        arn = quote(f"arn:openstack:heat::{PROJECT}:stacks/{STACK[0]}/{STACK[1]}/resources/{RESOURCE}")
        query = "SignatureMethod=HmacSHA256&SignatureVersion=2&AWSAccessKeyId=d4f120799b8a43b2887dc9ad082ddbf2"
        return self.receiver.url(f"/v1/signal/{arn}?{query}&Timestamp=2026-11-22T09%3A56%3A42Z&Signature={SECRET}%3D")

    def _answer(self, request: Request) -> Reply:
        if request.path == "/metadata":
            return 200, json.dumps(self.metadata).encode()
        return 200 if request.method == "POST" and request.path.startswith("/v1/signal/") else 404


class Node:
    """One server's guest side. ``root`` is the private root that the agent works on."""

    def __init__(self, directory: Path, heat: Heat, root: Path) -> None:
        self.directory = directory.absolute()
        self.heat = heat
        self.root = root
        self.tools = installed_tools()
        self.command = f"os-refresh-config --lockfile {shlex.quote(str(self.directory / 'orc.lock'))}"
        self.collect_conf = self.directory / "etc/os-collect-config.conf"
        self.log = self.directory / "chain.log"
        self._install_chain()
        self._install_hook()

    def deliver(self, *deployments: DeploymentJson) -> None:
        """Put the deployments, and nothing else, into the server's metadata."""
        occ = {"command": self.command, "cachedir": f"{self.directory}/cache", "collectors": ["request"]}
        request = {"metadata_url": self.heat.metadata_url}
        self.heat.metadata = {"deployments": list(deployments), "os-collect-config": {**occ, "request": request}}

    def poll(self, *, force: bool = False) -> str:
        """Run os-collect-config once, and with it all that follows; what they logged. ``force`` runs it for old metadata too."""
        argv = ["os-collect-config", "--config-file", str(self.collect_conf), "--cachedir", f"{self.directory}/cache"]
        argv += ["--backup-cachedir", f"{self.directory}/backup", "--one-time", *(["--force"] if force else []), "request"]
        start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            # Not a pipe: whatever the hook leaves behind would hold it open.
            done = subprocess.run(argv, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=300)
        said = self.log.read_bytes()[start:].decode("utf-8", "replace")
        assert done.returncode == 0, f"os-collect-config ended with {done.returncode}:\n{said}"
        return said

    def forget(self, deployment: DeploymentJson) -> None:
        """Remove heat-config's marker: it takes the deployment for a new one then."""
        (self.directory / f"deployed/{deployment['id']}.json").unlink()

    def own_files(self) -> List[Path]:
        """The files that the agent, and not the chain around it, has written."""
        places = (self.directory / "state", self.directory / "log", self.directory / "run/os-update-agent")
        return sorted(path for place in places for path in place.rglob("*") if path.is_file())

    def environment(self) -> Dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {
            **inherited,
            "PATH": f"{self.directory}/bin:{self.tools}/bin:{os.environ['PATH']}",
            "HEAT_CONFIG_HOOKS": f"{self.directory}/hooks",
            "HEAT_SHELL_CONFIG": f"{self.directory}/run/heat-config/heat-config",
            "HEAT_CONFIG_DEPLOYED": f"{self.directory}/deployed",
            "HEAT_CONFIG_DEPLOYED_OLD": f"{self.directory}/deployed",
            "HEAT_CONFIG_NOTIFY": f"{self.directory}/bin/heat-config-notify",
            "OS_CONFIG_APPLIER_TEMPLATES": f"{self.directory}/templates",
            "OS_CONFIG_FILES_PATH": f"{self.directory}/cache/os_config_files.json",
            "OS_REFRESH_CONFIG_BASE_DIR": f"{self.directory}/orc",
            "OS_UPDATE_AGENT_CONFIG": f"{self.directory}/etc/agent.conf",
        }

    def _install_chain(self) -> None:
        source = install.scripts(self.tools)
        python = f"#!{self.tools}/bin/python3\n"
        for name in ("20-os-apply-config", "55-heat-config"):
            text = (source / "os-refresh-config/configure.d" / name).read_text(encoding="utf-8")
            _write(self.directory / "orc/configure.d" / name, _with_interpreter(text, python), 0o755)
        notify = (source / "bin/heat-config-notify").read_text(encoding="utf-8")
        _write(self.directory / "bin/heat-config-notify", _with_interpreter(notify, python), 0o755)
        # os-apply-config renders templates/<path> to /<path>: so the path of this directory is part of the template's.
        templates = self.directory / "templates" / self.directory.relative_to("/")
        for name, place in _templates():
            _write(templates / place, (source / "os-apply-config" / name).read_text(encoding="utf-8"))
        _write(self.collect_conf, COLLECT_CONF.format(command=self.command, url=self.heat.metadata_url))

    def _install_hook(self) -> None:
        checkout = install.CHECKOUT
        hook = HOOK.format(python=sys.executable, agent=str(checkout / "agent"), hook=str(checkout / "hooks/package-update"))
        _write(self.directory / "hooks/package-update", hook, 0o755)
        _write(self.directory / "etc/agent.conf", AGENT_CONF.format(root=self.root, node=self.directory))


def lines_with(text: str, part: str) -> Sequence[str]:
    return [line for line in text.splitlines() if part in line]


def _templates() -> Tuple[Tuple[str, str], ...]:
    return (
        ("var/run/heat-config/heat-config", "run/heat-config/heat-config"),
        ("etc/os-collect-config.conf", "etc/os-collect-config.conf"),
    )


def _with_interpreter(text: str, line: str) -> str:
    """The script with the chain's own Python in its first line, where it is a Python script."""
    first, _, rest = text.partition("\n")
    return line + rest if "python" in first else text


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
