"""A real Mistral beside the lab's Heat, on its MariaDB and its keystone, and the operator's hand on it: the command
``openstack workflow``.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from keystoneauth1 import session
from keystoneclient.v3 import client

from heat import install_mistral
from heat.client import login, wait_until
from heat.lab import HOST, SERVICES, Lab, listening

CONFIGURATION = """\
[DEFAULT]
log_file = {directory}/log/mistral.log
use_stderr = false
transport_url = fake:/
# The old scheduler, Mistral's default, forgets for ever the job that it has in hand when it is killed.
scheduler_type = default
[database]
connection = {database}
[oslo_concurrency]
lock_path = {directory}/run
[keystone_authtoken]
www_authenticate_uri = {keystone_url}
auth_url = {keystone_url}
auth_type = password
username = heat
password = secret
user_domain_name = Default
project_name = service
project_domain_name = Default
[openstack_actions]
default_region = RegionOne
os_actions_endpoint_type = public
[action_std_http]
# The URL that is checked is one of this machine.
denied_cidrs =
[cron_trigger]
enabled = false
# The rest is how soon Mistral goes on with what it had in hand when it was killed; its own values are up to a minute.
[engine]
execution_integrity_check_delay = 3
[scheduler]
fixed_delay = 0.2
captured_job_timeout = 4
pickup_job_after = 4
"""
ENDED = ("SUCCESS", "ERROR", "CANCELLED")


class Mistral:
    """Mistral in a running lab; it ends with the lab. ``engine`` is the name of its process there."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.venv = install_mistral.directory()
        message = f"Mistral is not installed in {self.venv}; run: {install_mistral.COMMAND}"
        assert install_mistral.is_installed(self.venv), message
        lab.sockets["mistral"] = listening()
        self.url = f"http://{HOST}:{lab.port('mistral')}"
        self._configuration = lab.directory / "etc/mistral.conf"
        values = {"directory": lab.directory, "database": lab.database("mistral"), "keystone_url": lab.keystone_url}
        self._configuration.write_text(CONFIGURATION.format(**values), encoding="utf-8")
        self._operator = session.Session(auth=login(lab))
        lab.create_database("mistral")
        manage = [self._bin("mistral-db-manage"), "--config-file", str(self._configuration)]
        lab.run("mistral-tables", [*manage, "upgrade", "head"])
        self._add_to_catalog()
        self.start()

    def start(self) -> None:
        argv = [self._bin("python"), str(SERVICES / "mistral_all.py"), str(self._configuration)]
        self.lab.serve("mistral", [*argv, str(self.lab.sockets["mistral"].fileno())], ("mistral",))
        self.lab.wait_for("mistral", f"{self.url}/")

    def kill(self) -> None:
        """End engine, executor and API at once, as a crash does, with all messages that were on the way."""
        self.lab.kill("mistral")

    def openstack(self, *arguments: str) -> str:
        """Run the command as the user demo, as an operator does."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        environment.pop("PYTHONPATH", None)
        script = f'. "{self.lab.directory}/openrc"; exec "{self._bin("openstack")}" "$@"'
        ran = subprocess.run(
            ["sh", "-c", script, "openstack", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == 0, f"openstack {' '.join(arguments)}: {ran.stderr}\n{self.story()}"
        return ran.stdout

    def load(self, workflow: Path) -> None:
        self.openstack("workflow", "create", str(workflow))

    def get(self, path: str) -> Dict[str, Any]:
        """Return what the API answers: the command costs seconds of processor time for each look."""
        return dict(self._operator.get(f"{self.url}/v2/{path}").json())

    def begin(self, workflow: str, **values: Any) -> "Execution":
        given = {"workflow_name": workflow, "input": json.dumps(values)}
        return Execution(self, str(self._operator.post(f"{self.url}/v2/executions", json=given).json()["id"]))

    def story(self) -> str:
        log = self.lab.directory / "log/mistral.log"
        return log.read_text(encoding="utf-8", errors="replace")[-6000:] if log.exists() else ""

    def _bin(self, name: str) -> str:
        return str(self.venv / "bin" / name)

    def _add_to_catalog(self) -> None:
        auth = session.Session(auth=login(self.lab, "admin"))
        keystone = client.Client(session=auth, endpoint_override=self.lab.keystone_url)
        entry = keystone.services.create(name="mistral", type="workflowv2")
        for interface in ("public", "internal", "admin"):
            keystone.endpoints.create(entry, f"{self.url}/v2", interface=interface, region="RegionOne")


class Execution:
    """A workflow that runs or has run."""

    def __init__(self, mistral: Mistral, id: str) -> None:
        self.mistral = mistral
        self.id = id

    @property
    def state(self) -> str:
        return str(self._show()["state"])

    @property
    def state_info(self) -> str:
        return str(self._show()["state_info"])

    @property
    def output(self) -> Dict[str, Any]:
        return dict(json.loads(self._show()["output"]))

    def tasks(self) -> List[str]:
        """Return name and state of each task, in order."""
        listed = self.mistral.get(f"executions/{self.id}/tasks")["tasks"]
        return [f"{one['name']} {one['state']}" for one in sorted(listed, key=lambda one: str(one["created_at"]))]

    def wait(self) -> str:
        """Return the state in which it ends."""
        wait_until(lambda: self.state in ENDED, f"the workflow {self.id} to end", self.story, 400)
        return self.state

    def story(self) -> str:
        return "\n".join([*self.tasks(), self.mistral.story()])

    def _show(self) -> Dict[str, Any]:
        return self.mistral.get(f"executions/{self.id}")
