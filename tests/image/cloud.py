"""What a guest under QEMU sees of its cloud: a configuration drive as OpenStack makes it, and, at one address, Heat and
a repository.

The first metadata reach the guest as Heat sends them: cloud-init writes them to ``cfn-init-data``, os-collect-config's
collector ``heat_local`` finds them there, and os-apply-config makes /etc/os-collect-config.conf of them. They name this
server for all that follows.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import unquote

from os_update_agent.testing.receiver import Reply, Request

# The one address that the guest sees.
HOST = "http://10.0.2.100/"
MAC = "52:54:00:12:34:56"
# The update to this value leaves GRUB with the kernel that runs: an operator has pinned it.
PINNED = "2026-11-15T02:00:00Z"

# Runs at the end of every boot and says which boot it was, and what the node is like then.
TELL = f"""\
#!/usr/bin/python3
import json, os, subprocess, urllib.request
def said(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.strip()
facts = {{
    "boot": open("/proc/sys/kernel/random/boot_id").read().strip(),
    "kernel": os.uname().release,
    "uptime": float(open("/proc/uptime").read().split()[0]),
    "addresses": said("ip", "-4", "-o", "addr", "show", "scope", "global"),
    "dhcp": said(
        "systemctl", "list-units", "--plain", "--no-legend", "--all", "dhcp-interface@*", "networking.service"
    ),
    "failed": said("systemctl", "list-units", "--plain", "--no-legend", "--failed"),
    "root_mb": os.statvfs("/").f_blocks * os.statvfs("/").f_frsize // 2**20,
    "free_mb": os.statvfs("/").f_bavail * os.statvfs("/").f_frsize // 2**20,
}}
urllib.request.urlopen("{HOST}boot", data=json.dumps(facts).encode())
"""

PIN = f"""\
#!/bin/sh -e
[ "$OS_UPDATE_VALUE" = {PINNED} ] || exit 0
menu="Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux $(uname -r)"
echo "GRUB_DEFAULT='$menu'" > /etc/default/grub.d/pinned.cfg
"""


class Cloud:
    """Answers the guest. ``boots`` is what it told of each boot, ``signals`` what Heat was told about each
    deployment.
    """

    def __init__(self, www: Path) -> None:
        self.www = www
        self.deployments: List[Dict[str, Any]] = []
        self.boots: List[Dict[str, Any]] = []
        self.signals: Dict[str, List[Dict[str, Any]]] = {}

    def deliver(self, value: str, action: str, **options: Any) -> str:
        """Put a deployment in the place of the one before; its id."""
        config_id = str(uuid.uuid4())
        added = {
            "deploy_server_id": "server",
            "deploy_action": action,
            "deploy_stack_id": "stack/1",
            "deploy_resource_name": "update",
            "deploy_signal_transport": "CFN_SIGNAL",
            "deploy_signal_id": f"{HOST}signal/{config_id}",
            "deploy_signal_verb": "POST",
        }
        inputs = [
            {"name": name, "type": "String", "value": text}
            for name, text in {"update_after_time": value, **added}.items()
        ]
        outputs = [
            {"name": name, "type": "String", "error_output": False}
            for name in ("changes", "reboot_required", "restorable")
        ]
        common = {
            "name": "update",
            "group": "package-update",
            "creation_time": "2026-11-22T09:56:42Z",
            "config": "",
            "outputs": outputs,
        }
        self.deployments = [{"id": config_id, "inputs": inputs, "options": options, **common}]
        return config_id

    def answer(self, request: Request) -> Reply:
        path = unquote(request.path.partition("?")[0])
        if request.method == "POST" and path == "/boot":
            self.boots.append(json.loads(request.body))
            return 200
        if request.method == "POST":
            self.signals.setdefault(path.rpartition("/")[2], []).append(json.loads(request.body))
            return 200
        if path == "/metadata":
            return 200, json.dumps(self._metadata()).encode()
        file = self.www / os.path.normpath(path).lstrip("/")
        return (200, file.read_bytes()) if file.is_file() else 404

    def _metadata(self) -> Dict[str, Any]:
        occ = {"collectors": ["request"], "polling_interval": 5, "request": {"metadata_url": f"{HOST}metadata"}}
        return {"deployments": self.deployments, "os-collect-config": occ}

    def write_drive(self, directory: Path) -> None:
        """The files of the configuration drive (its label is config-2), for a card with the address MAC."""
        first = {**self._metadata(), "deployments": []}
        files = {
            "/var/lib/heat-cfntools/cfn-init-data": ("0600", json.dumps(first)),
            "/etc/apt/sources.list.d/default.list": ("0644", f"deb [trusted=yes] {HOST}repository ./\n"),
            "/var/lib/cloud/scripts/per-boot/tell": ("0755", TELL),
            "/etc/os-update-agent/pre-update.d/pin": ("0755", PIN),
        }
        written = [{"path": path, "permissions": mode, "content": text} for path, (mode, text) in files.items()]
        network = {
            "links": [{"id": "tap0", "type": "ovs", "ethernet_mac_address": MAC, "mtu": 1500, "vif_id": "0"}],
            "networks": [{"id": "network0", "type": "ipv4_dhcp", "link": "tap0", "network_id": "0"}],
            "services": [],
        }
        latest = directory / "openstack/latest"
        latest.mkdir(parents=True)
        (latest / "meta_data.json").write_text(
            json.dumps({"uuid": str(uuid.uuid4()), "hostname": "guest", "name": "guest"})
        )
        (latest / "network_data.json").write_text(json.dumps(network))
        # JSON is YAML.
        (latest / "user_data").write_text("#cloud-config\n" + json.dumps({"write_files": written}))
