"""10,000 inputs from elsewhere, drawn anew from a fixed seed: each is read, or refused in words."""

import pytest

from fuzz.fuzz import share_of, survived
from fuzz.target import Target
from fuzz.targets import TARGETS

INPUTS = 10_000
SEED = 1


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_every_input_is_read_or_refused_in_words(target: Target) -> None:
    share = share_of(target, INPUTS)
    assert survived(target, share, SEED) >= share
