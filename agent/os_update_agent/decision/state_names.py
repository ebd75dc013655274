"""The names under which an operator reaches every recorded state of a key, and every key. Pure.

A text is tried in this order, and the first meaning that fits counts:

1. a recorded value, as it is;
2. a name that needs no value: ``(before VALUE)``, ``run:12``, ``#12``, ``(before run:12)``, ``at:2026-11-29 14:00``;
3. the beginning of one recorded value;
4. a bare number: a run, unless values of the key are numbers themselves;
5. a bare ISO 8601 date or time, UTC unless it has a time zone: the state at that time. A day means its end.
"""

import re
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.decision.timestamps import utc_seconds
from os_update_agent.model.errors import Unrecorded
from os_update_agent.model.runs import History, Record, Run

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_RUN = re.compile(r"(?:run:|#)(\d{1,18})")
_BEFORE = re.compile(r"\(before (.+)\)|before (.+)", re.DOTALL)
_SHOWN = 80
_DAY_SECONDS = 86400.0


class StateName(NamedTuple):
    """One recorded state.

    Attributes:
        name: The value under which the state is recorded, otherwise a name that leads to it again.
        state: The number of the state; None for a value that was tried and never reached.
        record: The record of the value; None for a state that has no value.
        run: The number of the run that left the state; None if it was there before a run.
        meaning: How the text was understood; "" for a value as it is.
    """

    name: str
    state: Optional[int]
    record: Optional[Record] = None
    run: Optional[int] = None
    meaning: str = ""


class States(NamedTuple):
    """The records of one key: its history, and its runs, the oldest first."""

    history: History
    runs: Tuple[Run, ...] = ()


def before_name(history: History) -> Optional[str]:
    """Return the name of the state before the first update; None for a history without such a state."""
    if history.first_state is None:
        return None
    first = history.began if history.began is not None else min(history.records, key=lambda one: one.tried).value
    return f"(before {first})"


def state_named(known: States, text: str, now: float) -> StateName:
    """Return the state that the text names. ``now`` is in seconds since the epoch.

    Raises Unrecorded, which lists the candidates or the recorded values.
    """
    found = find_state(known, text, now)
    if found is None:
        raise Unrecorded(_unknown(known, text))
    return found


def find_state(known: States, text: str, now: float, *, may_be_new: bool = False) -> Optional[StateName]:
    """Return the state that the text names, None for a text that names none.

    With ``may_be_new`` the text may also be a new value: a bare time that means no older state than the present one
    names none. Raises Unrecorded for a text that could name several, or a run or time without a state.
    """
    record = known.history.record(text)
    if record is not None:
        return StateName(text, record.state if record.is_reached else None, record, record.reached_run)
    for meaning in (_explicit, _prefix, _number, _past if may_be_new else _time):
        found = meaning(known, text, now)
        if found is not None:
            return found
    return None


def in_words(name: str) -> str:
    """Return a state that no value has, as the end of "the state ..."."""
    of_run = re.fullmatch(r"(run:|\(before run:)(\d+)\)?", name)
    if of_run is None:
        return "from before the first update"
    return f"that run {of_run[2]} {'left' if of_run[1] == 'run:' else 'found'}"


def is_state_name(text: str) -> bool:
    """Return whether the text is the name of a state that needs no value."""
    is_before = text.startswith("(before ") and text.endswith(")")
    return is_before or _RUN.fullmatch(text) is not None or text.startswith("at:")


def last_change(known: States) -> StateName:
    """Return the state before the newest run that changed packages. Raises Unrecorded if no run did."""
    for run in reversed(known.runs):
        if run.before is not None and run.after is not None and run.before != run.after:
            found = _before_run(known, run)
            return found._replace(meaning=f"the state before run {run.id} ({run.kind} {_shown(run.value)})")
    raise Unrecorded(f"no run of {known.history.key!r} has changed packages: there is nothing to undo")


def key_named(keys: Sequence[str], text: str) -> Optional[str]:
    """Return the recorded key that the text is, or that alone begins with it; None for a text that fits none.

    Raises Unrecorded for a text that several keys begin with.
    """
    if text in keys:
        return text
    fitting = [key for key in keys if key.startswith(text)]
    if len(fitting) > 1:
        raise Unrecorded(f"--key {_shown(text)} could be each of {_listed(fitting)}; give more of it")
    return fitting[0] if fitting else None


def _explicit(known: States, text: str, now: float) -> Optional[StateName]:
    number = _RUN.fullmatch(text)
    if number is not None:
        return _after_run(known, int(number[1]))
    if text.startswith("at:"):
        moment = _moment(text[3:].strip())
        if moment is None:
            raise Unrecorded(f"{_shown(text)} names no time; right is at:2026-11-29 or 'at:2026-11-29 14:00' (UTC)")
        return _at(known, text[3:].strip(), moment, now)
    before = _BEFORE.fullmatch(text)
    if before is not None:
        return _before(known, before[1] or before[2])
    return _before_first(known) if text == "before" else None


def _prefix(known: States, text: str, _: float) -> Optional[StateName]:
    if not text:
        return None
    names = [record.value for record in known.history.records]
    first = before_name(known.history)
    fitting = [name for name in dict.fromkeys((*names, *([first] if first else []))) if name.startswith(text)]
    if len(fitting) > 1:
        other = f", or at:{text} for the state at that time" if _moment(text) is not None else ""
        raise Unrecorded(f"{_shown(text)} could be each of {_listed(fitting)}; give more of it{other}")
    if not fitting:
        return None
    found = find_state(known, fitting[0], 0.0)
    return found._replace(meaning=f"the only value that begins with {_shown(text)}") if found else None


