"""What programs have printed into the log of a run, read in little memory: operator's steps and maintainer scripts
write to the log as well, and it may be larger than the memory.
"""

import contextlib
import os
from typing import List

from os_update_agent.packages.complaints import TELLING

# A line for each of 20,000 packages.
PRINTED_LIMIT = 4 << 20
_LONGEST_LINE = 64 * 1024


def printed_since(path: str, start: int) -> str:
    """Return what was printed into a file since it was ``start`` bytes long; of more than PRINTED_LIMIT bytes the first
    and the last ones. Raises OSError.
    """
    with open(path, "rb") as file:
        half = PRINTED_LIMIT // 2
        file.seek(start)
        first = file.read(half)
        rest = os.fstat(file.fileno()).st_size - start - half
        if rest > half:
            file.seek(-half, os.SEEK_END)
            first += b"\n"
        return (first + file.read(half)).decode("utf-8", "replace")


def telling_lines(path: str, marker: str) -> str:
    """Return the lines that a reader of complaints understands, from the first line on that ends with the marker;
    nothing if the file cannot be read.
    """
    lines: List[bytes] = []
    room, is_behind = PRINTED_LIMIT, False
    end = f"{marker}\n".encode()
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        # A longer line comes in pieces, and none of them means anything.
        for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
            if not is_behind:
                is_behind = line.endswith(end)
            elif line.startswith(TELLING) and line.endswith(b"\n") and len(line) <= room:
                room -= len(line)
                lines.append(line)
    return b"".join(lines).decode("utf-8", "replace")
