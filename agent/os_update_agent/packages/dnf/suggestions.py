"""Which packages suggest a boot, as the last refresh has told: kept in a file of the work directory.

That directory is below /run: a package that was installed before a boot asks for no other one.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import FrozenSet, Iterable

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_bytes
from os_update_agent.model.bounded_json import read_json
from os_update_agent.model.packages import Identity

_FILE = "reboot-suggested.json"


def keep(work: Path, suggested: Iterable[Identity]) -> None:
    """Write the file. A directory that takes no writes costs a hint, never a refresh."""
    rows, staging = list(suggested), work / f"{_FILE}.new"
    with suppress(OSError):
        if rows or (work / _FILE).exists():
            staging.write_text(json.dumps(rows), encoding="utf-8")
            os.replace(staging, work / _FILE)


def kept(work: Path) -> FrozenSet[Identity]:
    """Return what the last refresh has told; nothing before the first one.

    A file that another version of the agent or a full disk has left unreadable tells nothing: the next refresh writes
    it again.
    """
    try:
        rows = read_json(read_bytes(work / _FILE, RECORD_LIMIT), RECORD_LIMIT)
        return frozenset((str(name), str(arch), str(version)) for name, arch, version in rows)
    except (OSError, ValueError, TypeError):
        return frozenset()
