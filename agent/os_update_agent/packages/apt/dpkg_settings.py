"""Moves dpkg's own settings of leaving packages aside, for the time of one attempt.

Facts (dpkg(1), and measured with dpkg 1.21): dpkg reads the files of /etc/dpkg/dpkg.cfg.d whose names hold no dot, and
nothing makes it read another directory. A hook in them (pre-invoke, post-invoke, status-logger) that fails, ends each
call of dpkg with an error. A configuration file that is missing counts as deleted by the administrator.
"""

import hashlib
import os
from pathlib import Path
from typing import Mapping, Sequence

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_bytes
from os_update_agent.model.etc_files import PackagedText
from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.dpkg_files import paths_of

_DIRECTORY = "etc/dpkg/dpkg.cfg.d"
_ASIDE, _EDITED = ".os-update-agent", ".os-update-agent-edited"
# dpkg installs a missing configuration file only with it.
INSTALL_MISSING = "--force-confmiss"


def set_aside(root: Path, packages: Sequence[Package], texts: Mapping[str, PackagedText]) -> bool:
    """Move the settings of the packages aside until put_back(). Return whether there were any."""
    wanted = {path for package in packages for path in paths_of(root / "var/lib/dpkg", package)}
    found = [file for file in _files(root) if f"/{_DIRECTORY}/{file.name}" in wanted]
    for file in found:
        known = texts.get(f"/{_DIRECTORY}/{file.name}")
        is_own = known is not None and _hash(file, known.algorithm) == known.content
        os.replace(file, f"{file}{_ASIDE if is_own else _EDITED}")
    return bool(found)


def put_back(root: Path) -> None:
    """Put back the settings that are still aside, also after a kill.

    Those of packages that have gone are dropped, and unedited ones of which dpkg has installed another version.
    """
    for aside in _files(root):
        suffix = next((one for one in (_EDITED, _ASIDE) if aside.name.endswith(one)), "")
        if not suffix:
            continue
        file = aside.with_name(aside.name[: -len(suffix)])
        is_newer_here = suffix == _ASIDE and file.exists()
        if is_newer_here or not _is_listed(root, f"/{_DIRECTORY}/{file.name}"):
            aside.unlink()
        else:
            os.replace(aside, file)


def _hash(file: Path, algorithm: str) -> str:
    return hashlib.new(algorithm, file.read_bytes(), usedforsecurity=False).hexdigest()


def _files(root: Path) -> Sequence[Path]:
    return [path for path in sorted((root / _DIRECTORY).glob("*")) if path.is_file() and not path.is_symlink()]


def _is_listed(root: Path, path: str) -> bool:
    lists = (root / "var/lib/dpkg/info").glob("*.list")
    return any(os.fsencode(path) in read_bytes(file, RECORD_LIMIT).split(b"\n") for file in lists)
