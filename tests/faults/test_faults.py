"""The cheap ones of the list of faults: tests/run faults provokes all of them."""

import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from faults.fault import Fault, Lab, table


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    # Another user works in some of the nodes, and cannot enter the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as place:
        yield Lab(Path(place).resolve(), is_quick=True)


CHEAP = [fault for fault in table() if fault.is_cheap]


@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("fault", CHEAP, ids=[fault.name for fault in CHEAP])
def test_the_fault_is_survived(lab: Lab, fault: Fault) -> None:
    fault.provoke(lab)
