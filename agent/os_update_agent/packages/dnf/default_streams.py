"""Which planned packages come from a default stream that dnf 4 enables with them: noted by the plan for the
transaction, which reads no repository.

The notes are kept in a file of the work directory. They say of a package what the repositories said, so the notes of
another plan, of `os-update-agent plan` for instance, do no harm.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Iterable, Sequence, Tuple

from os_update_agent.config.bounded_files import RECORD_LIMIT, read_bytes
from os_update_agent.model.bounded_json import read_json
from os_update_agent.model.packages import Identity

_FILE = "default-streams.json"
# A package, its module, and the stream.
Note = Tuple[Identity, str, str]


def keep(work: Path, planned: Iterable[Identity], notes: Sequence[Note]) -> None:
    """Replace the notes of the planned packages. A directory that takes no writes costs the record of a stream, never a
    plan.
    """
    known, staging = _read(work), work / f"{_FILE}.new"
    if known or notes:
        again = set(planned)
        rows = [*(note for note in known if note[0] not in again), *notes]
        with suppress(OSError):
            staging.write_text(json.dumps(rows), encoding="utf-8")
            os.replace(staging, work / _FILE)


def kept(work: Path, packages: Iterable[Identity]) -> Tuple[Tuple[str, str], ...]:
    """Return the modules that dnf enables with these packages, each with its stream."""
    wanted = set(packages)
    return tuple(sorted({(module, stream) for identity, module, stream in _read(work) if identity in wanted}))


def _read(work: Path) -> Sequence[Note]:
    """Return the notes; none if the file is unreadable, as after a full disk: the next plan writes it again."""
    try:
        rows = read_json(read_bytes(work / _FILE, RECORD_LIMIT), RECORD_LIMIT)
        return [((str(row[0][0]), str(row[0][1]), str(row[0][2])), str(row[1]), str(row[2])) for row in rows]
    except (OSError, ValueError, TypeError, LookupError):
        return []
