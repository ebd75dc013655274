"""The demo's node, its repository and its Heat: everything real but small, in one directory."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from os_update_agent.demo.receiver import Receiver
from os_update_agent.demo.repository import Deb, Repository, build, make_root, native_architecture
from os_update_agent.errors import AgentError
from os_update_agent.model import Package, PackageState, Transaction
from os_update_agent.node.run import run
from os_update_agent.packages.apt import Apt

FIRST, SECOND, THIRD = "2026-11-01T02:00:00Z", "2026-11-08T02:00:00Z", "2026-11-15T02:00:00Z"
OUTPUTS = ("changes", "held_back", "state_digest", "restored_from", "restorable", "reboot_required", "services_to_restart")
CONFIGURATION = "etc/webapp.conf"
EDITED = "port = 8443   # edited by the operator\n"

_CONF = {f"/{CONFIGURATION}": "port = 80\n"}
INSTALLED = (
    Deb("webapp", "1.0-1", fields={"Depends": "libweb (>= 1.0)"}, files=_CONF, conffiles=[f"/{CONFIGURATION}"]),
    Deb("libweb", "1.0-1"),
    Deb("metrics-old", "1.4-2"),
    Deb("monitor", "1.4-2", fields={"Depends": "metrics-old"}),
    Deb("clock", "9.0-1"),
    Deb("database", "14.1-1"),
)
NOVEMBER = (
    Deb(
        "webapp",
        "2.0-1",
        fields={"Depends": "libweb (>= 2.0), webapp-cache"},
        files={f"/{CONFIGURATION}": "port = 80\ncache = yes\n"},
        conffiles=[f"/{CONFIGURATION}"],
    ),
    Deb("libweb", "2.0-1", fields={"Breaks": "webapp (<< 2.0)"}),
    Deb("webapp-cache", "2.0-1"),
    Deb("metrics", "2.0-1", fields={"Provides": "metrics-old", "Conflicts": "metrics-old", "Replaces": "metrics-old"}),
    Deb("monitor", "2.0-1", fields={"Depends": "metrics"}),
    Deb("clock", "1:1.0-1"),
    Deb("database", "14.2-1"),
)
BROKEN = (
    Deb(
        "webapp",
        "3.0-1",
        fields={"Depends": "libweb (>= 2.0), webapp-cache"},
        files=_CONF,
        conffiles=[f"/{CONFIGURATION}"],
        scripts={"postinst": "echo 'webapp: cannot migrate the cache' >&2\nexit 1"},
    ),
    Deb("libweb", "2.1-1", fields={"Breaks": "webapp (<< 2.0)"}),
)


@dataclass
class Scene:
    """A private root with packages, a repository, a signal receiver, and the hook program that is told about deployments."""

    directory: Path
    receiver: Receiver
    repository: Repository = field(init=False)
    apt: Apt = field(init=False)
    root: Path = field(init=False)
    hook: Tuple[str, ...] = field(init=False)
    deliveries: int = 0

    def __post_init__(self) -> None:
        self.repository = Repository(self.directory / "repository")
        self.root = make_root(self.directory / "root", sources=[self.repository.source_line()])
        work = self.directory / "work"
        work.mkdir(mode=0o700)
        self.apt = Apt(self.root, work, work)
        self.hook = hook_program()
        self._write_configuration()
        self.publish(*INSTALLED)
        self._install(work)

    def publish(self, *debs: Deb) -> None:
        self.repository.add(*debs)
        self.repository.publish()

    def withdraw(self, *debs: Deb) -> None:
        """Take versions out of the repository, as a distribution does when the next ones appear."""
        for deb in debs:
            self.repository.remove(deb.name, deb.version)
        self.repository.publish()

    def state(self) -> PackageState:
        return self.apt.capture()

    def configuration(self) -> str:
        return (self.root / CONFIGURATION).read_text(encoding="utf-8")

    def deliver(self, action: str, value: str) -> Tuple[Mapping[str, Any], str]:
        """Give the hook a deployment as heat-config would. Returns what it printed, and its log."""
        self.deliveries += 1
        done = run(self.hook, stdin=json.dumps(self._deployment(action, value)), env={"OS_UPDATE_AGENT_CONFIG": str(self.agent_conf)})
        return json.loads(done.stdout), done.stderr

    @property
    def agent_conf(self) -> Path:
        return self.directory / "agent.conf"

    def _deployment(self, action: str, value: str) -> Dict[str, Any]:
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
            "options": {},
            "inputs": [{"name": name, "type": "String", "value": text} for name, text in inputs.items()],
            "outputs": [{"name": name, "type": "String", "error_output": False} for name in OUTPUTS],
        }

    def _write_configuration(self) -> None:
        paths = "".join(f"{name} = {self.directory / name}\n" for name in ("state", "log", "run", "steps"))
        self.agent_conf.write_text(f"[node]\nroot = {self.root}\nbackend = apt\n[paths]\n{paths}", encoding="utf-8")

    def _install(self, work: Path) -> None:
        files = tuple(str(build(deb, work)) for deb in INSTALLED)
        install = tuple(Package(deb.name, native_architecture(), deb.version) for deb in INSTALLED)
        with (work / "install.log").open("wb") as output:
            complaints = self.apt.transact(Transaction(install=install, files=files), output, forced=False)
        if complaints:
            raise AgentError(f"the demo's packages cannot be installed: {'; '.join(complaints)}")
        packages = {package.name: package for package in self.state().packages}
        self.apt.mark([packages["libweb"], packages["metrics-old"]], "auto")
        self.apt.hold([packages["database"]._replace(want="hold")])
        (self.root / CONFIGURATION).write_text(EDITED, encoding="utf-8")


def hook_program() -> Tuple[str, ...]:
    """The hook as it was installed beside this Python, or that of the checkout."""
    beside = Path(sys.executable).with_name("package-update")
    checkout = Path(__file__).parents[3] / "hooks/package-update"
    for path in (beside, checkout):
        if path.is_file():
            return sys.executable, str(path)
    raise AgentError(f"the hook program is neither at {beside} nor at {checkout}: install os-update-agent with pip")
