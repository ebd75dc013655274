"""The alternatives of an rpm node: chkconfig's `alternatives` keeps and changes them. rpm itself knows nothing of them.

An OSTree system, which no dnf updates, has the files elsewhere.
"""

from contextlib import suppress
from pathlib import Path
from typing import IO, List, Sequence, Tuple

from os_update_agent.model.errors import CommandFailed, PackageError
from os_update_agent.model.settings import Setting, SettingChange
from os_update_agent.node.process import run_to_file
from os_update_agent.packages.settings import alternative_calls
from os_update_agent.packages.settings_files import alternatives

ADMIN = Path("var/lib/alternatives")
LINKS = Path("etc/alternatives")


def settings_below(root: Path) -> Tuple[Setting, ...]:
    """Return the alternatives of the node. Raises PackageError."""
    try:
        return tuple(sorted(alternatives(root / ADMIN, root / LINKS)))
    except OSError as error:
        raise PackageError(f"{error.filename} cannot be read: {error.strerror}") from error


def arrange_alternatives(changes: Sequence[SettingChange], root: Path, output: IO[bytes]) -> None:
    """Change alternatives. The words of the tool go to the log; a capture shows what it has done."""
    for call in alternative_calls(changes):
        try:
            run_to_file([*_tool(root), *call], output, ok=None)
        except CommandFailed as error:
            with suppress(OSError):
                output.write(f"{error}\n".encode("utf-8", "replace"))


def _tool(root: Path) -> List[str]:
    """Return how the tool is called. No option of it puts the links themselves below another root."""
    return ["alternatives"] if root == Path("/") else ["chroot", str(root), "alternatives"]
