"""Whether files have changed since they were last read, told without opening them."""

import time
from pathlib import Path
from typing import Callable, Iterable, Optional, Tuple

from os_update_agent.model.packages import PackageState

# Another change within the same tick of the file system's clock would not be seen: ticks take at most 10 ms (CONFIG_HZ,
# time(7)), or a whole second where the times have no fractions.
_TOO_YOUNG_NS = 20_000_000
_SECOND_NS = 1_000_000_000

Stamp = Tuple[Tuple[str, int, int, int], ...]


def stamp_of(paths: Iterable[Path]) -> Optional[Stamp]:
    """Return a value that is equal only as long as the files are the same; None if they have changed too lately to
    tell.
    """
    found = []
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        # SQLite's index of its journal in shared memory: readers write it as well.
        if not path.name.endswith("-shm"):
            found.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    if any(time.time_ns() - row[3] < (_TOO_YOUNG_NS if row[3] % _SECOND_NS else 2 * _SECOND_NS) for row in found):
        return None
    return tuple(found) or None


class LastState:
    """The state that was read last, as long as its files are the same."""

    def __init__(self) -> None:
        self._known: Optional[Tuple[Optional[Stamp], PackageState]] = None

    def get(self, files: Iterable[Path], read: Callable[[], PackageState]) -> PackageState:
        # Take the stamp before the reading, so that a change during it shows the next time.
        files = list(files)
        stamp = stamp_of(files)
        if stamp is None:
            # Directly after a transaction: wait one tick, so that one reading serves all further calls. If the file was
            # not just changed, the 20 ms delay is harmless.
            time.sleep(_TOO_YOUNG_NS / 1e9)
            stamp = stamp_of(files)
        if self._known is None or stamp is None or stamp != self._known[0]:
            self._known = stamp, read()
        return self._known[1]
