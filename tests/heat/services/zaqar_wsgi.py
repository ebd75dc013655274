"""A real Zaqar, its own WSGI application, on a socket that listens already.

Usage: zaqar_wsgi.py CONFIGURATION DESCRIPTOR. Its messages lie in Swift, its queues in an SQLite file.
Its driver for Swift answers a pop with the id of the sender, too, which the client of Heat refuses (a TypeError). The
drivers for MongoDB and Redis do not, so this is left out here. Everything else is Zaqar as it is.
"""

import socket
import sys
from typing import Any, Dict, List


def main(configuration: str, descriptor: int) -> None:
    import waitress
    from oslo_config import cfg
    from oslo_log import log
    from zaqar import bootstrap
    from zaqar.storage.sqlalchemy import tables
    from zaqar.storage.swift.messages import MessageController

    pop = MessageController.pop

    def pop_without_sender(*arguments: Any, **keywords: Any) -> List[Dict[str, Any]]:
        found = pop(*arguments, **keywords)
        return [{name: value for name, value in one.items() if name != "client_uuid"} for one in found]

    MessageController.pop = pop_without_sender
    conf = cfg.CONF
    log.register_options(conf)
    conf(["--config-file", configuration], project="zaqar", prog="zaqar")
    log.setup(conf, "zaqar")
    server = bootstrap.Bootstrap(conf)
    tables.metadata.create_all(server.control.engine)
    listening = [socket.socket(fileno=descriptor)]
    waitress.serve(server.transport.app, sockets=listening, threads=4, clear_untrusted_proxy_headers=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
