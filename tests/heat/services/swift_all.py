"""A real Swift with one replica: proxy, account, container and object server in one process.

Usage: swift_all.py DIRECTORY KEYSTONE_URL DESCRIPTOR. The descriptor is that of a socket that listens already, for the
proxy. The directory must be on a filesystem with extended attributes: Swift's own mem_object, which needs none, answers
503 to every second PUT of an object.
"""

import os
import sys
from typing import Any, Dict

PIPELINE = """\
[DEFAULT]
swift_dir = {directory}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper tempurl authtoken keystoneauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:tempurl]
use = egg:swift#tempurl
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
www_authenticate_uri = {keystone_url}
auth_type = password
auth_url = {keystone_url}
username = heat
password = secret
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles_required = true
"""


def main(directory: str, keystone_url: str, descriptor: int) -> None:
    from swift.common import utils

    utils.monkey_patch()
    import eventlet
    import eventlet.wsgi
    from swift.account.server import AccountController
    from swift.common import wsgi
    from swift.common.ring import RingBuilder
    from swift.container.server import ContainerController
    from swift.obj.server import ObjectController

    utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b"lab", b"lab"
    conf: Dict[str, Any] = {"devices": f"{directory}/devices", "mount_check": "false", "swift_dir": directory}
    conf.update({"log_level": "WARNING", "disable_fallocate": "true"})
    os.makedirs(f"{directory}/devices/disk", exist_ok=True)
    for kind, server in (
        ("account", AccountController),
        ("container", ContainerController),
        ("object", ObjectController),
    ):
        listening = eventlet.listen(("127.0.0.1", 0))
        builder = RingBuilder(1, 1, 0)
        place = {"ip": "127.0.0.1", "port": listening.getsockname()[1], "device": "disk"}
        builder.add_dev({**place, "region": 1, "zone": 1, "weight": 1.0})
        builder.rebalance()
        builder.get_ring().save(f"{directory}/{kind}.ring.gz")
        eventlet.spawn(eventlet.wsgi.server, listening, server(conf), log_output=False)
    path = f"{directory}/proxy.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write(PIPELINE.format(directory=directory, keystone_url=keystone_url))
    proxy = eventlet.greenio.GreenSocket(_listening(descriptor))
    eventlet.wsgi.server(proxy, wsgi.loadapp(path), log_output=False)


def _listening(descriptor: int) -> Any:
    from eventlet.patcher import original

    return original("socket").socket(fileno=descriptor)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
