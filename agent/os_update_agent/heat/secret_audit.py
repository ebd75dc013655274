"""Which files of the chain, which hold signal URLs and passwords, can everybody on the node read?

os-apply-config gives a new file the mode 0644 unless a sidecar says otherwise, and heat-agents ship none; so every boot
has a moment, and an old image for ever, in which any user can answer Heat in this node's name. The agent changes no
file of the chain: it says so.
"""

import configparser
import os
import stat
from pathlib import Path
from typing import Iterator, Tuple

from os_update_agent.config.bounded_files import read_text
from os_update_agent.heat.deployed_files import deployed_directory
from os_update_agent.heat.metadata import heat_config_file

_CACHES = ("/var/lib/os-collect-config", "/var/run/os-collect-config")


def readable_by_all(collect_config: Path) -> Tuple[str, ...]:
    """The paths of the files that anybody may read, with all directories above them."""
    return tuple(dict.fromkeys(str(path) for path in _holding_secrets(collect_config) if _is_open(path)))


def _holding_secrets(collect_config: Path) -> Iterator[Path]:
    yield heat_config_file()
    yield collect_config
    for directory in (deployed_directory(), *map(Path, _CACHES), *_cache(collect_config)):
        try:
            yield from sorted(path for path in directory.iterdir() if ".json" in path.suffixes)
        except (OSError, ValueError):  # ValueError: a NUL in the path
            continue


def _cache(collect_config: Path) -> Iterator[Path]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(read_text(collect_config))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return
    for name in ("cachedir", "backup_cachedir"):
        directory = parser.get("DEFAULT", name, fallback="")
        if directory.startswith("/"):
            yield Path(directory)


def _is_open(path: Path) -> bool:
    """Can a stranger read the file? Every directory on the way has to let him through."""
    try:
        path = path.resolve(strict=True)
        file = os.stat(path)
        if not stat.S_ISREG(file.st_mode) or not file.st_mode & stat.S_IROTH:
            return False
        return all(os.stat(parent).st_mode & stat.S_IXOTH for parent in path.parents)
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself, before Python 3.13
        return False
