"""A stack with one server, which stands at release one under the value V1."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Set

from heat.client import Stack, inputs, wait_until
from heat.server import Server

TEMPLATE = str(Path(__file__).resolve().parent / "templates/one-server.yaml")
ENVIRONMENT = str(Path(__file__).resolve().parents[2] / "hooks/templates/environment.yaml")
# The other way to poll and to report; else both go through Heat's API.
CFN = {"signal_transport": "CFN_SIGNAL", "config_transport": "POLL_SERVER_CFN"}
V1, V2, V3 = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"


@dataclass
class One:
    stack: Stack
    server: Server

    def update(self, value: str, **arguments: Any) -> None:
        """Begin an update to the value."""
        self.stack.update(update_after_time=value, **arguments)

    def update_and_hold(self, value: str) -> Set[str]:
        """Begin an update to release two that the server holds in its middle; the stacks that are under way then."""
        self.server.offer_two()
        self.server.hold()
        self.update(value)
        self.server.wait_until_held()
        return self.stack.underway()

    def listed(self) -> List[Dict[str, Any]]:
        """What Heat's metadata list for the server: config id, action and value of each delivery."""
        given = [(one["id"], inputs(one)) for one in self.stack.deployments(self.stack.output("server"))]
        return [
            {"id": id, "action": named["deploy_action"], "value": named["update_after_time"]} for id, named in given
        ]

    def wait_for_delivery(self, action: str, value: str) -> str:
        """Its config id, once Heat offers it to the server."""
        found: List[str] = []

        def is_there() -> bool:
            found[:] = [one["id"] for one in self.listed() if (one["action"], one["value"]) == (action, value)]
            return bool(found)

        wait_until(is_there, f"a {action} of {value}", self.stack.story)
        return found[0]
