"""The end of a run: the truth goes into the history."""

from dataclasses import replace
from typing import Mapping, Tuple

from os_update_agent.model.errors import AgentError
from os_update_agent.model.phases import CHANGED, NOT_UNDONE, OUT_OF_SERVICE, RECORD, UNDONE, UNTOUCHED, Phase
from os_update_agent.model.runs import Run
from os_update_agent.runs.context import Step, Work, moved, noted
from os_update_agent.runs.etc_files import at_least, with_etc_after
from os_update_agent.runs.restart import restart_callers
from os_update_agent.runs.retention import defaults_now, idle_limit, prune
from os_update_agent.runs.transitions import DONE, Event


def record(work: Work) -> Tuple[Run, Event]:
    """The truth goes into the history: reached, unchanged, or somewhere in between."""
    run, ledger = _looked_at(work, restart_callers(work)), work.site.ledger
    noting = run
    run = at_least(work, lambda: with_etc_after(work, noting), noting)
    now = work.site.clock()
    reached = not run.failure
    if run.leads_to_value:
        if reached and run.after is not None:
            ledger.record_reached(run.key, run.value, run.after, run.id, now)
            run = _cleaned_up(work, run)
        elif run.progress.impact in (CHANGED, NOT_UNDONE) or run.progress.service == OUT_OF_SERVICE:
            ledger.record_current(run.key, None)
        else:
            if run.departing is not None:
                ledger.record_current(run.key, run.departing)
            if run.plan.moves:
                ledger.record_moved_back(run.id)
    if reached or run.progress.impact == UNDONE:
        # They may be many, and the document stays.
        run = replace(run, faults_before=None)
    return replace(moved(run, reached=reached), finished=now), DONE


def _looked_at(work: Work, run: Run) -> Run:
    """What a run that failed has left behind: one that gave up, or whose undo failed, has not looked since."""
    if not run.failure or run.progress.impact in (UNTOUCHED, UNDONE):
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
        defaults, idle = defaults_now(work.site), idle_limit(work.site)
        prune(work.site.ledger, work.archive, defaults, besides=run.id, idle=idle)
    except (AgentError, OSError) as error:
        return noted(run, f"the archive could not be cleaned up: {error}")
    return run


PHASES: Mapping[Phase, Step] = {RECORD: record}
