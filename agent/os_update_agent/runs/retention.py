"""Which package files stay: those of every state that is kept, what was downloaded for an update that is still to come,
nothing else.
"""

import contextlib
from pathlib import Path
from typing import Any, Collection, Dict, FrozenSet, Iterable, Mapping, NamedTuple, Optional, Set, Tuple

from os_update_agent.config.policy import Policy, by_hand
from os_update_agent.ledger import Ledger
from os_update_agent.ledger.forgetting import NO_KEY
from os_update_agent.model.errors import BadOption, Damaged
from os_update_agent.model.packages import Package, diff
from os_update_agent.model.phases import DOWNLOAD
from os_update_agent.model.runs import History, Run
from os_update_agent.packages.archive import Archive, missing
from os_update_agent.packages.state import visible
from os_update_agent.runtime.context import Site

DAY = 24 * 3600.0


def kept_states(history: History, keep: int) -> Tuple[int, ...]:
    """The state of the current value, those of the ``keep`` values reached last besides it, and the one before the
    first update.

    None at all for 0. Pure.
    """
    if keep == 0:
        return ()
    reached = [record for record in history.records if record.is_reached]
    current = [record for record in reached if record.value == history.current]
    others = [record for record in reached if record.value != history.current]
    numbers = [record.state for record in (*others[-keep:], *current)]
    return tuple(dict.fromkeys(number for number in (*numbers, history.first_state) if number is not None))


class IdleLimit(NamedTuple):
    """The limit after which a key is old. ``now`` is in seconds since the epoch; ``forget_after``, in days, is that of
    agent.conf, for keys whose last delivery did not give it (None: never).
    """

    now: float
    forget_after: Optional[float] = None


def defaults_now(site: Site) -> Optional[Policy]:
    """Return the options of this node's agent.conf as it is now; None if it is wrong."""
    try:
        return by_hand("", "", site.settings.defaults)
    except BadOption:
        return None


def idle_limit(site: Site) -> IdleLimit:
    """Return the limit of this node as of now. A wrong agent.conf has none."""
    defaults = defaults_now(site)
    return IdleLimit(site.clock(), defaults.forget_after if defaults is not None else None)


def old_since(ledger: Ledger, key: str, idle: IdleLimit, *, besides: str = "") -> Optional[float]:
    """Return when an old key received its last delivery (seconds since the epoch), None for a key that is not old.

    The delivery ``besides`` does not count. A key whose last options are damaged may have asked for any number of days.
    """
    try:
        last = ledger.last_policy(key)
    except Damaged:
        return None
    own = last.own_options().get("forget_after") if last is not None else None
    days, received = own if own is not None else idle.forget_after, ledger.last_received(key, besides=besides)
    is_old = days is not None and received is not None and idle.now - received > float(days) * DAY
    return received if is_old else None


def _options_of(ledger: Ledger, key: str, defaults: Optional[Policy]) -> Mapping[str, Any]:
    """Return the options that count for the files of a key: those that its last delivery itself gave, else those of
    agent.conf, which are ``defaults``.

    All options count as the last delivery stored them if agent.conf is wrong (no ``defaults``), or if an older agent
    stored the delivery, without the origins: no file may be dropped because of a guess. Raises Damaged.
    """
    last = ledger.last_policy(key)
    if last is None:
        return (defaults or Policy()).options()
    if defaults is None or last.given is None:
        return last.options()
    return {**defaults.options(), **last.own_options()}


def keep_of(ledger: Ledger, key: str, defaults: Optional[Policy], idle: Optional[IdleLimit] = None) -> int:
    """Return how many values of the key stay restorable: as many as its last delivery said, else ``defaults``; 0 if
    these switch the archive off, and if the key is old.

    A key that only downloads, assesses, stops or starts restores no packages: its baseline would hold the oldest files
    for ever. A key whose last policy is damaged may have asked for any number: all its values stay.
    """
    if idle is not None and old_since(ledger, key, idle) is not None:
        return 0
    try:
        options = _options_of(ledger, key, defaults)
    except Damaged:
        return max(1, len(ledger.history(key).records))
    if options["operation"] != "update" and all(one.reached_run is None for one in ledger.history(key).records):
        return 0
    return 0 if options["archive"] == "off" else int(options["keep"])


