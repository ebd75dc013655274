"""The agent's code as it lies on a node: a directory of pure Python code with its libraries, for each version of it.

It replaces the virtual environment from which it is copied (law 13). A virtual environment belongs to one minor version
of Python (lib/python3.11): after an update of the distribution nothing in it can be imported, and the node could
neither go back nor report that. The directory is for any Python from 3.9 on; its programs run under the
distribution's own /usr/bin/python3. Compiled extensions are left out: charset_normalizer and PyYAML work without.

No zip file, although Python could run one: a running worker would read its late imports from a file that an update of
the agent has replaced. dnf's worker and the shipped files are files, too. An update of the agent makes a new directory
and keeps the one before, which runs may still be using.
"""

import hashlib
import os
import re
import sys
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from itertools import islice
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from os_update_agent import __version__
from os_update_agent.install.layout import CODE, COMMAND, CURRENT, HOME, HOOK, RENDER, Tree
from os_update_agent.install.place import files_below
from os_update_agent.model.errors import UsageError
from os_update_agent.node.process import run

PACKAGE = Path(__file__).parents[1]
# The libraries that the agent imports. Results over HEAT_SIGNAL and ZAQAR_SIGNAL need keystoneauth1.
REQUIRED, OPTIONAL = ("requests", "yaml", "distro"), ("keystoneauth1",)
# The libraries that those import, in their different versions.
_THEIRS = (
    *("urllib3", "idna", "certifi", "charset_normalizer", "chardet", "six"),
    *("iso8601", "os_service_types", "pbr", "stevedore", "typing_extensions"),
)
SYSTEM_PYTHON = "/usr/bin/python3"
OLDEST_MINOR = 9
_PROGRAMS = {
    COMMAND: "os_update_agent.__main__",
    HOOK: "os_update_agent.hook",
    RENDER: "os_update_agent.install.render",
}
_PROGRAM = """\
#!{python} -I
# Written by os-update-agent install-hook.
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib"))

from os_update_agent.launch import launch

sys.exit(launch("{module}"))
"""
# Without site-packages: whatever the code needs has to be in the directory.
_TRIAL = (
    "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
    "for name in sys.argv[1:]: __import__(name)\n"
    "for name in ('requests.adapters', 'urllib3.util.retry', 'keystoneauth1.session', 'keystoneauth1.identity.v3'):\n"
    "    if name.partition('.')[0] in sys.argv: __import__(name)\n"
)
_MODULES = ("os_update_agent.hook", "os_update_agent.worker", "os_update_agent.cli.main", "os_update_agent.runs.engine")


def code(root: Path) -> Tuple[Tree, Tuple[str, ...]]:
    """Return this agent's code with its libraries, and the optional libraries that are missing here.

    Raises UsageError if the root has no Python for it, or if a library is missing.
    """
    python = interpreter(root)
    files = {f"lib/{PACKAGE.name}/{name}": (PACKAGE / name).read_bytes() for name in files_below(PACKAGE)}
    missing = [name for name in (*REQUIRED, *OPTIONAL) if not _add(files, name)]
    if set(missing) & set(REQUIRED):
        raise UsageError(
            f"this Python ({sys.executable}) cannot import {', '.join(missing)}: install the agent with pip into a"
            " virtual environment, and run the os-update-agent of that environment"
        )
    for name in _THEIRS:
        _add(files, name)
    for program, module in _PROGRAMS.items():
        files[f"bin/{program}"] = _PROGRAM.format(python=python, module=module).encode()
    return Tree(f"{HOME}/{CODE}/{__version__}-{_digest(files)}", files), tuple(missing)


def _digest(files: Dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()[:12]


def _add(files: Dict[str, bytes], name: str) -> bool:
    """Add a library that this Python can import, without its tests. Returns whether there is one."""
    path = _search_path()
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return False
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        files[f"lib/{origin.name}"] = origin.read_bytes()
    else:
        for file in files_below(origin.parent, leave_out="tests"):
            files[f"lib/{name}/{file}"] = (origin.parent / file).read_bytes()
    for found in islice(distributions(name=name, path=path), 1):
        # keystoneauth1 asks for its own version there.
        text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
        files[f"lib/{name}-{found.version}.dist-info/METADATA"] = text.encode()
    return True


def oldest_minor(tree: Tree) -> int:
    """Return the least minor version of Python 3 under which the code and its libraries say that they run."""
    found = [OLDEST_MINOR]
    for name, content in tree.files.items():
        if name.endswith(".dist-info/METADATA"):
            wanted = re.search(rb"^Requires-Python:.*>=\s*3\.(\d+)", content, re.MULTILINE)
            found += [int(wanted.group(1))] if wanted else []
    return max(found)


def _search_path() -> List[str]:
    """Return where the libraries are looked for: beside installed code, which is complete, or where Python looks."""
    own = PACKAGE.parent
    return [str(own)] if own.name == "lib" and own.parents[1].name == CODE else sys.path


def interpreter(root: Path) -> str:
    """Return the Python of the root that runs the agent: /usr/bin/python3, or the newest other one if that is older
    than 3.9. Raises UsageError.
    """
    minor = _minor(root, SYSTEM_PYTHON)
    if minor is not None and minor >= OLDEST_MINOR:
        return SYSTEM_PYTHON
    names = [path.name[len("python3.") :] for path in (root / "usr/bin").glob("python3.*")]
    others = [int(name) for name in names if name.isdigit() and int(name) >= OLDEST_MINOR]
    if others:
        return f"/usr/bin/python3.{max(others)}"
    found = "is not there" if minor is None else f"is Python 3.{minor}"
    raise UsageError(f"{SYSTEM_PYTHON} in {root} {found}; the agent needs the distribution's Python, 3.9 or later")


def _minor(root: Path, path: str) -> Optional[int]:
    """Return the minor version of a Python by the name of its file, which links inside the root lead to."""
    for _ in range(10):
        file = root / path.lstrip("/")
        if not file.is_symlink():
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(file)))
    name = os.path.basename(path)[len("python3.") :]
    if not (root / path.lstrip("/")).is_file():
        return None
    # A file of another name: the distribution's Python all the same.
    return int(name) if name.isdigit() else OLDEST_MINOR


def try_out(root: Path, tree: Tree, missing: Tuple[str, ...]) -> None:
    """Import the written code with the libraries beside it alone, and compile it. Raises CommandFailed.

    Only the running machine's Python can do that; in another root the first start compiles.
    """
    directory = root / tree.path.lstrip("/")
    is_host = root == Path("/")
    python = interpreter(root) if is_host else sys.executable
    names = [name for name in (*_MODULES, *REQUIRED, *OPTIONAL) if name not in missing]
    run([python, "-I", "-S", "-B", "-c", _TRIAL, str(directory / "lib"), *names], cwd=Path("/"))
    if is_host:
        run([python, "-I", "-m", "compileall", "-q", str(directory / "lib")], ok=None, cwd=Path("/"))


def others(root: Path, *kept: str) -> Iterator[Tree]:
    """Yield the directories of code that belong to other versions than the ``kept`` ones (their names)."""
    found: List[str] = []
    home = root / HOME.lstrip("/") / CODE
    if home.is_dir():
        found = sorted(path.name for path in home.iterdir() if path.is_dir() and not path.is_symlink())
    yield from (Tree(f"{HOME}/{CODE}/{name}", {}) for name in found if name not in kept)


def present(root: Path) -> str:
    """Return the name of the directory that runs now; '' if there is none."""
    link = root / HOME.lstrip("/") / CURRENT
    return os.path.basename(os.readlink(link)) if link.is_symlink() else ""
