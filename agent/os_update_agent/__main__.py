"""The command, also as ``python -m os_update_agent``. It answers Ctrl-C with one line, even while it imports."""

import os
import sys


def main() -> int:
    """Run one command. Returns its exit status."""
    import signal  # late: see _leave_working_directory

    from os_update_agent.node.inheritance import correct_inheritance

    correct_inheritance()
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
    os._exit(130)


def _leave_working_directory() -> None:
    """Import nothing more from the working directory, which python -m searches first: anybody may have left a
    sqlite3.py in it.

    This comes too late for a directory os_update_agent there, and for what runpy imports itself (importlib, types ...).
    Only -I, as in the installed command, prevents that.
    """
    library = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.isolated and sys.path[0] != library:
        del sys.path[0]


if __name__ == "__main__":
    _leave_working_directory()
    sys.exit(main())
