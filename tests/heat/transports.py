"""The services that other transports need, beside the lab's keystone and Heat: Swift for TEMP_URL_SIGNAL and
POLL_TEMP_URL, Zaqar for ZAQAR_SIGNAL.
"""

import os
from typing import Sequence

from keystoneauth1 import session
from keystoneclient.v3 import client

from heat.client import login
from heat.configuration import SERVICE_USER
from heat.lab import HOST, SERVICES, Lab, listening

ZAQAR = """\
[DEFAULT]
log_file = {directory}/log/zaqar.log
use_stderr = false
auth_strategy = keystone
[drivers]
transport = wsgi
message_store = swift
management_store = sqlalchemy
[drivers:management_store:sqlalchemy]
uri = sqlite:///{directory}/run/zaqar.sqlite
[drivers:message_store:swift]
uri = swift://heat:secret@/service
auth_url = {keystone_url}
region_name = RegionOne
[signed_url]
secret_key = made-up
[keystone_authtoken]
www_authenticate_uri = {keystone_url}
project_name = service
project_domain_name = Default
service_token_roles_required = true
{service_user}
"""


def start(lab: Lab) -> None:
    """Start both, and add them to the lab's catalog. They end with the lab."""
    user = SERVICE_USER.format(keystone_url=lab.keystone_url)
    conf = ZAQAR.format(directory=lab.directory, keystone_url=lab.keystone_url, service_user=user)
    (lab.directory / "etc/zaqar.conf").write_text(conf, encoding="utf-8")
    (lab.directory / "swift").mkdir()
    # Swift keeps the metadata of objects there.
    os.setxattr(lab.directory / "swift", "user.lab", b"1")
    urls = {name: _listen(lab, name) for name in ("swift", "zaqar")}
    _catalog(lab, "object-store", f"{urls['swift']}/v1/AUTH_%(project_id)s")
    _catalog(lab, "messaging", urls["zaqar"])
    _serve(lab, "swift", "swift_all.py", [str(lab.directory / "swift"), lab.keystone_url])
    _serve(lab, "zaqar", "zaqar_wsgi.py", [str(lab.directory / "etc/zaqar.conf")])
    lab.wait_for("swift", f"{urls['swift']}/info")
    lab.wait_for("zaqar", f"{urls['zaqar']}/v2/ping")


def _listen(lab: Lab, name: str) -> str:
    lab.sockets[name] = listening()
    return f"http://{HOST}:{lab.port(name)}"


def _serve(lab: Lab, name: str, program: str, arguments: Sequence[str]) -> None:
    argv = [str(lab.venv / "bin/python"), str(SERVICES / program), *arguments]
    lab.serve(name, [*argv, str(lab.sockets[name].fileno())], (name,))


def _catalog(lab: Lab, kind: str, url: str) -> None:
    keystone = client.Client(session=session.Session(auth=login(lab, "admin")), endpoint_override=lab.keystone_url)
    entry = keystone.services.create(name=kind, type=kind)
    for interface in ("public", "internal", "admin"):
        keystone.endpoints.create(entry, url, interface=interface, region="RegionOne")
