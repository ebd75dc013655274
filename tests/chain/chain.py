"""A node that polls what stands for Heat: one server on the loopback address, which serves the metadata and receives
the signals.
"""

import json
import uuid
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

from chain.guest import Guest
from os_update_agent.testing.receiver import Receiver, Reply, Request
from os_update_agent.text.outputs import OUTPUTS

DeploymentJson = Dict[str, Any]

SECRET = "c2VjcmV0LW9mLXRoZS1zaWduYWw"
STACK = ("web", "68c97fbe-e752-4cfc-a202-4c8af197d157")
PROJECT = "218d0539a7c440718f82b2f96311698b"
SERVER = "fcdbf267-58ec-478f-8cb1-293d8197c1ef"
RESOURCE = "update"


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


class Node(Guest):
    """One server's guest side, which polls what stands for Heat."""

    def __init__(self, directory: Path, heat: Heat, root: Path) -> None:
        self.heat = heat
        super().__init__(directory, root, ("request",))

    def deliver(self, *deployments: DeploymentJson) -> None:
        """Put the deployments, and nothing else, into the server's metadata."""
        occ = {"command": self.command, "cachedir": f"{self.directory}/cache", "collectors": ["request"]}
        request = {"metadata_url": self.heat.metadata_url}
        self.heat.metadata = {"deployments": list(deployments), "os-collect-config": {**occ, "request": request}}

    def credentials(self) -> str:
        return f"[request]\nmetadata_url = {self.heat.metadata_url}\n"


def lines_with(text: str, part: str) -> Sequence[str]:
    return [line for line in text.splitlines() if part in line]
