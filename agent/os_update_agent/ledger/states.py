"""Package states: a delta chain with a full state now and then; each is checked against its digest when it is read."""

import zlib
from pathlib import Path
from typing import Any, FrozenSet, List, Optional, Set, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.errors import LedgerError
from os_update_agent.model.packages import PackageState

FULL_EVERY = 32
_GONE, _COME = "-", "+"


class States(Database):
    """The table of package states."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        super().__init__(path, reading=reading)
        self._last: Optional[Tuple[int, PackageState]] = None

    def put_state(self, state: PackageState) -> int:
        """Keep the state; the same rows are kept once. Returns its number."""
        with self._transaction():
            known = self._db.execute("SELECT max(id) FROM states WHERE digest = ?", (state.digest,)).fetchone()[0]
            if known is not None:
                return int(known)
            number = self._insert_state(state)
        self._last = number, state
        return number

    def _insert_state(self, state: PackageState) -> int:
        latest = self._db.execute("SELECT id, depth FROM states ORDER BY id DESC LIMIT 1").fetchone()
        lines = frozenset(state.lines)
        base: Optional[int] = None
        depth = 0
        content: List[str] = []
        if latest is not None and latest[1] + 1 < FULL_EVERY:
            base, depth = latest[0], latest[1] + 1
            content = _delta(self._lines(latest[0]), lines)
        if base is None or len(content) >= len(lines):
            base, depth, content = None, 0, _delta(frozenset(), lines)
        body = zlib.compress("\n".join(content).encode(), 6)
        cursor = self._db.execute(
            "INSERT INTO states (digest, backend, native, install_only, base, depth, body) VALUES (?, ?, ?, ?, ?,"
            " ?, ?)",
            (state.digest, state.backend, state.native, " ".join(sorted(state.install_only)), base, depth, body),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def state(self, number: int) -> PackageState:
        """The state with that number. Raises LedgerError when it is not there or differs from its digest."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        digest, backend, native, install_only, _, _ = self._state_row(number)
        try:
            state = PackageState.of_lines(backend, native, self._lines(number), install_only.split())
        except TypeError as error:
            raise self._damaged(f"state {number} has a row that is none") from error
        if state.digest != digest:
            raise self._damaged(f"state {number} does not match its digest")
        self._last = number, state
        return state

    def _lines(self, number: int) -> FrozenSet[str]:
        """The lines of a state, put together along its chain of deltas; not checked against the digest."""
        if self._last is not None and self._last[0] == number:
            return frozenset(self._last[1].lines)
        chain: List[str] = []
        base: Optional[int] = number
        while base is not None:
            *_, base, body = self._state_row(base)
            try:
                chain.append(zlib.decompress(body).decode())
            except (zlib.error, ValueError) as error:
                raise self._damaged(f"state {number} cannot be unpacked: {error}") from error
        lines: Set[str] = set()
        for content in reversed(chain):
            marked = content.split("\n")
            lines.difference_update(line[1:] for line in marked if line[:1] == _GONE)
            lines.update(line[1:] for line in marked if line[:1] == _COME)
        return frozenset(lines)

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError(f"the ledger {self.path} is damaged: {what}")

    def _state_row(self, number: int) -> Any:
        row = self._row("SELECT digest, backend, native, install_only, base, body FROM states WHERE id = ?", number)
        if row is None:
            raise self._damaged(f"state {number} is missing")
        return row

    def digest(self, number: int) -> str:
        return str(self._state_row(number)[0])


def _delta(base: FrozenSet[str], lines: FrozenSet[str]) -> List[str]:
    """What goes and what comes from ``base`` to ``lines``; from nothing that is the full state."""
    return [_GONE + line for line in sorted(base - lines)] + [_COME + line for line in sorted(lines - base)]
