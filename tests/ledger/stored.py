"""A ledger that an older agent has written, brought into a directory; and one row of it, damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from os_update_agent.config.settings import Settings

FIXTURE = Path(__file__).parent / "fixtures/ledger-1.sql"
PLACEHOLDER = "@NODE@"
KEY = "web/68c97fbe/update@fcdbf267"


def old_ledger(node: Path) -> Path:
    """Make the ledger in the state directory of a node and return its path."""
    path = node / "state/ledger.sqlite"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FIXTURE.read_text(encoding="utf-8").replace(PLACEHOLDER, str(node)))
    return path


def private_settings(node: Path) -> Settings:
    """Return the settings of a node without packages in a directory: nothing reaches this machine."""
    (node / "root").mkdir()
    return Settings(
        root=node / "root",
        backend="apt",
        state=node / "state",
        log=node / "log",
        run=node / "run",
        steps=node / "steps",
        collect_config=node / "none",
    )


def ask(path: Path, sql: str, *parameters: object) -> Any:
    """Run one statement behind the agent's back and return its rows."""
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql, parameters).fetchall()
