"""A real keystone, its own WSGI application, in one process with one thread, on a socket that listens already.

Usage: keystone_wsgi.py CONFIGURATION DESCRIPTOR. One thread, because several mix up the scopes of two requests now and
then; one process, because its cache, without which each token costs some 60 queries, lies in its memory.
Many connections: Heat leaves hundreds open, and where no more are accepted, as waitress does after 100, Heat stands
still for up to two minutes: it asks keystone for a domain while it holds the lock of its log (oslo.log formats a record
with its context).
"""

import os
import resource
import socket
import sys


def main(configuration: str, descriptor: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = os.path.dirname(configuration)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = os.path.basename(configuration)
    # keystone reads the command line too.
    sys.argv = ["keystone-wsgi-public"]
    import waitress
    from keystone.server import wsgi

    application = wsgi.initialize_public_application()
    listening = [socket.socket(fileno=descriptor)]
    many = {"connection_limit": 4000, "asyncore_use_poll": True}
    waitress.serve(
        application, sockets=listening, threads=1, ident="keystone", clear_untrusted_proxy_headers=True, **many
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
