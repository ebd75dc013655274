"""The command, also as ``python -m os_update_agent``. It answers Ctrl-C with one line, even while it imports."""

import os
import signal
import sys


def main() -> int:
    """Run one command. Returns its exit status."""
    # Background jobs inherit SIGINT ignored; keep it ignored.
    is_for_us = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_for_us:
        signal.signal(signal.SIGINT, _end)
    from os_update_agent.cli.main import main as command  # late: most of the time before anything is done

    if is_for_us:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


def _end(*_: object) -> None:
    """Exit directly: an exception raised during an import may be swallowed or print a traceback."""
    os.write(2, b"os-update-agent: interrupted before anything was begun\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
