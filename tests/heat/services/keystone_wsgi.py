"""A real keystone, its own WSGI application, in one process with one thread, on a socket that listens already.

Usage: keystone_wsgi.py CONFIGURATION DESCRIPTOR. One thread, because several mix up the scopes of two requests now and then; one process,
because its cache, without which each token costs some 60 queries, lies in its memory.
"""

import os
import socket
import sys


def main(configuration: str, descriptor: int) -> None:
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = os.path.dirname(configuration)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = os.path.basename(configuration)
    # keystone reads the command line too.
    sys.argv = ["keystone-wsgi-public"]
    import waitress
    from keystone.server import wsgi

    application = wsgi.initialize_public_application()
    listening = [socket.socket(fileno=descriptor)]
    waitress.serve(application, sockets=listening, threads=1, ident="keystone", clear_untrusted_proxy_headers=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
