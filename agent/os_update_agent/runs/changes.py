"""What a run has changed, as a value and as one line of the log."""

from typing import Optional, Tuple

from os_update_agent.model.errors import Damaged
from os_update_agent.model.packages import Change, annotated, diff
from os_update_agent.model.runs import Run
from os_update_agent.packages.state import visible
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged


def changed_by(site: Site, run: Run) -> Tuple[Change, ...]:
    """What a run has changed so far. Raises LedgerError."""
    if run.before is None or run.after is None:
        return ()
    found = visible(diff(site.ledger.state(run.before), site.ledger.state(run.after)))
    return annotated(found, run.plan.changes)


def number_changed_by(site: Site, run: Run) -> Optional[int]:
    """Return how many packages a run has changed so far; None where the record of one of its states is damaged."""
    try:
        return len(changed_by(site, run))
    except Damaged:
        return None


def facts_of(site: Site, run: Run) -> str:
    """A run in one line for the log. Raises LedgerError."""
    end = {} if run.finished is None else {"seconds": f"{max(0.0, run.finished - run.started):.1f}"}
    changed = number_changed_by(site, run)
    counts = {"changed": "unknown" if changed is None else changed, "held_back": len(run.plan.held_back)}
    why = {"why": run.failure} if run.failure else {}
    return logged(run=run.id, kind=run.kind, value=run.value, result=run.result, **counts, **end, **why, log=run.log)
