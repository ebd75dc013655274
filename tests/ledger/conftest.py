"""The ledger of most tests: one that an older agent has written, with a row of every kind."""

from pathlib import Path
from typing import Iterator

import pytest

from ledger.stored import old_ledger
from os_update_agent.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return old_ledger(tmp_path)


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()
