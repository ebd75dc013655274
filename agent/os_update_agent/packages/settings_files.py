"""Reads alternatives from the files of their tool: dpkg's update-alternatives and chkconfig's alternatives."""

import os
from pathlib import Path
from typing import Iterator, List, Sequence

from os_update_agent.config.bounded_files import read_bytes
from os_update_agent.model.settings import Setting
from os_update_agent.packages.installed_files import on_disk
from os_update_agent.packages.settings import read_alternative

# What the tools leave in their directory while they write, or when they are ended meanwhile.
_UNFINISHED = (".new", ".dpkg-new", ".dpkg-tmp")


def text_of(path: Path) -> str:
    """Return what a file holds, "" if there is no file. Raises OSError."""
    if path.is_dir():
        return ""
    try:
        return os.fsdecode(read_bytes(path))
    except FileNotFoundError:
        return ""


def watched(admin: Path, links: Path) -> Sequence[Path]:
    """Return the files and directories one of which changes with each alternative."""
    return admin, links, *_files(admin)


def _files(admin: Path) -> Iterator[Path]:
    try:
        names = os.listdir(admin)
    except OSError:
        return
    yield from (admin / name for name in sorted(names) if not name.startswith(".") and not name.endswith(_UNFINISHED))


def alternatives(admin: Path, links: Path) -> List[Setting]:
    """Return the alternatives whose files are in ``admin`` and whose links are in ``links``. Raises OSError."""
    return [read_alternative(file.name, text_of(file), _target_of(links / file.name)) for file in _files(admin)]


def _target_of(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def missing_below(root: Path, paths: Sequence[str]) -> List[str]:
    """Return those of the paths that do not exist below the root, whose links count as links inside of it."""
    return [path for path in paths if not _exists(root, path)]


def _exists(root: Path, path: str) -> bool:
    try:
        return on_disk(root, path, follow=True).exists()
    except OSError:
        return False
