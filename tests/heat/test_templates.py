"""Every shipped template is one that a real Heat takes, with the environment that is shipped with it."""

import uuid
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from heatclient.common import template_utils
from keystoneauth1 import session
from keystoneauth1.identity import v3

from heat.client import Heat
from heat.lab import Lab

TEMPLATES = Path(__file__).resolve().parents[2] / "hooks/templates"
# Every one that has resources: the others are environments, and the workflow.
NAMES = sorted(path.name for path in TEMPLATES.glob("*.yaml") if "\nresources:" in path.read_text(encoding="utf-8"))
SERVERS = '{"one": "id-1", "two": "id-2"}'
# What a template wants to know before its conditions can be looked at.
PARAMETERS: Dict[str, Dict[str, Any]] = {"one-by-one.yaml": {"servers": "id-1,id-2", "update_after_time": "v1"}}


@pytest.fixture
def nova(lab: Lab) -> Iterator[None]:
    """An entry in the catalogue, for without one Heat does not know OS::Nova::Server at all. Nothing answers there, and nobody asks."""
    names = {"username": "admin", "password": "secret", "project_name": "admin"}
    admin = session.Session(auth=v3.Password(auth_url=lab.keystone_url, user_domain_id="default", project_domain_id="default", **names))
    service = admin.post(f"{lab.keystone_url}/services", json={"service": {"type": "compute", "name": "nova"}}).json()["service"]
    endpoint = {"service_id": service["id"], "interface": "public", "region_id": "RegionOne", "url": "http://127.0.0.1:9/v2.1"}
    admin.post(f"{lab.keystone_url}/endpoints", json={"endpoint": endpoint})
    yield
    admin.delete(f"{lab.keystone_url}/services/{service['id']}")


def validated(heat: Heat, name: str, *environments: str) -> Dict[str, Any]:
    files, template = template_utils.get_template_contents(str(TEMPLATES / name))
    more, environment = template_utils.process_multiple_environments_and_files([str(TEMPLATES / one) for one in environments])
    environment = {**environment, "parameters": PARAMETERS.get(name, {})}
    return dict(heat.api.stacks.validate(template=template, files={**files, **more}, environment=environment))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("nova")
def test_heat_takes_the_template(lab: Lab, name: str) -> None:
    heat = Heat(lab)
    assert validated(heat, name, "environment.yaml")["Description"]


def test_heat_says_what_is_wrong_with_a_template(heat: Heat, tmp_path: Path) -> None:
    """So that the test above can fail."""
    text = (TEMPLATES / "package-update.yaml").read_text(encoding="utf-8")
    wrong = tmp_path / f"{uuid.uuid4().hex}.yaml"
    wrong.write_text(text.replace("{get_resource: config}", "{get_resource: confg}"), encoding="utf-8")
    with pytest.raises(Exception, match="confg"):
        validated(heat, str(wrong), "environment.yaml")
