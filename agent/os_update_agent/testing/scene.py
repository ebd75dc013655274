"""The demo's node, its repository and its Heat: real but small, in one directory."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from os_update_agent.model.packages import PackageState
from os_update_agent.node.process import run
from os_update_agent.testing.pkg import Pkg
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.stage import STAGES, Stage
from os_update_agent.text.outputs import OUTPUTS

FIRST, SECOND, THIRD = "2026-11-01T02:00:00Z", "2026-11-08T02:00:00Z", "2026-11-15T02:00:00Z"
CONFIGURATION = "etc/webapp.conf"
EDITED = "port = 8443   # edited by the operator\n"

_CONF = {f"/{CONFIGURATION}": "port = 80\n"}
_CONFIGS = (f"/{CONFIGURATION}",)
HELD = Pkg("database", "14.1")
INSTALLED = (
    Pkg("webapp", "1.0", requires=("libweb >= 1.0",), files=_CONF, configs=_CONFIGS),
    Pkg("libweb", "1.0"),
    Pkg("metrics-old", "1.4"),
    Pkg("monitor", "1.4", requires=("metrics-old",)),
    Pkg("clock", "9.0"),
    HELD,
)
NOVEMBER = (
    Pkg(
        "webapp",
        "2.0",
        requires=("libweb >= 2.0", "webapp-cache"),
        files={f"/{CONFIGURATION}": "port = 80\ncache = yes\n"},
        configs=_CONFIGS,
    ),
    Pkg("libweb", "2.0", breaks=("webapp < 2.0",)),
    Pkg("webapp-cache", "2.0"),
    Pkg("metrics", "2.0", provides=("metrics-old",), obsoletes=("metrics-old",)),
    Pkg("monitor", "2.0", requires=("metrics",)),
    Pkg("clock", "1.0", epoch="1"),
    Pkg("database", "14.2"),
)
BROKEN = (
    Pkg(
        "webapp",
        "3.0",
        requires=("libweb >= 2.0", "webapp-cache"),
        files=_CONF,
        configs=_CONFIGS,
        fails="webapp: cannot migrate the cache",
    ),
    Pkg("libweb", "2.1", breaks=("webapp < 2.0",)),
)


@dataclass
class Scene:
    """A private root with packages, a repository, a signal receiver, and the hook program."""

    directory: Path
    receiver: Receiver
    backend: str = "apt"
    stage: Stage = field(init=False)
    hook: Tuple[str, ...] = field(init=False)
    deliveries: int = 0

    def __post_init__(self) -> None:
        self.stage = STAGES[self.backend](self.directory)
        self.hook = hook_program()
        self._write_configuration()
        self.publish(*INSTALLED)
        self.stage.install(INSTALLED, auto=("libweb", "metrics-old"))
        self.stage.hold(HELD)
        (self.root / CONFIGURATION).write_text(EDITED, encoding="utf-8")

    @property
    def root(self) -> Path:
        return self.stage.root

    def publish(self, *pkgs: Pkg) -> None:
        self.stage.publish(pkgs)

    def withdraw(self, *pkgs: Pkg) -> None:
        """Remove versions from the repository, as a distribution does when newer ones appear."""
        self.stage.withdraw(pkgs)

    def state(self) -> PackageState:
        return self.stage.state()

    def configuration(self) -> str:
        return (self.root / CONFIGURATION).read_text(encoding="utf-8")

    def deliver(self, action: str, value: str, **options: str) -> Tuple[Mapping[str, Any], str]:
        """Run the hook with a deployment that gives the options, as heat-config would.

        Returns the result that it printed, and its log.
        """
        self.deliveries += 1
        done = run(
            self.hook,
            stdin=json.dumps(self._deployment(action, value, options)),
            env={"OS_UPDATE_AGENT_CONFIG": str(self.agent_conf)},
        )
        return json.loads(done.stdout), done.stderr

    @property
    def agent_conf(self) -> Path:
        return self.directory / "agent.conf"

    def _deployment(self, action: str, value: str, options: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
        number = f"{self.deliveries:012d}"
        inputs = {
            "update_after_time": value,
            "deploy_server_id": "6a1f3f1e-0000-4000-8000-000000000001",
            "deploy_action": action,
            "deploy_stack_id": "demo/5b0d1c52-0000-4000-8000-000000000002",
            "deploy_resource_name": "package_update",
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": self.receiver.url(f"/v1/signal/demo?Timestamp=2026&Signature=secret{number}"),
            "deploy_signal_verb": "POST",
        }
        return {
            "id": f"0f2b8a52-0000-4000-8000-{number}",
            "name": "package_update",
            "group": "package-update",
            "creation_time": "2026-11-01T02:00:00Z",
            "config": "",
            "options": options or {},
            "inputs": [{"name": name, "type": "String", "value": text} for name, text in inputs.items()],
            "outputs": [{"name": name, "type": "String", "error_output": False} for name in OUTPUTS],
        }

    def _write_configuration(self) -> None:
        paths = "".join(f"{name} = {self.directory / name}\n" for name in ("state", "log", "run", "steps"))
        self.agent_conf.write_text(
            f"[node]\nroot = {self.root}\nbackend = {self.backend}\n[paths]\n{paths}", encoding="utf-8"
        )


def hook_program() -> Tuple[str, ...]:
    """Return the command of this agent's own hook, whether it is installed or lies in a checkout."""
    return sys.executable, "-I", str(Path(__file__).parents[1] / "launch.py"), "os_update_agent.hook"
