"""The image as a node: booted with its own systemd against a host that stands for Heat and has a small repository."""

import json
import uuid
from typing import Any, Dict, List, Mapping, Optional

from os_update_agent.testing.repository import Deb, Repository
from systemd.machine import Machine, wait_for

# What waits for a network, for time, or for the kernel's iSCSI, which there are none of.
MASKED = ("systemd-networkd-wait-online", "systemd-networkd", "systemd-timesyncd", "iscsid", "open-iscsi")
BOOT_OPTIONS = tuple(f"systemd.mask={unit}.service" for unit in MASKED)
OUTPUTS = ("changes", "restorable", "reboot_required")
SECRET = "c2VjcmV0LW9mLXRoZS1zaWduYWw"

Json = Dict[str, Any]


class Node:
    """A machine with the image's root. What it asks is in the machine's ``www``, what it signals in ``posts()``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.repository = Repository(machine.directory / "www/repository")
        # As cloud-init leaves what Heat gives to a server; from here on the image is on its own.
        machine.write("/var/lib/heat-cfntools/cfn-init-data", json.dumps(self._metadata()), 0o600)
        for source in machine.path("/etc/apt/sources.list.d").glob("*.list"):
            source.unlink()
        machine.write(
            "/etc/apt/sources.list.d/test.list", f"{self.repository.source_line(machine.url + 'repository')}\n"
        )
        self.publish(Deb("webapp", "1.0-1"))
        self.deliver()

    def publish(self, *debs: Deb) -> None:
        self.repository.add(*debs)
        self.repository.publish()

    def deployment(
        self,
        value: str,
        action: str,
        options: Optional[Mapping[str, Any]] = None,
        *,
        group: str = "package-update",
        config: str = "",
    ) -> Json:
        """A delivery as Heat makes it, with a config id and a signal URL of its own."""
        config_id = str(uuid.uuid4())
        added = {
            "deploy_server_id": "fcdbf267-58ec-478f-8cb1-293d8197c1ef",
            "deploy_action": action,
            "deploy_stack_id": "web/68c97fbe-e752-4cfc-a202-4c8af197d157",
            "deploy_resource_name": group,
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": f"{self.machine.url}v1/signal/{config_id}?Signature={SECRET}",
            "deploy_signal_verb": "POST",
        }
        trigger = {"name": "update_after_time", "type": "String", "value": value}
        return {
            "id": config_id,
            "name": group,
            "group": group,
            "creation_time": "2026-11-22T09:56:42Z",
            "config": config,
            "options": dict(options or {}),
            "inputs": [trigger, *({"name": name, "type": "String", "value": text} for name, text in added.items())],
            "outputs": [{"name": name, "type": "String", "error_output": False} for name in OUTPUTS],
        }

    def deliver(self, *deployments: Json, **keys: Any) -> None:
        """Put the deployments, and nothing else, into the server's metadata; ``keys`` are further keys, with "_" for
        "-".
        """
        metadata = self._metadata(*deployments, **{name.replace("_", "-"): value for name, value in keys.items()})
        staging = self.machine.directory / "metadata.new"
        staging.write_text(json.dumps(metadata), encoding="utf-8")
        staging.replace(self.machine.directory / "www/metadata")

    def _metadata(self, *deployments: Json, **keys: Any) -> Json:
        occ = {
            "collectors": ["request"],
            "polling_interval": 1,
            "request": {"metadata_url": f"{self.machine.url}metadata"},
        }
        return {"deployments": list(deployments), "os-collect-config": occ, **keys}

    def signals(self, deployment: Json) -> List[Json]:
        """What Heat was told about it."""
        return [json.loads(post["body"]) for post in self.machine.posts() if deployment["id"] in post["path"]]

    def signal(self, deployment: Json) -> Json:
        """The first signal, when it is there."""
        return wait_for(lambda: self.signals(deployment), f"a signal of {deployment['id']}")[0]

    def version(self, package: str) -> str:
        """'' where it is not installed."""
        done = self.machine.run("dpkg-query", "--show", "--showformat=${Version}", package, check=False)
        return done.stdout if done.returncode == 0 else ""

    def hook(self, deployment: Json) -> Json:
        """The hook's answer to a deployment that is given to it by hand."""
        answer: Json = json.loads(
            self.machine.run("/usr/libexec/heat-config/hooks/package-update", stdin=json.dumps(deployment)).stdout
        )
        return answer

    def status(self) -> Json:
        """What the agent says of the node."""
        answer: Json = json.loads(self.machine.run("os-update-agent", "status", "--json").stdout)
        return answer
