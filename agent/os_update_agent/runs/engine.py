"""The life of one run, step by step.

Each phase is written to the ledger before its step begins, and each step takes all that it needs from the run in the
ledger, so that any step can be the last one that happened: whoever comes next calls perform() with the same run again.

    check -> capture -> [refresh] -> plan -> fetch -> leave -> transact -> verify -> restart -> [reboot] -> health ->
    return -> record
                           any failure from transact on -> undo -> restart -> [reboot] -> return
"""

import contextlib
import logging
import os
from dataclasses import replace
from typing import IO, Iterator, Mapping, Optional

from os_update_agent.config.policy import Policy
from os_update_agent.model.errors import BUG_STATUS, AgentError, LedgerError, bug
from os_update_agent.model.phases import CHECK, FINISHED, LEAVE, REBOOT, RECORD, RESTART, RETURN, TRANSACT, UNDO, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.node.permissions import make_private
from os_update_agent.runs import apply, finish, prepare, restart, services
from os_update_agent.runs.changes import facts_of
from os_update_agent.runs.context import Phase, Work, noted
from os_update_agent.runtime.context import Site
from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

CUT_OFF_AT_MOST = 2
STILL_OUTSIDE = "the node may still be outside; the next run ends with post-update.d again"
_PHASES: Mapping[str, Phase] = {**prepare.PHASES, **apply.PHASES, **restart.PHASES, **finish.PHASES}


def begin(
    site: Site, policy: Policy, kind: str, *, config_id: str, state: Optional[int] = None, is_first: bool = False
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
        )
    )


def taken_up(run: Run) -> Run:
    """A run that was cut off, as it goes on: anew where nothing was touched yet, for the node may have changed
    meanwhile.

    What was cut off again and again is not tried for ever: a transaction is undone, an undo is given up, and so are the
    operator's steps, for one that boots the machine would boot it without end. Only the record, which changes nothing,
    is always tried again.
    """
    if run.phase == REBOOT:
        # That it was cut off is what was asked for.
        return run
    note = f"the run was cut off in phase {run.phase} and taken up again"
    times = run.notes.count(note) + 1
    run = noted(run, note)
    if times > CUT_OFF_AT_MOST and run.phase == UNDO:
        return replace(run, phase=RETURN, undone=False)
    if times > CUT_OFF_AT_MOST and run.phase == RESTART and run.undone:
        return replace(run, phase=RETURN)
    failure = run.failure or f"it was cut off {times} times in phase {run.phase}"
    if times > CUT_OFF_AT_MOST and run.phase == LEAVE:
        return replace(run, phase=RETURN, failure=failure, status=run.status or 1)
    if times > CUT_OFF_AT_MOST and run.phase == RETURN:
        return noted(replace(run, phase=RECORD, failure=failure, status=run.status or 1), STILL_OUTSIDE)
    if times > CUT_OFF_AT_MOST and run.begun and run.phase != RECORD:
        back = Policy.from_json(run.policy).on_failure == "restore"
        return replace(run, phase=UNDO if back else RETURN, failure=failure, status=run.status or 1)
    return replace(run, phase=run.phase if run.left or run.begun or run.failure else CHECK)


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
            logged(run=run.id, kind=run.kind, value=run.value, key=run.key, deployment=run.config_id, phase=run.phase)
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
    """Law 7 where nothing can be written down any more: whether anybody ever reads where this run stands is not
    known.
    """
    if work.run.left and not work.run.returned:
        work.run = replace(work.run, failure=work.run.failure or str(error))
        with contextlib.suppress(AgentError):
            work.operator_steps("post-update.d")


def _step(work: Work) -> None:
    """Do the phase that the run is in and write down what comes next."""
    phase = work.run.phase
    log.info(logged(run=work.run.id, phase=phase))
    work.enter(phase)
    try:
        run = (services.PHASES if work.run.switches_services else _PHASES)[phase](work)
    except AgentError as error:
        if phase == RECORD and isinstance(error, LedgerError):
            # The packages are where they should be: that this cannot be written down now does not make it untrue.
            raise
        run = _failed(work, phase, str(error), error.exit_status)
    except Exception as error:
        # A bug must not leave the node half-done, and must still be reported as a failure.
        run = _failed(work, phase, bug(error), BUG_STATUS)
    work.save(run)


def _failed(work: Work, phase: str, why: str, status: int) -> Run:
    """The run after a phase failed: undone where a transaction was begun and the policy asks for it, brought back in
    any case.
    """
    log.error(logged(run=work.run.id, phase=phase, failed=why, log=work.run.log))
    work.say(f"failed: {why}")
    with contextlib.suppress(AgentError, OSError):
        # What was obtained until then is not fetched again, and may be the last one that there is.
        work.archive.flush()
    run = replace(work.run, failure=work.run.failure or why, status=work.run.status or status)
    if phase == UNDO:
        return noted(replace(run, phase=RETURN, undone=False), f"the undo failed: {why}")
    if phase in (RESTART, REBOOT) and run.undone is not None:
        return noted(replace(run, phase=RETURN), f"after the undo: {why}")
    if phase == RETURN:
        return noted(replace(run, phase=RECORD), STILL_OUTSIDE)
    if phase == RECORD:
        return replace(run, phase=FINISHED, finished=work.site.clock(), reached=False)
    if phase == TRANSACT and run.begun:
        # It may have ended before, in or behind the transaction: the package database says which.
        return replace(run, phase=VERIFY)
    if run.begun and work.policy.on_failure == "restore":
        return replace(run, phase=UNDO)
    return replace(run, phase=RETURN)


@contextlib.contextmanager
def _log_file(site: Site, run: Run) -> Iterator[IO[bytes]]:
    """The run's log; nowhere, when it cannot be written: a run that is begun has to come to its end."""
    try:
        make_private(site.settings.log)
        output = open(run.log, "ab", buffering=0, opener=_private)  # noqa: SIM115
    except (AgentError, OSError) as error:
        log.error(logged(run=run.id, log="none", why=error))
        output = open(os.devnull, "ab", buffering=0)  # noqa: SIM115
    with output:
        yield output


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
