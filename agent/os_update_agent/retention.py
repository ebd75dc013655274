"""Which package files stay: those of every state that is kept, and nothing else."""

from typing import FrozenSet, Iterable, Set, Tuple

from os_update_agent.ledger import Ledger
from os_update_agent.model import History, Identity
from os_update_agent.packages.archive import Archive


def kept_states(history: History, keep: int) -> Tuple[int, ...]:
    """The states of the ``keep`` values reached last, of the current one, and the one before the first update; none at all for 0. Pure."""
    if keep == 0:
        return ()
    reached = [record for record in history.records if record.is_reached]
    current = [record for record in reached if record.value == history.current]
    numbers = [record.state for record in (*reached[-keep:], *current)]
    return tuple(dict.fromkeys(number for number in (*numbers, history.first_state) if number is not None))


def prune(ledger: Ledger, archive: Archive, keep: int) -> Tuple[int, int]:
    """Drop the files that no kept state of any key needs. Returns (files, bytes) that went."""
    numbers: Set[int] = set()
    for key in ledger.all_keys():
        numbers.update(kept_states(ledger.history(key), keep))
    return archive.prune(_identities(ledger, sorted(numbers)))


def _identities(ledger: Ledger, numbers: Iterable[int]) -> FrozenSet[Identity]:
    return frozenset(package.identity for number in numbers for package in ledger.state(number).packages if package.is_present)
