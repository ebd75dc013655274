"""Preferences for one command: apt's own way to leave versions out or to prefer them (apt_preferences(5)), without
touching holds.
"""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Sequence, Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.packages import Package, Transaction
from os_update_agent.packages.apt.commands import plain

# A security archive's version wins over a newer one from the ordinary archive, which may be no security update.
SECURITY_FIRST = """\
Package: *
Pin: release a=*-security
Pin-Priority: 990

Package: *
Pin: release l=Debian-Security
Pin-Priority: 990
"""


def against(globs: Sequence[str]) -> str:
    """Preferences under which apt installs no newer version of the names, not even as a dependency."""
    return f"Package: {' '.join(globs)}\nPin: release *\nPin-Priority: -1\n" if globs else ""


def exactly(packages: Sequence[Package]) -> str:
    """Preferences under which these versions are the ones that apt wants, also if newer ones are installed.

    apt repairs unmet dependencies before it looks at the files that it is given, and only with what it wants.
    """
    return "\n".join(
        f"Package: {plain(package)}\nPin: version {package.version}\nPin-Priority: 1001\n" for package in packages
    )


def wanted(transaction: Transaction, forced: bool) -> str:
    """Return the preferences under which apt can repair what an interruption has left."""
    return exactly(transaction.install) if transaction.mends or forced else ""


@contextmanager
def added_preferences(text: str, *, own: Path, work: Path) -> Iterator[Tuple[str, ...]]:
    """apt's options under which ``text`` comes on top of the node's own preferences file ``own``."""
    if not text:
        yield ()
        return
    before = read_text(own, errors="replace") if own.exists() else ""
    with tempfile.NamedTemporaryFile("w", dir=work, prefix="preferences-", encoding="utf-8") as file:
        file.write(f"{before.rstrip()}\n\n{text}\n".lstrip())
        file.flush()
        yield ("-o", f"Dir::Etc::preferences={file.name}")
