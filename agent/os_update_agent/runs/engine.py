"""The life of one run, step by step.

Each phase is written to the ledger before its step begins, and each step takes all that it needs from the run in the
ledger, so that any step can be the last one that happened: whoever comes next calls perform() with the same run again.
The phases are in prepare, apply, restart, services and finish; transitions says which one follows.
"""

import contextlib
import logging
import os
from dataclasses import replace
from typing import IO, Iterator, Mapping, Optional, Tuple

from os_update_agent import __version__
from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import AgentError, LedgerError, known
from os_update_agent.model.phases import (
    CHECK,
    FINISHED,
    LEAVE,
    NOT_UNDONE,
    OUT_OF_SERVICE,
    PLAN,
    REBOOT,
    RECORD,
    RESTORE,
    RETURN,
    TRANSACT,
    UNDO,
    UPDATE,
    Phase,
    RunKind,
)
from os_update_agent.model.runs import Run
from os_update_agent.node.offline_updates import offline_updates
from os_update_agent.node.permissions import make_private
from os_update_agent.runs import apply, finish, prepare, restart, services
from os_update_agent.runs.changes import facts_of
from os_update_agent.runs.context import Step, Work, moved, noted
from os_update_agent.runs.retention import idle_limit, old_since
from os_update_agent.runs.transitions import (
    CUT_OFF,
    FAILED_BACK,
    Event,
    after,
    failure_in,
)
from os_update_agent.runtime import imports
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged
from os_update_agent.text.outcomes import when

log = logging.getLogger(__name__)

CUT_OFF_AT_MOST = 2
WHY_LENGTH = 16 * 1024
STILL_OUTSIDE = "the node may still be outside; the next run ends with post-update.d again"
_PHASES: Mapping[Phase, Step] = {**prepare.PHASES, **apply.PHASES, **restart.PHASES, **finish.PHASES}


def begin(
    site: Site, policy: Policy, kind: RunKind, *, config_id: str, state: Optional[int] = None, is_first: bool = False
) -> Run:
    """Write a new run down. ``state`` is the one to restore; ``is_first`` keeps the state before as the key's first
    one.
    """
    history = site.ledger.history(policy.key)
    record = history.record(policy.value)
    return site.ledger.open_run(
        Run(
            id=0,
            key=policy.key,
            value=policy.value,
            kind=kind,
            phase=CHECK,
            started=site.clock(),
            config_id=config_id,
            policy=policy.as_json(),
            boot_id=site.boot_id(),
            departing=history.current,
            restored_from=state,
            reached_before=record.reached if record else None,
            is_first=is_first,
            agent=__version__,
            notes=(*_pending(site), *_unkept(site, policy, kind, config_id)) if kind in (UPDATE, RESTORE) else (),
        )
    )


def _pending(site: Site) -> Tuple[str, ...]:
    return tuple(f"pending: {one.sentence}" for one in offline_updates(site.settings.root))


def _unkept(site: Site, policy: Policy, kind: RunKind, config_id: str) -> Tuple[str, ...]:
    since = old_since(site.ledger, policy.key, idle_limit(site), besides=config_id) if kind == RESTORE else None
    if since is None:
        return ()
    return (
        f"this key had received nothing since {when(since)} and was old (forget_after): its package files were not"
        " kept, and some may be missing",
    )


def taken_up(run: Run) -> Run:
    """Return a run that was cut off as it goes on: anew where nothing was touched yet, for the node may have changed.

    A run is not tried for ever: after CUT_OFF_AT_MOST interruptions in one phase a transaction is undone, an undo is
    given up, and so are the operator's steps, because one that reboots the machine would reboot it without end. Only
    the record, which changes nothing, is always tried again.
    """
    if run.agent != __version__:
        other = f"the run was begun by os-update-agent {run.agent or 'of an earlier version'}"
        other += f" and taken up by os-update-agent {__version__}"
        run = run if other in run.notes else noted(run, other)
    if run.phase == REBOOT:
        # The reboot that cut it off is the one that the run has asked for.
        return run
    note = f"the run was cut off in phase {run.phase} and taken up again"
    times = run.notes.count(note) + 1
    run = noted(run, note)
    if times > CUT_OFF_AT_MOST and (run.phase in (LEAVE, UNDO, RETURN) or _is_changing(run)):
        return _given_up(run, times)
    return after(run, CUT_OFF) if run.progress.is_untouched and not run.failure else run


def _is_changing(run: Run) -> bool:
    return run.progress.change_began and run.phase != RECORD


