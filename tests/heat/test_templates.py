"""Every shipped template is one that a real Heat takes, with the environment that is shipped with it; and the scripts
in them.
"""

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
import yaml
from heatclient.common import template_utils
from keystoneauth1 import session

from heat.client import Heat, login
from heat.lab import Lab

TEMPLATES = Path(__file__).resolve().parents[2] / "hooks/templates"
# Every one that has resources: the others are environments, and the workflow.
NAMES = sorted(path.name for path in TEMPLATES.glob("*.yaml") if "\nresources:" in path.read_text(encoding="utf-8"))
# What a template wants to know before its conditions can be looked at.
PARAMETERS: Dict[str, Dict[str, Any]] = {
    "one-by-one.yaml": {"servers": "id-1,id-2", "update_after_time": "v1"},
    "package-update-places.yaml": {"names": ["a"], "servers": {"a": "id-1"}, "update_after_time": "v1"},
}


@pytest.fixture
def nova(lab: Lab) -> Iterator[None]:
    """An entry in the catalogue, for without one Heat does not know OS::Nova::Server at all. Nothing answers there, and
    nobody asks.
    """
    admin = session.Session(auth=login(lab, "admin"))
    service = admin.post(f"{lab.keystone_url}/services", json={"service": {"type": "compute", "name": "nova"}}).json()[
        "service"
    ]
    endpoint = {
        "service_id": service["id"],
        "interface": "public",
        "region_id": "RegionOne",
        "url": "http://127.0.0.1:9/v2.1",
    }
    admin.post(f"{lab.keystone_url}/endpoints", json={"endpoint": endpoint})
    yield
    admin.delete(f"{lab.keystone_url}/services/{service['id']}")


def validated(heat: Heat, name: str, *environments: str) -> Dict[str, Any]:
    files, template = template_utils.get_template_contents(str(TEMPLATES / name))
    more, environment = template_utils.process_multiple_environments_and_files(
        [str(TEMPLATES / one) for one in environments]
    )
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


def test_the_database_goes_back_one_upgrade_after_the_other(tmp_path: Path) -> None:
    """Phase 4 of phases.yaml, as hook-script runs it; its own phase tests go one upgrade forth and back."""
    phases = yaml.safe_load((TEMPLATES / "phases.yaml").read_text(encoding="utf-8"))
    script = phases["resources"]["database_config"]["properties"]["config"]
    calls, fuse = tmp_path / "calls", tmp_path / "fuse"
    given = {
        "upgrade": f"echo upgrade >> {calls}",
        "back": f"test ! -e {fuse} && echo back >> {calls}",
        "record": f"{tmp_path}/record",
    }

    def deliver(value: str, action: str = "UPDATE") -> str:
        environment = {**os.environ, **given, "update_after_time": value, "deploy_action": action}
        status = subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, timeout=60, check=False
        ).returncode
        said = calls.read_text(encoding="utf-8").split() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return " ".join([*said, "failed" if status else "done"])

    assert [deliver("v1", "CREATE"), deliver("v2"), deliver("v3")] == ["done", "upgrade done", "upgrade done"]
    fuse.touch()
    assert deliver("v1") == "failed"
    fuse.unlink()
    assert [deliver("v1", "CREATE"), deliver("v1"), deliver("v3")] == ["back back done", "done", "upgrade done"]


def test_the_script_gives_up_a_stack_that_cannot_be_shown(tmp_path: Path) -> None:
    """Somebody has deleted it meanwhile, say: it must not be asked for for ever."""
    openstack = tmp_path / "openstack"
    openstack.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/calls\n[ "$2" = update ]\n', encoding="utf-8")
    openstack.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PAUSE": "0"}
    argv = [str(TEMPLATES / "update-packages.sh"), "web", "v2"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "web is not updated to v2: it cannot be shown" in done.stderr
    assert (tmp_path / "calls").read_text(encoding="utf-8").split() == ["update", *["show"] * 21]
