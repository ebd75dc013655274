"""The package files that are kept."""

from typing import Any, FrozenSet, Iterable, Optional, Sequence, Tuple

from os_update_agent.ledger.database import Database
from os_update_agent.model.field_types import row_of
from os_update_agent.model.package_files import ArchiveEntry

_DROP = "DELETE FROM archive WHERE name = ? AND arch = ? AND version = ? AND digest = ?"


class ArchiveEntries(Database):
    """The table of kept package files."""

    # The entries as they were read last, with SQLite's data_version then: it changes when another connection writes. A
    # run asks for them about thirty times.
    _entries: Optional[Tuple[int, Tuple[ArchiveEntry, ...]]] = None

    def archive_entries(self) -> Tuple[ArchiveEntry, ...]:
        """Return the entries that can be read. The file of a damaged one counts as missing."""
        version: int = self._rows("PRAGMA data_version")[0][0]
        if self._entries is None or self._entries[0] != version:
            self._entries = version, self._read_entries()
        return self._entries[1]

    def _read_entries(self) -> Tuple[ArchiveEntry, ...]:
        # A ledger of an older schema on a disk that takes no writes has no such column.
        digest = "digest" if self._schema() > 2 else "''"
        rows = self._rows(
            f"SELECT file, name, arch, version, sha256, size, installed_kb, origin, {digest} FROM archive"
        )
        return tuple(self._readable(rows, self._entry_of))

    def archive_files(self) -> FrozenSet[str]:
        """Return the names of all kept files, also of those whose entries are damaged elsewhere."""
        return frozenset(name for (name,) in self._rows("SELECT file FROM archive") if isinstance(name, str))

    def _entry_of(self, row: Sequence[Any]) -> ArchiveEntry:
        return self._read(f"kept file {row[0]!r:.80}", lambda: row_of(ArchiveEntry, row))

    def add_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        """Store the entries; one of the same build replaces the older one."""
        self.replace_archive_entries((), entries)

    def replace_archive_entries(self, old: Iterable[ArchiveEntry], new: Iterable[ArchiveEntry]) -> None:
        """Forget the old entries and store the new ones, all or nothing."""
        self._entries = None
        with self._transaction() as db:
            db.executemany(_DROP, [entry.build for entry in old])
            db.executemany(
                "INSERT OR REPLACE INTO archive (file, name, arch, version, sha256, size, installed_kb, origin, digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                new,
            )

    def drop_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        """Forget the entries. Their files stay where they are."""
        self.replace_archive_entries(entries, ())