def _given_up(run: Run, times: int) -> Run:
    why = f"it was cut off {times} times in phase {run.phase}"
    run = replace(run, failure=run.failure or why, status=run.status or 1)
    if run.phase == UNDO:
        run = moved(run, impact=NOT_UNDONE)
    if run.phase == RETURN:
        run = noted(run, STILL_OUTSIDE)
    # A transaction that is cut off again and again is not looked at: it is undone, or kept.
    return after(run, failure_in(run, Policy.from_json(run.policy).on_failure, is_given_up=True))


def perform(site: Site, run: Run) -> Run:
    """Take the run from the phase that it is in to its end. Returns the finished run: what failed is in it, nothing is
    raised for it.

    Raises LedgerError when the run cannot be written down any more.
    """
    run = replace(run, log=run.log or site.run_log(run.id))
    with _log_file(site, run) as output:
        # dpkg and apt write through their own descriptor: ours has to know where the file ends.
        output.seek(0, os.SEEK_END)
        work = Work(site, run, output)
        work.say(
            logged(
                run=run.id,
                kind=run.kind,
                value=run.value,
                key=run.key,
                deployment=run.config_id,
                phase=run.phase,
                agent=__version__,
            )
        )
        try:
            with work.backend.session():
                while work.run.phase != FINISHED:
                    _step(work)
        except LedgerError as error:
            _return_unrecorded(work, error)
            raise
        facts = facts_of(site, work.run)
        work.say(facts)
        log.info(facts)
    return work.run


def _return_unrecorded(work: Work, error: LedgerError) -> None:
    """Bring the node back into service (law 7) when the ledger takes no writes: the run may never be read again."""
    if work.run.progress.service == OUT_OF_SERVICE:
        work.run = replace(work.run, failure=work.run.failure or str(error))
        with contextlib.suppress(AgentError):
            work.operator_steps("post-update.d")


def _step(work: Work) -> None:
    """Do the phase that the run is in, and store the phase that follows."""
    phase = work.run.phase
    log.info(logged(run=work.run.id, phase=phase))
    work.enter(phase)
    is_planned = False
    if phase in (TRANSACT, UNDO):
        imports.load_before(change.name for change in work.run.plan.changes)
    try:
        run, event = (services.PHASES if work.run.switches_services else _PHASES)[phase](work)
        is_planned = phase == PLAN
    except Exception as error:
        if phase == RECORD and isinstance(error, LedgerError):
            # The packages are where they should be: that this cannot be stored now does not make it untrue.
            raise
        # A bug must not leave the node half-done, and must still be reported as a failure.
        reason = known(error)
        run, event = _failed(work, str(reason), reason.exit_status)
    work.save(after(run, event), is_planned=is_planned)


def _failed(work: Work, why: str, status: int) -> Tuple[Run, Event]:
    """Return the run after its phase has failed, and the kind of failure."""
    phase = work.run.phase
    # The words of a program may be of any length, and the record of the run must stay readable.
    why = why if len(why) <= WHY_LENGTH else f"{why[:WHY_LENGTH]}..."
    log.error(logged(run=work.run.id, phase=phase, failed=why, log=work.run.log))
    work.say(f"failed: {why}")
    with contextlib.suppress(AgentError, OSError):
        # What was obtained until then is not fetched again, and may be the last one that there is.
        work.archive.flush()
    run = replace(work.run, failure=work.run.failure or why, status=work.run.status or status)
    event = failure_in(run, work.policy.on_failure)
    if phase == UNDO:
        run = noted(moved(run, impact=NOT_UNDONE), f"the undo failed: {why}")
    elif event == FAILED_BACK:
        run = noted(run, f"after the undo: {why}")
    elif phase == RETURN:
        run = noted(run, STILL_OUTSIDE)
    elif phase == RECORD:
        run = replace(moved(run, reached=False), finished=work.site.clock())
    return run, event


@contextlib.contextmanager
def _log_file(site: Site, run: Run) -> Iterator[IO[bytes]]:
    """The run's log; nowhere, when it cannot be written: a run that is begun has to come to its end."""
    try:
        make_private(site.settings.log)
        output = open(run.log, "ab", buffering=0, opener=_private)  # noqa: SIM115
    except (AgentError, OSError, ValueError) as error:  # ValueError: a NUL in the path that a damaged record names
        log.error(logged(run=run.id, log="none", why=error))
        output = open(os.devnull, "ab", buffering=0)  # noqa: SIM115
    with output:
        yield output


def _private(path: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO without a reader is an error then, and nothing to wait for.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
