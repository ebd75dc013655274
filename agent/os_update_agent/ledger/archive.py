"""The package files that are kept."""

from typing import Any, Dict, FrozenSet, Iterable, Sequence

from os_update_agent.ledger.database import Database
from os_update_agent.model.field_types import row_of
from os_update_agent.model.packages import ArchiveEntry, Identity


class ArchiveEntries(Database):
    """The table of kept package files."""

    def archive_entries(self) -> Dict[Identity, ArchiveEntry]:
        """Return the entries that can be read. The file of a damaged one counts as missing."""
        rows = self._rows("SELECT file, name, arch, version, sha256, size, installed_kb, origin FROM archive")
        return {entry.identity: entry for entry in self._readable(rows, self._entry_of)}

    def archive_files(self) -> FrozenSet[str]:
        """Return the names of all kept files, also of those whose entries are damaged elsewhere."""
        return frozenset(name for (name,) in self._rows("SELECT file FROM archive") if isinstance(name, str))

    def _entry_of(self, row: Sequence[Any]) -> ArchiveEntry:
        return self._read(f"kept file {row[0]!r:.80}", lambda: row_of(ArchiveEntry, row))

    def add_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        """Store the entries; one of the same name, architecture and version replaces the older one."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO archive (file, name, arch, version, sha256, size, installed_kb, origin)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                entries,
            )

    def drop_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        """Forget the entries. Their files stay where they are."""
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM archive WHERE name = ? AND arch = ? AND version = ?", [entry.identity for entry in entries]
            )
