"""The only memory: deliveries, runs, package states, kept files and undelivered results, in one SQLite file.

- Every commit is durable (fsync). A killed writer leaves what was there before.
- Runs, policies, requests and signal targets are JSON documents with a version (kinds, model.documents).
- Every row is checked when it is read. A damaged record raises `Damaged`, which names the file and the record; methods
  that return many records leave it out, log it once, and list it in `Ledger.damaged`.
- Nothing but a LedgerError leaves this package, whatever a row holds.
"""

from os_update_agent.ledger.archive import ArchiveEntries
from os_update_agent.ledger.database import SCHEMA, peek
from os_update_agent.ledger.deliveries import Deliveries, address_of
from os_update_agent.ledger.forgetting import Forgetting
from os_update_agent.ledger.histories import Histories
from os_update_agent.ledger.runs import Runs
from os_update_agent.ledger.signals import Signals
from os_update_agent.ledger.states import FULL_EVERY, States

__all__ = ["FULL_EVERY", "SCHEMA", "Ledger", "address_of", "peek"]


class Ledger(States, Histories, Runs, Deliveries, Signals, ArchiveEntries, Forgetting):
    """The ledger at ``path``, made if it is not there. Every public method that writes is one durable transaction.

    Raises LedgerError if the file cannot be opened, is damaged or was written by a newer agent. Every method raises
    LedgerError, besides what its docstring names.
    """
