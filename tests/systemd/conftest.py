from pathlib import Path
from typing import Iterator

import pytest

from systemd.machine import Machine
from systemd.root import root


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that is off."""
    with Machine(root(), tmp_path / "machine") as made:
        yield made
