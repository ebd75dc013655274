"""The only memory: deliveries, runs, package states, kept files and owed signals, in one SQLite file that is durable at
each commit.
"""

from os_update_agent.ledger.archive import ArchiveEntries
from os_update_agent.ledger.database import SCHEMA, peek
from os_update_agent.ledger.deliveries import Deliveries
from os_update_agent.ledger.histories import Histories
from os_update_agent.ledger.runs import Runs
from os_update_agent.ledger.states import FULL_EVERY, States

__all__ = ["FULL_EVERY", "SCHEMA", "Ledger", "peek"]


class Ledger(States, Histories, Runs, Deliveries, ArchiveEntries):
    """The ledger at ``path``; made when it is not there. Every public method that writes is one durable transaction.

    Raises LedgerError when the file cannot be opened, is damaged or was written by a newer agent.
    """
