"""Values that name a moment can be put in order: ISO 8601, seconds since the epoch, the output of date(1)."""

import re
from datetime import datetime, timezone
from typing import Iterable, Optional, Tuple

# Not compiled here: most processes never read such a value.
# 2026-11-23T06:44:36Z, 2026-11-23 06:44:36.5+01:00, 2026-11-23
_ISO = (
    r"(?P<day>\d{4}-\d{2}-\d{2})(?:[T ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d{1,6})\d*)?"
    r"\s?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# Mon Nov 23 06:44:36 UTC 2026 (C locale), Mon 23 Nov 2026 06:44:36 AM UTC (en_US), Mon, 23 Nov 2026 06:44:36 +0000
# (date -R)
_DATE = (
    (r"\w{3} (\w{3}) +(\d{1,2}) (\d{2}:\d{2}:\d{2}) (\w+) (\d{4})", (4, 0, 1, 2, 3), "%Y %b %d %H:%M:%S"),
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


def moment(value: str) -> Optional[Moment]:
    """(scale, seconds) of a value that names a moment, else None. Only moments of one scale can be compared."""
    text = value.strip()
    try:
        return _digits(text) or _iso(text) or _date(text)
    except (ValueError, OverflowError):
        return None


def is_older_than_all(value: str, others: Iterable[str]) -> bool:
    """Is the value a moment before every one of the others? False where one of them is no moment or stands on another
    scale.
    """
    mine = moment(value)
    if mine is None:
        return False
    moments = [moment(other) for other in others]
    return bool(moments) and all(other is not None and other[0] == mine[0] and mine[1] < other[1] for other in moments)


def _digits(text: str) -> Optional[Moment]:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) in _COMPACT:
        return "compact", _seconds(datetime.strptime(text, _COMPACT[len(text)]))
    # Ten digits: seconds since the epoch from 2001 to 2286. Thirteen: milliseconds.
    return {10: ("epoch", float(text)), 13: ("epoch", float(text) / 1000)}.get(len(text))


def _iso(text: str) -> Optional[Moment]:
    match = re.fullmatch(_ISO, text)
    if match is None:
        return None
    clock = match["clock"] or "00:00"
    when = datetime.strptime(
        f"{match['day']} {clock}", "%Y-%m-%d %H:%M:%S" if clock.count(":") == 2 else "%Y-%m-%d %H:%M"
    )
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
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return float(-seconds if zone[0] == "-" else seconds)


def _seconds(naive: datetime) -> float:
    return naive.replace(tzinfo=timezone.utc).timestamp()
