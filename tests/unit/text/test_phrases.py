"""Facts for a log and amounts for a person."""

import pytest

from os_update_agent.text.log_lines import logged
from os_update_agent.text.phrases import amount


@pytest.mark.parametrize(("count", "told"), [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (41_344, "41.3 kB"), (72_300_000, "72.3 MB"), (-1_500_000, "-1.5 MB"),
    (3 * 10**9, "3.0 GB"),
])  # fmt: skip
def test_bytes_are_told_in_the_unit_that_fits(count: int, told: str) -> None:
    assert amount(count) == told


@pytest.mark.parametrize(("value", "told"), [
    ("v2", "v2"), ("", '""'), ("two words", '"two words"'), ('a"b', r'"a\"b"'), ("a=b", '"a=b"'),
    ("one\ntwo", r'"one\ntwo"'),
    ("\x1b[31m", r'"\u001b[31m"'),
    ("x" * 5000, "x" * 1000 + "..."),
])  # fmt: skip
def test_a_fact_is_one_line_that_can_be_taken_apart(value: str, told: str) -> None:
    assert logged(run=7, value=value, log="/l") == f"run=7 value={told} log=/l"