def _number(known: States, text: str, _: float) -> Optional[StateName]:
    is_number = text.isascii() and text.isdigit() and len(text) <= 18
    if not is_number or any(record.value.isdigit() for record in known.history.records):
        return None
    return _after_run(known, int(text)) if any(run.id == int(text) for run in known.runs) else None


def _time(known: States, text: str, now: float) -> Optional[StateName]:
    moment = _moment(text)
    return None if moment is None else _at(known, text, moment, now)


def _past(known: States, text: str, now: float) -> Optional[StateName]:
    try:
        found = _time(known, text, now)
    except Unrecorded:
        return None
    present = next((run.after for run in reversed(known.runs) if run.leads_to_value and run.after is not None), None)
    return found if found is not None and present not in (None, found.state) else None


def _moment(text: str) -> Optional[float]:
    """Return the seconds since the epoch that are meant; a day means its end."""
    seconds = utc_seconds(text)
    if seconds is not None and _DAY.fullmatch(text):
        return seconds + _DAY_SECONDS - 1
    return seconds


def _after_run(known: States, number: int) -> StateName:
    """Return the state that a run has left."""
    run = next((one for one in known.runs if one.id == number), None)
    if run is None:
        raise Unrecorded(f"run {number} is no recorded run of {known.history.key!r}")
    if run.finished is None:
        raise Unrecorded(f"run {number} is still open: the state that it leaves is not known yet")
    state = run.after if run.after is not None or run.progress.change_began else run.before
    if state is None:
        raise Unrecorded(f"run {number} ({run.kind} {_shown(run.value)}) has recorded no package state")
    own = run.value if run.progress.reached else run.departing
    return _named(known, state, own, f"run:{number}", run.id)._replace(meaning=f"the state that run {number} left")


def _before_run(known: States, run: Run) -> StateName:
    if run.before is None:
        raise Unrecorded(f"run {run.id} has recorded no state before it")
    if run.before == known.history.first_state and run.is_first:
        return _before_first(known)
    return _named(known, run.before, run.departing, f"(before run:{run.id})", None)


def _before(known: States, text: str) -> StateName:
    """Return the state before the first run that led to a value, or before a run."""
    if before_name(known.history) == f"(before {text})":
        return _before_first(known)
    number = _RUN.fullmatch(text)
    if number is not None:
        run = next((one for one in known.runs if one.id == int(number[1])), None)
        if run is None:
            raise Unrecorded(f"run {number[1]} is no recorded run of {known.history.key!r}")
        return _before_run(known, run)._replace(meaning=f"the state before run {run.id}")
    if known.history.record(text) is None:
        raise Unrecorded(_unknown(known, text))
    run = next((one for one in known.runs if one.value == text and one.before is not None), None)
    if run is None:
        raise Unrecorded(f"{_shown(text)} is the baseline of {known.history.key!r}: no older state is recorded")
    return _before_run(known, run)._replace(meaning=f"the state before run {run.id}, the first one to {_shown(text)}")


def _before_first(known: States) -> StateName:
    name = before_name(known.history)
    if name is None or known.history.first_state is None:
        raise Unrecorded(f"the history of {known.history.key!r} began with a baseline: no older state is recorded")
    record = known.history.record(name)
    if record is not None and record.is_reached:
        return StateName(name, record.state, record, record.reached_run)
    return StateName(name, known.history.first_state, meaning="the state before the first update")


def _at(known: States, text: str, moment: float, now: float) -> StateName:
    """Return the state at a time: that which the last run until then has left."""
    begins = moment - _DAY_SECONDS + 1 if _DAY.fullmatch(text) else moment
    if begins > now:
        raise Unrecorded(f"{_shown(text)} lies in the future")
    changing = [run for run in known.runs if run.leads_to_value and run.before is not None]
    ended = [run for run in changing if run.finished is not None and run.finished <= moment]
    baselines = [
        record
        for record in known.history.records
        if record.reached is not None and record.reached_run is None and record.reached <= moment
    ]
    meaning = f"the state at {text}"
    if ended and not any((record.reached or 0) > (ended[-1].finished or 0) for record in baselines):
        return _after_run(known, ended[-1].id)._replace(meaning=f"{meaning}, which run {ended[-1].id} left")
    if baselines:
        last = max(baselines, key=lambda record: record.reached or 0)
        return StateName(last.value, last.state, last, meaning=meaning)
    if changing and (changing[0].is_first or changing[0].started <= moment):
        return _before_run(known, changing[0])._replace(meaning=f"{meaning}, before run {changing[0].id}")
    raise Unrecorded(f"no state of {known.history.key!r} is as old as {_shown(text)}")


def _named(known: States, state: int, own: Optional[str], name: str, run: Optional[int]) -> StateName:
    """Return the state under a value that has it: ``own`` if it does, else any; otherwise under ``name``."""
    with_state = [record for record in known.history.records if record.is_reached and record.state == state]
    record = next((one for one in with_state if one.value == own), with_state[-1] if with_state else None)
    if record is not None:
        return StateName(record.value, state, record, record.reached_run)
    if state == known.history.first_state:
        return _before_first(known)
    return StateName(name, state, run=run)


def _unknown(known: States, text: str) -> str:
    values: List[str] = [record.value for record in known.history.records]
    first = before_name(known.history)
    if first is not None and first not in values:
        values.insert(0, first)
    return (
        f"{_shown(text)} is not recorded under {known.history.key!r}; recorded values:"
        f" {', '.join(map(_shown, values)) or 'none'}; run:N and at:DATE also name a state"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_shown, names))


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
