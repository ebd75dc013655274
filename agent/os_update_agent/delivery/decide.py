"""What would happen if a value came: the one answer for the worker, ``plan`` and ``status`` (law 1)."""

import json
from typing import Optional

from os_update_agent.config.policy import Policy
from os_update_agent.decision.shared_keys import choice_of, claim_of, rival
from os_update_agent.decision.table import NOTHING, Decision, PastValues, decide, past_values
from os_update_agent.ledger import Ledger, address_of
from os_update_agent.model.deliveries import ACTIVE_ACTIONS, Request
from os_update_agent.model.errors import Damaged, RivalDeployment
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
    found = decide(history, action, policy.value, operation=policy.operation, past=past, on_create=policy.on_create)
    stands = found.do == NOTHING and policy.operation == "update" and action in ACTIVE_ACTIONS
    return found._replace(reason=found.reason + _selected_otherwise(ledger, history, policy)) if stands else found


def _selected_otherwise(ledger: Ledger, history: History, policy: Policy) -> str:
    """Return a sentence for a value that stands for other packages than the policy selects; "" for any other value."""
    record = history.record(policy.value)
    if record is None or record.reached_run is None:
        return ""
    try:
        run = ledger.run(record.reached_run)
    except Damaged:
        return ""
    if run is None:
        return ""
    other, mine = choice_of(Policy.from_json(run.policy)), choice_of(policy)
    if other == mine:
        return ""
    return (
        f"; run {run.id}, which reached it, selected other packages ({other}; here: {mine}), and the packages that are"
        " selected here were not updated: deliver a new value for that"
    )


def what_a_new_value_does(policy: Policy) -> Decision:
    """Return what any value that the key has never seen does."""
    return Decision(policy.operation, "this value is new")


def past_values_of(ledger: Ledger, history: History, policy: Policy) -> Optional[PastValues]:
    """Return the earlier values of a stop, start, download or assess; None for an update. Raises LedgerError."""
    if policy.operation == "update":
        return None
    return past_values(history, reversed(ledger.runs(policy.key)), policy.operation)


def check_rivals(ledger: Ledger, policy: Policy, request: Request, what: Decision) -> None:
    """Raise RivalDeployment if another deployment with the same key selects other packages. Raises LedgerError."""
    address = address_of(request.signal)
    if address is None or not policy.value or policy.operation != "update":
        return
    mine = claim_of(address, policy)
    other = rival(mine, ledger.claims(policy.key), what.do)
    if other is not None:
        stack, resource = json.loads(other.deployment)
        raise RivalDeployment(
            f"the key {policy.key!r} is also that of the resource {resource!r} of stack {stack!r}, which selects other"
            f" packages ({other.choice}; here: {mine.choice}): give each of them its own state_key. If this one takes"
            " the place of that one, deliver a value with the same packages, exclude and select first"
        )
