"""Whether Heat accepts an object that a store has taken for a TEMP_URL_SIGNAL. Pure.

Heat looks at the object's Last-Modified and ignores an object that is not later than its own ``updated_at`` of the
deployment (heat: service_software_config.py). Both have whole seconds: a database may round, an object store may round
up or down. So an object of the same second may be lost although the store answers 201.

The node knows neither ``updated_at`` nor the difference between the clocks of Heat and of the store, but this:

- The deployment reaches the node after ``updated_at``. ``APART_SECONDS`` after that an object is later for sure, if the
  two clocks agree. The outbox waits for it.
- Heat makes the config of a delivery (``creation_time``) just before ``updated_at``. An object that is not later by the
  store's clock shows that this clock is behind: such an object does not count.
"""

from typing import Mapping, Optional

from os_update_agent.decision.timestamps import utc_seconds
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, Answer

# Seconds from the arrival of a delivery to its object: one for what is cut off, one for what is rounded up.
APART_SECONDS = 2.0
# Of all dates that HTTP knows the longest has 35 characters.
_LONGEST_DATE = 64


def accepted(answer: Answer, headers: Mapping[str, str], created: str) -> Answer:
    """Return the answer of a store, or "again" if Heat ignores the object.

    ``headers`` are those of the store's answer; ``created`` is the ``creation_time`` of the delivery. Without a time
    in one of them the answer stays as it is.
    """
    if answer.verdict != DELIVERED:
        return answer
    stored, made = _stored(headers), utc_seconds(created)
    if stored is None or made is None or stored >= made + APART_SECONDS:
        return answer
    left = f"Heat ignores the object, and any other for {made + APART_SECONDS - stored:.0f} s"
    return Answer(AGAIN, f"{answer.reason}, but {left}: the clock of the object store is behind that of Heat")


def _stored(headers: Mapping[str, str]) -> Optional[float]:
    """Return when the object was stored, by the store's clock, in seconds since the epoch."""
    from email.utils import mktime_tz, parsedate_tz  # late: it loads socket, calendar and random

    for name in ("last-modified", "date"):
        text = headers.get(name, "")
        try:
            found = parsedate_tz(text) if len(text) <= _LONGEST_DATE else None
            if found is not None:
                return float(mktime_tz(found))
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None
