"""The cheap ones of the list of faults: tests/run faults provokes all of them."""

from typing import Iterator

import pytest

from faults.fault import Fault, Lab, laboratory, table


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory(is_quick=True) as lab:
        yield lab


CHEAP = [fault for fault in table() if fault.is_cheap]


@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("fault", CHEAP, ids=[fault.name for fault in CHEAP])
def test_the_fault_is_survived(lab: Lab, fault: Fault) -> None:
    fault.provoke(lab)
