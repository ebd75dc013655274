"""A repository, a private root with packages of ordinary size, and the agent's directories; what is there can be kept and put back."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from bench.measuring import Figures, measured
from os_update_agent.demo.repository import Deb, Repository, make_root
from packages.aptroot import AptRoot

TESTS = Path(__file__).resolve().parents[1]
AGENT = TESTS.parent / "agent"
HOOK = TESTS.parent / "hooks" / "package-update"
FILES, BYTES, STAYING = 40, 25_000, 60
MANY = 100
OLD, NEW = "1.0-1", "2.0-1"


class World:
    """``changing`` packages of 40 files and 1 MB have a newer version after add(NEW); 60 others stay. Many are smaller: 200 kB."""

    def __init__(self, base: Path, changing: int) -> None:
        self.base = base
        self.bytes = BYTES if changing < MANY else BYTES // 5
        self.node = base / "node"
        self.names = [f"changing{number:03}" for number in range(changing)]
        self.repository = Repository(base / "repository")
        staying = [f"staying{number:03}" for number in range(STAYING)]
        self.repository.add(*(Deb(name, "1.0", files={f"usr/share/{name}": name}) for name in staying))
        self.add(OLD)
        # "copy:" makes apt fetch index and packages, as from a mirror.
        self.root = make_root(self.node / "root", sources=[self.repository.source_line(f"copy:{self.repository.directory}")])
        for name in ("var/run", "var/log/unattended-upgrades", "var/lib/apt/periodic", "var/lib/unattended-upgrades"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("state", "log", "run", "steps"):
            (self.node / name).mkdir(mode=0o700)
        self.settings = base / "agent.conf"
        paths = "".join(f"{name} = {self.node / name}\n" for name in ("state", "log", "run", "steps"))
        self.settings.write_text(f"[node]\nroot = {self.root}\nbackend = apt\n[paths]\n{paths}", encoding="utf-8")
        self.apt = AptRoot(self.root)
        # Beside the node, which comes and goes.
        self.apt.configuration = self.apt.configuration.replace(base / "apt.conf")
        self.apt.apt("update")
        self.apt.apt("install", *self.names, *staying)
        self.count = 0
        # An installed agent has its bytecode; this makes it once, away from the source.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(AGENT), "PYTHONPYCACHEPREFIX": str(base / "bytecode"), "OS_UPDATE_AGENT_CONFIG": str(self.settings)}
        self.environment = {**inherited, **own}

    def add(self, version: str) -> None:
        chance = random.Random(version)
        for name in self.names:
            files = {f"usr/share/{name}/{number}": chance.randbytes(self.bytes) for number in range(FILES)}
            self.repository.add(Deb(name, version, files=files, scripts={"postinst": "exit 0"}, installed_size=FILES * self.bytes // 1024))
        self.repository.publish()

    def keep(self, name: str) -> None:
        shutil.copytree(self.node, self.base / name, symlinks=True)

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.node)
        subprocess.run(["cp", "-a", str(self.base / name), str(self.node)], check=True)

    def deliver(self, action: str, value: str, *, config_id: str = "", signal: Optional[Mapping[str, str]] = None) -> Figures:
        """One delivery through the hook's process, which has to succeed."""
        text = json.dumps(self.deployment(action, value, config_id, signal))
        figures, said = measured([sys.executable, str(HOOK)], self.base, env=self.environment, text=text)
        answer = json.loads(said)
        assert answer["deploy_status_code"] == 0, answer
        return figures

    def deployment(self, action: str, value: str, config_id: str, signal: Optional[Mapping[str, str]]) -> Dict[str, Any]:
        self.count += 1
        told = {
            **{"update_after_time": value, "deploy_action": action, "deploy_stack_id": "bench/1"},
            **{"deploy_resource_name": "bench", "deploy_server_id": "server", "deploy_signal_transport": "NO_SIGNAL"},
            **(signal or {}),
        }
        return {
            "id": config_id or f"config-{self.count}", "name": "bench", "group": "package-update", "config": "", "options": {},
            "inputs": [{"name": name, "type": "String", "value": given} for name, given in told.items()],
            "outputs": [{"name": name} for name in ("changes", "held_back", "state_digest", "restored_from")],
        }  # fmt: skip

    def run(self, *argv: str, text: str = "", **environment: str) -> Figures:
        """Anybody else's command with apt on the same root."""
        own = {"APT_CONFIG": str(self.apt.configuration), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **environment}
        return measured(argv, self.base, env={**os.environ, **own}, text=text)[0]

    def has(self, version: str) -> bool:
        versions = self.apt.versions()
        return all(versions[name] == version for name in self.names)
