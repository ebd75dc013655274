"""Values that name a moment can be put in order: ISO 8601, seconds since the epoch, the output of date(1)."""

import re
from datetime import datetime, timezone
from typing import Iterable, Optional, Tuple

# Not compiled here: most processes never read such a value.
# 2026-11-23T06:44:36Z, 2026-11-23 06:44:36.5+01:00, 2026-11-23T06Z, 2026-11-23
_FRACTION_AND_ZONE = r"(?:[.,](?P<fraction>\d{1,6})\d*)?\s?(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?"
_ISO = r"(?P<day>\d{4}-\d{2}-\d{2})(?:[T ](?P<clock>\d{2}(?::\d{2}(?::\d{2})?)?)" + _FRACTION_AND_ZONE + ")?"
# The basic format: 20261123T064436Z, 20261123T0644+01
_BASIC = r"(?P<day>\d{8})T(?P<clock>\d{2}(?:\d{2}(?:\d{2})?)?)" + _FRACTION_AND_ZONE
_CLOCKS = {2: "%H", 4: "%H%M", 6: "%H%M%S"}
_EPOCH_FRACTION = r"\d{10}\.\d+"
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# Mon Nov 23 06:44:36 UTC 2026 (C locale), Mon 23 Nov 2026 06:44:36 AM UTC (en_US), Mon, 23 Nov 2026 06:44:36 +0000
# (date -R), Mon 23 Nov 06:44:36 UTC 2026 (en_GB), Mon Nov 23 06:44:36 AM UTC 2026 (en_US, newer glibc)
_DATE = (
    (r"\w{3} (\w{3}) +(\d{1,2}) (\d{2}:\d{2}:\d{2}) (\w+) (\d{4})", (4, 0, 1, 2, 3), "%Y %b %d %H:%M:%S"),
    (
        r"\w{3} (\w{3}) +(\d{1,2}) (\d{2}:\d{2}:\d{2} [AP]M) (\w+) (\d{4})",
        (4, 0, 1, 2, 3),
        "%Y %b %d %I:%M:%S %p",
    ),
    (r"\w{3} +(\d{1,2}) (\w{3}) (\d{2}:\d{2}:\d{2}) (\w+) (\d{4})", (4, 1, 0, 2, 3), "%Y %b %d %H:%M:%S"),
    (
        r"\w{3} +(\d{1,2}) (\w{3}) (\d{4}) (\d{2}:\d{2}:\d{2} [AP]M) (\w+)",
        (2, 1, 0, 3, 4),
        "%Y %b %d %I:%M:%S %p",
    ),
    (
        r"\w{3}, (\d{1,2}) (\w{3}) (\d{4}) (\d{2}:\d{2}:\d{2}) ([+-]\d{4})",
        (2, 1, 0, 3, 4),
        "%Y %b %d %H:%M:%S",
    ),
)

Moment = Tuple[str, float]

# A value without a time zone may have been made anywhere between UTC+14 and UTC-12.
_EAST = 14 * 3600.0
_WEST = 12 * 3600.0
_ABSOLUTE = ("utc", "epoch")


def moment(value: str) -> Optional[Moment]:
    """Return the scale and the seconds of a value that names a moment, None for any other value."""
    text = value.strip()
    try:
        return _digits(text) or _iso(text) or _date(text)
    except (ValueError, OverflowError):
        return None


def is_older(value: str, other: str) -> bool:
    """Return whether both values name a moment and the first one is certainly the older one.

    Moments of one scale are compared as they are. On different scales a moment without a time zone may be any of those
    that it can mean.
    """
    mine, its = moment(value), moment(other)
    if mine is None or its is None:
        return False
    if mine[0] == its[0]:
        return mine[1] < its[1]
    return _span(mine)[1] < _span(its)[0]


def is_older_than_all(value: str, others: Iterable[str]) -> bool:
    """Return whether the value is certainly older than every one of the others. Without others it is not."""
    others = tuple(others)
    return bool(others) and all(is_older(value, other) for other in others)


def utc_seconds(value: str) -> Optional[float]:
    """Return the seconds since the epoch that an ISO 8601 time means, UTC if it has no time zone; None for any other
    text.
    """
    try:
        found = _iso(value.strip())
    except (ValueError, OverflowError):
        return None
    return None if found is None else found[1]


def _span(found: Moment) -> Tuple[float, float]:
    """Return the earliest and the latest moment that can be meant, seconds since the epoch."""
    scale, seconds = found
    return (seconds, seconds) if scale in _ABSOLUTE else (seconds - _EAST, seconds + _WEST)


def _digits(text: str) -> Optional[Moment]:
    if text.isascii() and re.fullmatch(_EPOCH_FRACTION, text):
        return "epoch", float(text)
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) in _COMPACT:
        return "compact", _seconds(datetime.strptime(text, _COMPACT[len(text)]))
    # Ten digits: seconds since the epoch from 2001 to 2286. Thirteen: milliseconds.
    return {10: ("epoch", float(text)), 13: ("epoch", float(text) / 1000)}.get(len(text))


def _iso(text: str) -> Optional[Moment]:
    match = re.fullmatch(_ISO, text) or re.fullmatch(_BASIC, text)
    if match is None:
        return None
    day, clock = match["day"].replace("-", ""), (match["clock"] or "00").replace(":", "")
    if match["fraction"] and len(clock) < 6:
        # A fraction of a minute or an hour: nobody writes these.
        return None
    when = datetime.strptime(f"{day} {clock}", f"%Y%m%d {_CLOCKS[len(clock)]}")
    seconds = _seconds(when) + float(f"0.{match['fraction'] or 0}")
    zone = match["zone"]
    return ("local", seconds) if zone is None else ("utc", seconds - _offset(zone))


def _date(text: str) -> Optional[Moment]:
    for pattern, places, layout in _DATE:
        match = re.fullmatch(pattern, text)
        if match is not None:
            *parts, zone = (match.groups()[place] for place in places)
            seconds = _seconds(datetime.strptime(" ".join(parts), layout))
            if zone in ("UTC", "GMT") or zone[0] in "+-":
                return "utc", seconds - _offset(zone)
            # An abbreviation such as CET is no offset: such values can be compared among themselves only.
            return f"local {zone}", seconds
    return None


def _offset(zone: str) -> float:
    if zone in ("Z", "UTC", "GMT"):
        return 0.0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return float(-seconds if zone[0] == "-" else seconds)


def _seconds(naive: datetime) -> float:
    return naive.replace(tzinfo=timezone.utc).timestamp()
