"""A real Zaqar, its own WSGI application, on a socket that listens already.

Usage: zaqar_wsgi.py CONFIGURATION DESCRIPTOR. Its messages lie in Swift, its queues in an SQLite file.
"""

import socket
import sys


def main(configuration: str, descriptor: int) -> None:
    import waitress
    from oslo_config import cfg
    from oslo_log import log
    from zaqar import bootstrap
    from zaqar.storage.sqlalchemy import tables

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
