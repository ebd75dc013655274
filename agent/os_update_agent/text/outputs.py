"""The outputs of a result that Heat stores, each under the name that a SoftwareConfig may declare. Pure."""

from typing import Any, Dict, Optional, Sequence

from os_update_agent.model.node_facts import Drift, NodeFacts
from os_update_agent.model.packages import Change

OUTPUTS = (
    "changes",
    "held_back",
    "state_digest",
    "restored_from",
    "restorable",
    "reboot_required",
    "services_to_restart",
    "drift",
)


def outputs_of(facts: NodeFacts, changes: Sequence[Change] = (), restored_from: str = "") -> Dict[str, Any]:
    """Return every output. What is not known is None: Heat would keep the value of an earlier result otherwise."""
    held_back, services = facts.held_back, facts.services
    return {
        "changes": _counted(changes),
        "held_back": None if held_back is None else [{"name": one.name, "reason": one.reason} for one in held_back],
        "state_digest": facts.digest,
        "restored_from": restored_from,
        "restorable": facts.restorable,
        "reboot_required": None if facts.reboot is None else bool(facts.reboot),
        "services_to_restart": None if services is None else list(services),
        **drift_output(facts.drift),
    }


def drift_output(drift: Optional[Drift]) -> Dict[str, Any]:
    """Return the output ``drift`` alone."""
    return {"drift": None if drift is None else {**_counted(drift.changes), "others": list(drift.others)}}


def _counted(changes: Sequence[Change]) -> Dict[str, Any]:
    return {"count": len(changes), "changes": [change.as_json() for change in changes]}