def at_hand(ledger: Ledger, archive: Path, history: History, keep: int) -> FrozenSet[int]:
    """The kept states that the node can go to with the files that really lie in the archive, from where its newest run
    has left it.
    """
    current = history.record(history.current) if history.current is not None else None
    runs = ledger.runs(history.key, limit=1)
    here = current.state if current is not None else runs[0].after or runs[0].before if runs else None
    if here is None:
        return frozenset()

    def is_at_hand(number: int) -> bool:
        try:
            changes = visible(diff(ledger.state(here), ledger.state(number)))
        except Damaged:
            return False
        return not missing(archive, ledger, [change.after for change in changes if change.after])

    return frozenset(number for number in {here, *kept_states(history, keep)} if is_at_hand(number))


def prune(
    ledger: Ledger,
    archive: Archive,
    defaults: Optional[Policy],
    *,
    keep: Optional[int] = None,
    besides: Optional[int] = None,
    idle: Optional[IdleLimit] = None,
) -> Tuple[int, int]:
    """Drop the files that nobody needs. Returns (files, bytes) that were dropped.

    ``defaults`` are the options of agent.conf, None if it is wrong. If ``keep`` is given, it counts for all keys but
    those that are old by ``idle``.
    """
    numbers: Set[int] = set()
    noted: Set[int] = set()
    for key in ledger.all_keys():
        if idle is not None and old_since(ledger, key, idle) is not None:
            continue
        count = keep_of(ledger, key, defaults) if keep is None else keep
        numbers.update(kept_states(ledger.history(key), count))
        # Without an archive a way back may still be possible.
        count_of_texts = count or (int(_options_of(ledger, key, defaults)["keep"]) if keep is None else 0)
        noted.update(kept_states(ledger.history(key), count_of_texts))
    for run in ledger.open_runs():
        # Whoever takes it up again has to be able to go either way; ``besides`` is the run that is just ending.
        if run.id != besides:
            numbers.update(_ends(run))
            noted.update(_ends(run))
    for run in downloads_ahead(ledger, besides):
        if idle is not None and old_since(ledger, run.key, idle) is not None:
            continue
        numbers.update(_ends(run))
    _prune_etc(ledger, archive.directory.parent / "etc", noted, besides)
    return archive.prune(_packages(ledger, sorted(numbers)))


def _prune_etc(ledger: Ledger, directory: Path, numbers: Collection[int], ending: Optional[int]) -> None:
    """Drop the contents of files below /etc that no way back to a kept state needs: those of runs before the oldest
    one that left such a state.
    """
    runs = [run for run in ledger.runs() if run.etc_before is not None]
    needed = [run.id for run in runs if run.before in numbers or run.id == ending]
    for path in directory.glob("*.tar"):
        if not needed or path.stem < f"{min(needed):06d}":
            path.unlink(missing_ok=True)
    for path in directory.glob(".*.new"):
        path.unlink(missing_ok=True)


def downloads_ahead(ledger: Ledger, ending: Optional[int] = None) -> Tuple[Run, ...]:
    """The downloads whose update has not come yet: each with a package that is as it was found by it, and with no newer
    run of its key that has brought the packages elsewhere. One that failed or was undone has not; an assessment, a stop
    or a start touches none.

    By a later update, which may have brought even newer packages, they are history; by one of other packages they are
    not. ``ending`` is the run that is just reaching its aim.
    """
    newest: Dict[str, Run] = {}
    here: Optional[int] = None
    for run in ledger.runs():
        if (
            run.key != NO_KEY
            and (run.progress.reached or run.id == ending)
            and (run.kind == DOWNLOAD or run.leads_to_value)
        ):
            newest.setdefault(run.key, run)
        here = run.after if here is None else here
    found = [run for run in newest.values() if run.kind == DOWNLOAD and run.target is not None]
    return tuple(run for run in found if here is not None and _is_ahead(ledger, run, here))


def _is_ahead(ledger: Ledger, download: Run, here: int) -> bool:
    try:
        before, target, now = (ledger.state(number) for number in (*_ends(download), here))
    except Damaged:
        return False
    planned, done = ({change.name for change in visible(diff(before, state))} for state in (target, now))
    return bool(planned - done)


def _ends(run: Run) -> Tuple[int, ...]:
    return tuple(number for number in (run.before, run.target) if number is not None)


def _packages(ledger: Ledger, numbers: Iterable[int]) -> FrozenSet[Package]:
    """Return the packages of the states. A state whose record is damaged cannot be restored: it needs no files."""
    found: Set[Package] = set()
    for number in numbers:
        with contextlib.suppress(Damaged):
            found.update(package for package in ledger.state(number).packages if package.is_present)
    return frozenset(found)
