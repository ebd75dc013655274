"""What the architecture page draws, taken from the code."""

from typing import Dict, Tuple

from os_update_agent.model.phases import Phase
from os_update_agent.runs.transitions import TRANSITIONS, Event


def drawn() -> Dict[Phase, Dict[Phase, Tuple[Event, ...]]]:
    """Return the table for a picture: phase -> next phase -> the events that lead there, in the order of the table."""
    found: Dict[Phase, Dict[Phase, Tuple[Event, ...]]] = {}
    for (phase, event), following in TRANSITIONS.items():
        ways = found.setdefault(phase, {})
        ways[following] = (*ways.get(following, ()), event)
    return found
