"""A real Heat: its engine and both of its APIs in one process, which talk through memory (oslo.messaging's fake:/).

Usage: heat_all.py CONFIGURATION API_DESCRIPTOR CFN_DESCRIPTOR. The descriptors are those of sockets that listen
already. Heat has no program of this kind any more, and heat-engine forks, so that it would need a message broker.
"""

import ast
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import types

# See keystone_wsgi.py.
MANY = {"connection_limit": 4000, "asyncore_use_poll": True}


def main(configuration: str, api: int, cfn: int) -> None:
    from oslo_service import backend

    # Before anything else of Heat is imported.
    backend.init_backend(backend.BackendType.THREADING)
    _parse_in_turns()
    _configure(configuration)
    from heat.engine import service, stack
    from heat.rpc import api as rpc_api
    from oslo_config import cfg

    # Heat sleeps 1 s after it has triggered each resource of a traversal (heat: Stack._converge_create_or_update). This
    # shortens only that, where it is asked for; everything else is Heat as it is.
    pause = os.environ.get("HEAT_PACING")
    if pause:
        stack.time = types.SimpleNamespace(sleep=lambda _: time.sleep(float(pause)), time=time.time)
    service.EngineService(cfg.CONF.host, rpc_api.ENGINE_TOPIC).start()
    _serve("heat-api", api)
    _serve("heat-api-cfn", cfn)
    # The classes of Heat and its libraries stay: to look for garbage among them took a quarter of the processor time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    os._exit(0)


def _parse_in_turns() -> None:
    """Let one thread at a time parse Python's syntax, as Heat does for the data of every resource. Two can disturb each
    other (python/cpython issue 106905: "AST constructor recursion depth mismatch"), and the stack then waits for ever.
    """
    parse, turn = ast.parse, threading.Lock()

    def in_turn(*arguments, **keywords):
        with turn:
            return parse(*arguments, **keywords)

    ast.parse = in_turn


def _configure(configuration: str) -> None:
    """What Heat's own programs do when they start."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    import oslo_i18n
    from heat.common import config, messaging
    from heat.engine import template
    from oslo_config import cfg
    from oslo_log import log

    from heat import version

    oslo_i18n.enable_lazy()
    log.register_options(cfg.CONF)
    cfg.CONF(
        ["--config-file", configuration], project="heat", prog="heat-all", version=version.version_info.version_string()
    )
    log.setup(cfg.CONF, cfg.CONF.prog)
    # Only this tells that a resource waits for the worker of an earlier traversal.
    logging.getLogger("heat.engine.check_resource").setLevel(logging.DEBUG)
    log.set_defaults()
    config.set_config_defaults()
    messaging.setup()
    config.startup_sanity_check()
    template._get_template_extension_manager()


def _serve(name: str, descriptor: int) -> None:
    import waitress
    from heat.common import config

    listening = [socket.socket(fileno=descriptor)]
    application = config.load_paste_app(name)
    server = waitress.create_server(
        application,
        sockets=listening,
        threads=12,
        ident=name,
        channel_timeout=300,
        clear_untrusted_proxy_headers=True,
        **MANY,
    )
    threading.Thread(target=server.run, name=name, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
