"""Questions to programs and files of the node, each bounded. Nothing here writes outside of the given directories."""

import json
import re
from pathlib import Path
from typing import Mapping, Optional, Sequence

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.errors import PackageError
from os_update_agent.node.process import Completed, run
from os_update_agent.selftest.examine import QUESTION_SECONDS
from os_update_agent.selftest.package_verdicts import Kernel
from os_update_agent.selftest.verdicts import Probe

_PROBE = Path(__file__).parent / "probe.py"
_ASSIGNMENT = re.compile(r"^\s*(?P<name>\w+)=[\"']?(?P<value>[^\"'#\n]*)", re.MULTILINE)


def ask(*argv: str, ok: Optional[Sequence[int]] = (0,), env: Optional[Mapping[str, str]] = None) -> Completed:
    """Run a program that only answers. Raises CommandFailed, TimedOut."""
    return run(argv, ok=ok, env=env, timeout=QUESTION_SECONDS)


def probe(python: str, manager: str) -> Probe:
    """Load the worker's modules under its Python. Raises PackageError, CommandFailed."""
    done = ask(python, "-I", "-B", str(_PROBE), manager, ok=None)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise PackageError(f"{python} ended with {done.returncode} while it loaded the worker: {done.tail}") from None
    return Probe(tuple(found["python"]), found["program"], found["versions"], found["errors"], tuple(found["left_out"]))


def text_of(path: Path) -> str:
    """Return the text of a file, "" where there is none. Raises OSError if it cannot be read."""
    try:
        return read_text(path, errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def assigned(files: Sequence[Path]) -> Mapping[str, str]:
    """Return the variables that files of shell assignments set; the last one wins."""
    texts = map(text_of, files)
    return {found["name"]: found["value"].strip() for text in texts for found in _ASSIGNMENT.finditer(text)}


def kernel(root: Path, *, grubby: bool = False, limit: str = "") -> Kernel:
    """Return what chooses the kernel of the next boot. Only on the node's own root ``grubby`` is asked."""
    drop_ins = sorted((root / "etc/default/grub.d").glob("*.cfg"))
    grub = assigned([root / "etc/default/grub", *drop_ins])
    default = ask("grubby", "--default-kernel", ok=None).stdout.strip() if grubby else ""
    update = assigned([root / "etc/sysconfig/kernel"]).get("UPDATEDEFAULT", "")
    running = ask("uname", "-r").stdout.strip()
    return Kernel(running, grub.get("GRUB_DEFAULT", ""), default, update, limit)
