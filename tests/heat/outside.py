"""Deployments outside of a stack: what ``heat deployment-create`` and ``openstack software deployment`` do."""

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from heatclient.common import deployment_utils
from keystoneauth1 import session
from swiftclient import client as swift

from heat.client import Heat, login

CONFIG: Mapping[str, Any] = {
    "group": "package-update",
    "inputs": [{"name": "update_after_time", "type": "String"}],
    "outputs": [{"name": "changes"}, {"name": "state_digest"}, {"name": "failure", "error_output": True}],
}


@dataclass
class Deployments:
    """The deployments of one server, by its id."""

    heat: Heat
    server: str

    @property
    def api(self) -> Any:
        return self.heat.api.software_deployments

    def url(self, name: str) -> str:
        """Return a URL for the result, in a container of its own."""
        keystone = session.Session(auth=login(self.heat.lab))
        options = {"os_options": {"object_storage_url": keystone.get_endpoint(service_type="object-store")}}
        return str(deployment_utils.create_temp_url(swift.Connection(session=keystone, **options), name, 60))

    def config(self, name: str, value: str, action: str, url: Optional[str]) -> Any:
        """Make the config of one delivery; without a URL the transport is NO_SIGNAL."""
        given = {"update_after_time": value}
        transport = "TEMP_URL_SIGNAL" if url else "NO_SIGNAL"
        derived = deployment_utils.build_derived_config_params(
            action, dict(CONFIG), name, given, self.server, transport, signal_id=url
        )
        return self.heat.api.software_configs.create(**derived)

    def create(self, name: str, value: str, action: str = "UPDATE", url: Optional[str] = None) -> str:
        """Return the id of the deployment."""
        config = self.config(name, value, action, url)
        more = {"config_id": config.id, "server_id": self.server, "action": action, "status": "IN_PROGRESS"}
        return str(self.api.create(**more).id)

    def update(self, id: str, name: str, value: str, url: str) -> Dict[str, Any]:
        """Give the deployment a new config. Return what the server gets for it."""
        config = self.config(name, value, "UPDATE", url)
        self.api.update(id, config_id=config.id, action="UPDATE", status="IN_PROGRESS")
        return dict(config.to_dict())

    def show(self, id: str) -> Any:
        """What ``openstack software deployment show`` shows: Heat looks at the object only when it is asked."""
        return self.api.get(id)

    def delete(self, id: str) -> None:
        config = self.show(id).config_id
        self.api.delete(id)
        self.heat.api.software_configs.delete(config)

    def names(self) -> List[str]:
        return [str(one["name"]) for one in self.api.metadata(self.server)]


def wait_for_fraction(least: float, most: float) -> None:
    """Wait until the clock is in this part of a second."""
    while not least <= time.time() % 1 <= most:
        time.sleep(0.01)
