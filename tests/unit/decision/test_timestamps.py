"""Values that name a moment, and those that do not."""

import pytest

from os_update_agent.decision.timestamps import is_older_than_all, moment, utc_seconds

NOON = 1795435200.0  # 2026-11-23T12:00:00Z


@pytest.mark.parametrize("value", [
    "2026-11-23T12:00:00Z",
    "2026-11-23 12:00:00Z",
    "2026-11-23T12:00Z",
    "2026-11-23T12:00:00 UTC",
    "2026-11-23T13:00:00+01:00",
    "2026-11-23T13:00:00+0100",
    "2026-11-23T06:30:00-05:30",
    "2026-11-23T12:00:00.000000Z",
    "2026-11-23T12:00:00,000Z",
    "2026-11-23T12:00:00.000000000Z",
    "2026-11-23T12Z",
    "2026-11-23T13:00:00+01",
    "20261123T120000Z",
    "20261123T1200Z",
    "20261123T13+01",
    "20261123T120000.000Z",
    "Mon 23 Nov 12:00:00 UTC 2026",
    "Mon Nov 23 12:00:00 PM UTC 2026",
    "Mon Nov 23 12:00:00 UTC 2026",
    "Mon Nov 23 12:00:00 GMT 2026",
    "Mon 23 Nov 2026 12:00:00 PM UTC",
    "Mon, 23 Nov 2026 12:00:00 +0000",
    "Mon, 23 Nov 2026 13:00:00 +0100",
    "  2026-11-23T12:00:00Z\n",
])  # fmt: skip
def test_one_moment_has_many_spellings(value: str) -> None:
    assert moment(value) == ("utc", NOON)


@pytest.mark.parametrize(("value", "expected"), [
    ("1795435200", ("epoch", NOON)),
    ("1795435200500", ("epoch", NOON + 0.5)),
    ("1795435200.5", ("epoch", NOON + 0.5)),
    ("20261123T120000", ("local", NOON)),
    ("2026-11-23T12:00:00.25Z", ("utc", NOON + 0.25)),
    ("2026-11-23T12:00:00", ("local", NOON)),
    ("2026-11-23", ("local", NOON - 12 * 3600)),
    ("20261123", ("compact", NOON - 12 * 3600)),
    ("202611231200", ("compact", NOON)),
    ("20261123120000", ("compact", NOON)),
    ("Mon Nov 23 12:00:00 CET 2026", ("local CET", NOON)),
    ("Sun Nov  1 12:00:00 UTC 2026", ("utc", NOON - 22 * 86400)),
])  # fmt: skip
def test_a_moment_stands_on_its_scale(value: str, expected: "tuple[str, float]") -> None:
    assert moment(value) == expected


@pytest.mark.parametrize("value", [
    "", "v1", "2024.05", "202405", "2026-13-01", "2026-02-30", "2026-11-23T25:00:00Z", "20261399", "12345",
    "-1795435200", "1.5", "1795435200.", "20261123T", "20261123T12000Z", "20261323T12Z", "2026-11-23T12:00.5Z",
    "1.795e9", "٢٠٢٦١١٢٣", "2026-11-23T12:00:00Z; reboot", "Mon Foo 23 12:00:00 UTC 2026", "None",
    "../../etc/passwd", "9" * 400,
])  # fmt: skip
def test_what_names_no_moment_is_none(value: str) -> None:
    assert moment(value) is None


def test_a_million_characters_are_no_moment() -> None:
    assert moment("2026-11-23 " * 100_000) is None


def test_older_than_all() -> None:
    assert is_older_than_all("2026-11-22", ["2026-11-23", "2026-11-24"])
    assert not is_older_than_all("2026-11-23", ["2026-11-23"])
    assert not is_older_than_all("2026-11-23", ["2026-11-22", "2026-11-24"])


def test_spellings_of_one_scale_are_compared() -> None:
    assert is_older_than_all(
        "Mon, 23 Nov 2026 13:00:00 +0200", ["2026-11-23T12:00:00Z", "Mon Nov 23 12:00:01 UTC 2026"]
    )


@pytest.mark.parametrize("others", [
    [],
    ["v2"],
    ["2026-11-24", "v2"],
    ["2026-11-22T11:00:00Z"],
    ["1795348800"],  # 2026-11-22T12:00:00Z
    ["Sun Nov 22 12:00:00 CET 2026"],
])  # fmt: skip
def test_what_cannot_be_compared_is_not_older(others: "list[str]") -> None:
    assert not is_older_than_all("2026-11-22", others)


@pytest.mark.parametrize("others", [
    ["2026-11-24T00:00:00Z"],
    ["1795435200"],  # 2026-11-23T12:00:00Z
    ["Tue Nov 24 12:00:00 CET 2026"],
    ["20261124"],
])  # fmt: skip
def test_moments_of_different_scales_are_compared_where_no_time_zone_can_turn_them_round(others: "list[str]") -> None:
    assert is_older_than_all("2026-11-22", others)
    assert not is_older_than_all(others[0], ["2026-11-22"])


def test_seconds_since_the_epoch_are_utc() -> None:
    assert is_older_than_all("1795435199", ["2026-11-23T12:00:00Z"])
    assert not is_older_than_all("1795435200", ["2026-11-23T12:00:00Z"])


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-11-23 12:00", NOON), ("2026-11-23T13:00:00+01:00", NOON), ("20261123", None), ("2026-11-31", None),
])  # fmt: skip
def test_the_moment_of_an_iso_time_is_utc_unless_it_says_otherwise(text: str, expected: "float | None") -> None:
    assert utc_seconds(text) == expected


def test_no_moment_is_older_than_nothing() -> None:
    assert not is_older_than_all("v1", ["2026-11-23"])
