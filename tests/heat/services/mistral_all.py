"""A real Mistral: its engine, its executor and its API in one process, which talk through memory (oslo.messaging's
fake:/).

Usage: mistral_all.py CONFIGURATION DESCRIPTOR. The descriptor is that of a socket that listens already. Mistral's own
program forks a process for each of them, so that it would need a message broker.
"""

import os
import signal
import socket
import sys
import threading


def main(configuration: str, descriptor: int) -> None:
    # This import sets the threading backend of oslo.service, so it is the first.
    from mistral.engine import engine_server  # noqa: I001
    import waitress
    from mistral import config
    from mistral.api import app
    from mistral.executors import executor_server
    from oslo_config import cfg
    from oslo_log import log

    cfg.CONF.register_cli_opts(config.CLI_OPTS)
    config.parse_args(["--config-file", configuration])
    log.setup(cfg.CONF, "mistral")
    executor_server.get_oslo_service().start()
    engine_server.get_oslo_service().start()
    listening = [socket.socket(fileno=descriptor)]
    server = waitress.create_server(
        app.setup_app(), sockets=listening, threads=4, ident="mistral", clear_untrusted_proxy_headers=True
    )
    threading.Thread(target=server.run, name="api", daemon=True).start()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
