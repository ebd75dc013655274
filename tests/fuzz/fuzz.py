"""One fuzzing run: each target gets its share of the inputs."""

import contextlib
import logging
import math
import sys
from typing import List

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.mutation import mutated
from fuzz.target import Target
from fuzz.targets import TARGETS


def survived(target: Target, inputs: int, number: int) -> int:
    """Give ``inputs`` texts to the target, drawn with the seed ``number``. Return how many it has read or refused as
    it should. The first other exception is raised, with the smallest text that brings it about.
    """
    found: List[str] = []

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target.samples))
    def one(text: str) -> None:
        with contextlib.suppress(*target.errors):
            target.read(text)
        found.append("")

    one()
    return len(found)


def share_of(target: Target, inputs: int) -> int:
    """Return how many of the inputs the target gets."""
    return math.ceil(inputs * target.share / sum(one.share for one in TARGETS))


def main(inputs: int, number: int) -> int:
    """Fuzz all targets with ``inputs`` texts in all. Return the exit status: 1 unless all survived."""
    logging.disable(logging.CRITICAL)
    given_texts = good = 0
    for target in TARGETS:
        share = share_of(target, inputs)
        given_texts += share
        try:
            # Hypothesis may draw fewer where there are no more, and more where it goes on.
            good += min(share, max(survived(target, share, number), share))
            print(f"{target.name}: {share} inputs, {share} survived", flush=True)
        except Exception as error:
            print(f"{target.name}: seed {number}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    print(f"{given_texts} inputs, {good} survived")
    return int(good != given_texts)
