"""The end of a run: the truth goes into the history."""

from dataclasses import replace
from typing import Mapping

from os_update_agent.model.errors import AgentError
from os_update_agent.model.phases import FINISHED, RECORD
from os_update_agent.model.runs import Run
from os_update_agent.runs.context import Phase, Work, noted
from os_update_agent.runs.restart import restart_callers
from os_update_agent.runs.retention import prune


def record(work: Work) -> Run:
    """The truth goes into the history: reached, unchanged, or somewhere in between."""
    run, ledger = _looked_at(work, restart_callers(work)), work.site.ledger
    now = work.site.clock()
    reached = not run.failure
    if run.leads_to_value:
        if reached and run.after is not None:
            ledger.record_reached(run.key, run.value, run.after, run.id, now)
            run = _cleaned_up(work, run)
        elif (run.begun and not run.undone) or (run.left and not run.returned):
            ledger.record_current(run.key, None)
        else:
            ledger.record_current(run.key, run.departing)
    return replace(run, reached=reached, finished=now, phase=FINISHED)


def _looked_at(work: Work, run: Run) -> Run:
    """What a run that failed has left behind: one that gave up, or whose undo failed, has not looked since."""
    if not run.failure or not run.begun or run.undone:
        return run
    try:
        return replace(run, after=work.site.ledger.put_state(work.backend.capture()))
    except AgentError as error:
        return noted(run, f"what is installed now could not be read: {error}")


def _cleaned_up(work: Work, run: Run) -> Run:
    """Drop the package files that nobody needs. What cannot be dropped takes space, and takes nothing from what was
    reached.
    """
    try:
        prune(work.site.ledger, work.archive, work.policy, besides=run.id)
    except (AgentError, OSError) as error:
        return noted(run, f"the archive could not be cleaned up: {error}")
    return run


PHASES: Mapping[str, Phase] = {RECORD: record}
