"""Starts a program of the agent: python3 -I launch.py MODULE ARGUMENT...

The interpreter runs isolated (-I): root imports nothing from the working directory, PYTHONPATH, or the home directory.
This module adds the one directory that holds the agent.

It runs under any Python from 3.6 on and imports nothing at first, because the package manager may be replacing Python
(law 13): /usr/bin/python3 can be an interpreter whose standard library is not installed yet, or one that is too old.
Then the other interpreters of the node are tried. Debian keeps python3.11 when it installs python3.13.
"""

import os
import sys
from typing import Optional, Sequence

OLDEST = (3, 9)
HOOK = "os_update_agent.hook"
SYSTEM_PYTHON = "/usr/bin/python3"
# Parts of the standard library that distributions pack apart from the interpreter.
_NEEDED = ("_hashlib", "_sqlite3", "_ssl", "email", "http", "json", "sqlite3", "ssl", "uuid")


def launch(module: str) -> int:
    """Run ``main`` of a module of the agent, or start it again under another Python. Returns the exit status."""
    library = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if library not in sys.path:
        sys.path.insert(0, library)
    if not _is_fit():
        _go_on_elsewhere(module)
        if sys.version_info < OLDEST:
            sys.exit(
                f"os-update-agent: {sys.executable} is Python {sys.version.split()[0]}; the agent needs 3.9 or later"
            )
    try:
        program = __import__(module, fromlist=["main"])
    except (ImportError, MemoryError, OSError) as error:
        _go_on_elsewhere(module)
        return _unloaded(module, f"{sys.executable} cannot load {module}: {type(error).__name__}: {error}")
    return int(program.main())


def _unloaded(module: str, why: str) -> int:
    """Report why a program cannot be loaded. Returns its exit status: the hook prints a failure for heat-config."""
    why = "".join(
        letter if letter.isprintable() and letter.isascii() and letter not in '"\\' else "?" for letter in why
    )
    os.write(2, f"os-update-agent: {why}\n".encode())
    if module != HOOK:
        return 1
    answer = f'{{"deploy_stdout": "", "deploy_stderr": "os-update-agent: {why}", '
    os.write(1, f'{answer}"deploy_status_code": 1}}'.encode())
    return 0


def _is_fit() -> bool:
    """Say whether this Python can run the agent: new enough, and with its whole standard library."""
    return sys.version_info >= OLDEST and all(map(_is_there, _NEEDED))


def _is_there(name: str) -> bool:
    return name in sys.modules or any(finder.find_spec(name, None) for finder in sys.meta_path)


def _go_on_elsewhere(module: str) -> None:
    """Replace this process by the next Python that may run the agent. Returns if there is none."""
    python = following(os.path.realpath(sys.executable), os.path.realpath(SYSTEM_PYTHON), pythons("/usr/bin"))
    if python is not None:
        os.write(2, f"os-update-agent: {sys.executable} cannot run the agent now; starting {python}\n".encode())
        os.execv(python, [python, "-I", os.path.realpath(__file__), module, *sys.argv[1:]])


def following(present: str, first: str, others: Sequence[str]) -> Optional[str]:
    """Return the interpreter to try after ``present``: ``first`` and then each other one, once; None after the last."""
    order = [first, *(python for python in others if python != first)]
    return next(iter(order[order.index(present) + 1 :]), None) if present in order else None


def pythons(directory: str) -> Sequence[str]:
    """Return the interpreters in a directory that are new enough, the newest first."""
    minors = [name[len("python3.") :] for name in os.listdir(directory) if name.startswith("python3.")]
    new_enough = sorted((int(minor) for minor in minors if minor.isdigit() and int(minor) >= OLDEST[1]), reverse=True)
    return [os.path.join(directory, f"python3.{minor}") for minor in new_enough]


if __name__ == "__main__":
    name = sys.argv.pop(1)
    sys.exit(launch(name))
