"""The package files that are kept."""

import dataclasses
from typing import Dict, Iterable

from os_update_agent.ledger.database import Database
from os_update_agent.model.packages import ArchiveEntry, Identity


class ArchiveEntries(Database):
    """The table of kept package files."""

    def archive_entries(self) -> Dict[Identity, ArchiveEntry]:
        rows = self._rows("SELECT file, name, arch, version, sha256, size, installed_kb, origin FROM archive")
        return {entry.identity: entry for entry in (ArchiveEntry(*row) for row in rows)}

    def add_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO archive (file, name, arch, version, sha256, size, installed_kb, origin)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [dataclasses.astuple(entry) for entry in entries],
            )

    def drop_archive_entries(self, entries: Iterable[ArchiveEntry]) -> None:
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM archive WHERE name = ? AND arch = ? AND version = ?", [entry.identity for entry in entries]
            )
