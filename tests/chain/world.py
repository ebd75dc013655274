"""A node with packages of a made-up release, fed by the real chain."""

import json
from dataclasses import dataclass
from typing import Any, Dict

from chain.chain import DeploymentJson, Heat, Node
from os_update_agent.testing.repository import Deb, Repository
from os_update_agent.text.outputs import OUTPUTS
from packages.aptroot import AptRoot

V1, V2, V3 = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"


OLD = (
    Deb(
        "app",
        "1.0-1",
        fields={"Depends": "libapp1 (>= 1.0)"},
        files={"etc/app.conf": "one\n"},
        conffiles=["etc/app.conf"],
    ),
    Deb("libapp1", "1.0-1"),
    Deb("epochy", "9.0-1"),
    Deb("oldname", "1.0-1"),
    Deb("useold", "1.0-1", fields={"Depends": "oldname"}),
    Deb("heldback", "1.0-1"),
)


RENAMED = {
    "Provides": "oldname (= 2.0-1)",
    "Breaks": "oldname (<< 2.0)",
    "Replaces": "oldname (<< 2.0)",
    "Conflicts": "oldname",
}


NEW = (
    Deb(
        "app",
        "2.0-1",
        fields={"Depends": "libapp1 (>= 2.0), app-extra"},
        files={"etc/app.conf": "two\n"},
        conffiles=["etc/app.conf"],
    ),
    Deb("libapp1", "2.0-1", fields={"Breaks": "app (<< 2.0)"}),
    Deb("app-extra", "2.0-1", arch="all"),
    Deb("epochy", "1:1.0-1"),
    Deb("newname", "2.0-1", fields=RENAMED),
    Deb("useold", "2.0-1", fields={"Depends": "newname"}),
    Deb("heldback", "2.0-1"),
)


AT_V1 = {
    "app": "1.0-1",
    "libapp1": "1.0-1",
    "epochy": "9.0-1",
    "oldname": "1.0-1",
    "useold": "1.0-1",
    "heldback": "1.0-1",
}


AT_V2 = {
    **{"app": "2.0-1", "libapp1": "2.0-1", "app-extra": "2.0-1"},
    **{"epochy": "1:1.0-1", "newname": "2.0-1", "useold": "2.0-1", "heldback": "1.0-1"},
}


@dataclass
class World:
    """A node with the old packages, one of them held, and the repository that it takes packages from."""

    heat: Heat
    node: Node
    repository: Repository
    apt: AptRoot
    log: str = ""

    def send(self, value: str, action: str) -> Dict[str, Any]:
        """Deliver a value and poll; the one result that Heat got, from the agent."""
        return self.result_of(self.heat.deployment(value, action))

    def result_of(self, deployment: DeploymentJson, **poll: bool) -> Dict[str, Any]:
        before = len(self.heat.signals())
        self.node.deliver(deployment)
        said = self.node.poll(**poll)
        self.log += said
        signals = self.heat.signals()[before:]
        assert len(signals) == 1, f"{len(signals)} signals, not one, in:\n{said}"
        return _checked(json.loads(signals[0].body))

    def publish(self, *debs: Deb) -> None:
        self.repository.add(*debs)
        self.repository.publish()

    def lose_the_old_versions(self) -> None:
        for deb in OLD:
            self.repository.remove(deb.name, deb.version)
        self.repository.publish()


def _checked(result: Any) -> Dict[str, Any]:
    """What every result has to be, so that Heat does not take a failure for a success."""
    assert isinstance(result, dict)
    assert isinstance(result["deploy_status_code"], int)
    assert isinstance(result["deploy_stdout"], str) and isinstance(result["deploy_stderr"], str)
    assert set(OUTPUTS) <= set(result)
    return result
