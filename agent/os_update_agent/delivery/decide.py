"""What would happen if a value came: the one answer for the worker, ``plan`` and ``status`` (law 1)."""

from typing import Optional

from os_update_agent.config.policy import Policy
from os_update_agent.decision.table import Decision, PastValues, decide, past_values
from os_update_agent.ledger import Ledger
from os_update_agent.model.phases import RESTORE
from os_update_agent.model.runs import History


def what_would_happen(
    ledger: Ledger, policy: Policy, action: str = "UPDATE", restore: Optional[int] = None
) -> Decision:
    """Return what a delivery of the policy's value does now.

    ``restore`` is a state that an operator asked for by hand: it is restored whatever the table says.
    Raises LedgerError.
    """
    if restore is not None:
        return Decision(RESTORE, "asked for by hand", restore)
    history = ledger.history(policy.key)
    past = past_values_of(ledger, history, policy)
    return decide(history, action, policy.value, operation=policy.operation, past=past)


def what_a_new_value_does(policy: Policy) -> Decision:
    """Return what any value that the key has never seen does."""
    return Decision(policy.operation, "this value is new")


def past_values_of(ledger: Ledger, history: History, policy: Policy) -> Optional[PastValues]:
    """Return the earlier values of a stop, start, download or assess; None for an update. Raises LedgerError."""
    if policy.operation == "update":
        return None
    return past_values(history, reversed(ledger.runs(policy.key)), policy.operation)
