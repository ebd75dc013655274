"""Package states, and listings of files: a delta chain with a full state now and then. A state is checked against its
digest when it is read.
"""

import zlib
from pathlib import Path
from typing import Collection, FrozenSet, Iterable, List, NamedTuple, Optional, Set, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.bounded_json import longer_than, size
from os_update_agent.model.errors import Damaged, LedgerError
from os_update_agent.model.field_types import Unreadable, row_of
from os_update_agent.model.packages import PackageState

FULL_EVERY = 32
# The unpacked text of a state with its deltas: 8,000 packages have 1 MiB, and 300,000 files below /etc have 60.
STATE_LIMIT = 64 << 20
# In the column of the backend: the row is no package state, but lists the files below /etc.
_FILES = "files"
_GONE, _COME = "-", "+"


class _Row(NamedTuple):
    digest: str
    backend: str
    native: str
    install_only: str
    base: Optional[int]
    body: bytes


class States(Database):
    """The table of package states."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        super().__init__(path, reading=reading)
        self._last: Optional[Tuple[int, PackageState]] = None

    def put_state(self, state: PackageState) -> int:
        """Store the state unless the same rows are stored already. Returns its number.

        A state that is stored already and cannot be read any more is stored again.
        """
        with self._transaction():
            known = self._db.execute("SELECT max(id) FROM states WHERE digest = ?", (state.digest,)).fetchone()[0]
            if known is not None and self._is_readable(known):
                return int(known)
            install_only = " ".join(sorted(state.install_only))
            number = self._insert(_Row(state.digest, state.backend, state.native, install_only, None, b""), state.lines)
        self._last = number, state
        return number

    def put_listing(self, lines: Collection[str]) -> int:
        """Store the lines about the files below /etc, unless the same are stored already. Returns their number."""
        digest = _digest_of(lines)
        with self._transaction():
            known = self._db.execute(
                "SELECT max(id) FROM states WHERE digest = ? AND backend = ?", (digest, _FILES)
            ).fetchone()[0]
            if known is not None and self._is_readable_listing(known):
                return int(known)
            return self._insert(_Row(digest, _FILES, "", "", None, b""), lines)

    def _is_readable_listing(self, number: int) -> bool:
        try:
            self.listing(number)
        except Damaged:
            return False
        return True

    def listing(self, number: int) -> FrozenSet[str]:
        """Return the lines of put_listing(). Raises Damaged."""
        lines = self._lines(number)
        if _digest_of(lines) != self._state_row(number).digest:
            raise self._damaged(f"listing {number}", "does not match its digest", number)
        return lines

    def _is_readable(self, number: int) -> bool:
        try:
            self.state(number)
        except Damaged:
            return False
        return True

    def _insert(self, row: _Row, all_lines: Iterable[str]) -> int:
        """Store the lines of a row as a delta from the latest ones of the same kind."""
        latest = self._db.execute(
            "SELECT id, depth FROM states WHERE backend = ? ORDER BY id DESC LIMIT 1", (row.backend,)
        ).fetchone()
        lines = frozenset(all_lines)
        base: Optional[int] = None
        depth = 0
        content: List[str] = []
        if latest is not None and type(latest[1]) is int and 0 <= latest[1] < FULL_EVERY - 1:
            base, depth = latest[0], latest[1] + 1
            content = self._delta_from(latest[0], lines)
        if base is None or not content or len(content) >= len(lines):
            base, depth, content = None, 0, _delta(frozenset(), lines)
        text = "\n".join(content).encode()
        if len(text) > STATE_LIMIT:
            raise LedgerError(f"a state for the ledger {self.path} {longer_than(STATE_LIMIT, len(text))}")
        body = zlib.compress(text, 6)
        cursor = self._db.execute(
            "INSERT INTO states (digest, backend, native, install_only, base, depth, body) VALUES (?, ?, ?, ?, ?,"
            " ?, ?)",
            (row.digest, row.backend, row.native, row.install_only, base, depth, body),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _delta_from(self, number: int, lines: FrozenSet[str]) -> List[str]:
        """Return the delta from a stored state to the lines; an empty one where that state cannot be read."""
        try:
            return _delta(self._lines(number), lines)
        except Damaged:
            return []

    def state(self, number: int) -> PackageState:
        """Return the state with that number. Raises Damaged if it is missing or differs from its digest."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        row = self._state_row(number)
        state = self._read(f"state {number}", lambda: _state_of(row, self._lines(number)), number)
        self._last = number, state
        return state

    def _lines(self, number: int) -> FrozenSet[str]:
        """Return the lines of a state, put together along its chain of deltas; they are not checked against the
        digest.
        """
        if self._last is not None and self._last[0] == number:
            return frozenset(self._last[1].lines)
        chain: List[str] = []
        base: Optional[int] = number
        room = STATE_LIMIT
        while base is not None:
            row = self._state_row(base)
            if row.base is not None and (row.base >= base or len(chain) >= FULL_EVERY):
                # A delta starts from an older state. Anything else could go round for ever.
                raise self._damaged(f"state {number}", f"has state {base}, whose base is not older or too far away")
            try:
                chain.append(_unpacked(row.body, room))
            except (zlib.error, ValueError) as error:
                raise self._damaged(f"state {number}", f"cannot be unpacked: {error}") from error
            room -= len(chain[-1])
            base = row.base
        lines: Set[str] = set()
        for content in reversed(chain):
            marked = content.split("\n")
            lines.difference_update(line[1:] for line in marked if line[:1] == _GONE)
            lines.update(line[1:] for line in marked if line[:1] == _COME)
        return frozenset(lines)

    def _state_row(self, number: int) -> _Row:
        row = self._row("SELECT digest, backend, native, install_only, base, body FROM states WHERE id = ?", number)
        if row is None:
            raise self._damaged(f"state {number}", "is missing", number)
        return self._read(f"state {number}", lambda: row_of(_Row, row), number)

    def digest(self, number: int) -> str:
        """Return the digest of the state with that number. Raises Damaged."""
        return self._state_row(number).digest


def _state_of(row: _Row, lines: FrozenSet[str]) -> PackageState:
    """Raises Unreadable."""
    try:
        state = PackageState.of_lines(row.backend, row.native, lines, row.install_only.split())
    except TypeError as error:
        raise Unreadable("has a row that is none") from error
    if state.digest != row.digest:
        raise Unreadable("does not match its digest")
    return state


def _unpacked(body: bytes, room: int) -> str:
    """Return the text of a body. Raises ValueError, zlib.error; a body of a kilobyte may unpack to a megabyte."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(body, room + 1)
    if len(content) > room:
        raise ValueError(f"its text and those that it is based on are longer than {size(STATE_LIMIT)}")
    if not unpacker.eof:
        raise ValueError("its text is incomplete")
    return content.decode()


def _delta(base: FrozenSet[str], lines: FrozenSet[str]) -> List[str]:
    """What goes and what comes from ``base`` to ``lines``; from nothing that is the full state."""
    return [_GONE + line for line in sorted(base - lines)] + [_COME + line for line in sorted(lines - base)]


def _digest_of(lines: Iterable[str]) -> str:
    import hashlib  # late: it loads OpenSSL

    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
