"""The files below /etc in the state of a value, as the runs have noted them in the ledger."""

from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import Damaged
from os_update_agent.model.etc_files import Listing, listing_of
from os_update_agent.model.runs import Run


class Recorded(NamedTuple):
    """The files below /etc in a recorded state, and the runs since then that have listed them, the oldest first."""

    listing: Listing
    since: Tuple[Run, ...]


def recorded_etc(ledger: Ledger, key: str, value: Optional[str], *, besides: int = 0) -> Optional[Recorded]:
    """Return the files below /etc in the state of a value: those at the node's last departure from it, otherwise those
    at its arrival. Returns None if no run has listed them. ``value`` None is the state before the first update.

    Differences that a way back has left do not become part of the state.
    """
    since: List[Run] = []
    for run in ledger.walk_runs():
        if isinstance(run, Damaged) or run.id == besides or run.etc_before is None:
            continue
        is_own = run.key == key and run.leads_to_value
        if is_own and (run.is_first if value is None else run.departing == value):
            listing, since = listing_in(ledger, run.etc_before), [*since, run]
        elif is_own and run.value == value and run.progress.reached and not run.etc_differs:
            listing = listing_in(ledger, run.etc_after)
        else:
            since.append(run)
            continue
        return Recorded(listing, tuple(reversed(since))) if listing is not None else None
    return None


def recorded_etc_of_state(ledger: Ledger, key: str, state: int, *, besides: int = 0) -> Optional[Recorded]:
    """Return the files below /etc in a state that has no value: those when the newest run of the key came to it or left
    it. Returns None if no run has listed them.
    """
    since: List[Run] = []
    for run in ledger.walk_runs():
        if isinstance(run, Damaged) or run.id == besides or run.etc_before is None:
            continue
        is_own = run.key == key and run.leads_to_value
        if is_own and run.after == state and run.etc_after is not None:
            listing = listing_in(ledger, run.etc_after)
        elif is_own and run.before == state:
            listing, since = listing_in(ledger, run.etc_before), [*since, run]
        else:
            since.append(run)
            continue
        return Recorded(listing, tuple(reversed(since))) if listing is not None else None
    return None


def listing_in(ledger: Ledger, number: Optional[int]) -> Optional[Listing]:
    """Return a stored listing; None if there is none or if its record is damaged."""
    if number is None:
        return None
    try:
        return listing_of(ledger.listing(number))
    except (Damaged, ValueError, TypeError, RecursionError):
        return None


def contents_of(directory: Path, run: Run) -> Path:
    """Return the path of the contents that the run has kept."""
    return directory / f"{run.id:06d}.tar"
