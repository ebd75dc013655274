"""What is installed becomes what runs: services are restarted, or the machine is booted again, at most once in each
direction.
"""

import os
import time
from dataclasses import replace
from typing import Dict, List, Mapping, Tuple

from os_update_agent.decision.restarts import Restarts, reboot_is_due, restarts
from os_update_agent.model.errors import AgentError
from os_update_agent.model.phases import BACK, FORTH, REBOOT, RESTART, UPDATE, Phase
from os_update_agent.model.runs import Run
from os_update_agent.node import systemctl as units
from os_update_agent.node.offline_updates import next_boot
from os_update_agent.node.permissions import OUR_NAME
from os_update_agent.node.reboot import ask_for_reboot, stale_services
from os_update_agent.node.transient_unit import CALLER_UNIT, restart_when_idle
from os_update_agent.runs.context import Step, Work, moved, noted
from os_update_agent.runs.services import SETTLE_SECONDS
from os_update_agent.runs.transitions import DONE, DONE_BACK, REBOOT_IS_DUE, Event
from os_update_agent.text.phrases import named

REBOOT_TRIES = 2
# From the order to the end of this worker: a shutdown ends it before it waits for anything else.
REBOOT_SECONDS = 300.0
POLL_SECONDS = 0.2


def restart(work: Work) -> Tuple[Run, Event]:
    """Decide on the reboot; without one, restart what still runs replaced code where that is asked for.

    Raises AgentError when a service does not come up again, CommandFailed.
    """
    run, root = work.run, work.site.settings.root
    rule = work.policy.reboot
    reasons = work.site.reboot_reasons(work.policy) if rule == "if-needed" else ()
    if reboot_is_due(rule, reasons, direction=run.progress.direction, rebooted=run.progress.rebooted):
        pending = next_boot(root)
        if work.systemctl is None:
            run = noted(run, f"no reboot: {root} is not the root of this machine (reboot: {rule})")
        elif not pending:
            return moved(run, reboot_from=work.site.boot_id(), reboots_asked=0), REBOOT_IS_DUE
        elif run.kind == UPDATE and run.progress.direction == FORTH:
            raise AgentError(f"no reboot (reboot: {rule}): the next boot applies {pending}")
        else:
            # The way back is not held up by it.
            run = noted(run, f"no reboot (reboot: {rule}): the next boot applies {pending}; boot after that is dropped")
    if work.policy.services == "restart" and work.systemctl is not None:
        run = _restarted(work, run, work.systemctl)
    return run, _done(run)


def reboot(work: Work) -> Tuple[Run, Event]:
    """Ask for the reboot and wait for the end of this process. After the boot this phase comes again, finds another
    boot, and goes on.

    Raises AgentError when the reboot does not happen, Busy when somebody else's transaction would be torn by it.
    """
    complaints: List[str] = []
    while not _has_booted(work):
        asked = work.run.progress.reboots_asked
        if asked == REBOOT_TRIES:
            raise AgentError(f"the reboot did not happen: {'; then '.join(complaints) or 'it was asked for in vain'}")
        work.backend.wait()
        work.save(moved(work.run, reboots_asked=asked + 1))
        assert work.systemctl is not None
        complaint = ask_for_reboot(work.systemctl)
        work.say(complaint or "the reboot is asked for")
        complaints.append(complaint or _waited_in_vain(work))
    progress = work.run.progress
    run = moved(work.run, rebooted=(*progress.rebooted, progress.direction))
    for reason in work.site.reboot_reasons(work.policy):
        run = noted(run, f"the machine came back from its reboot, and still: {reason}")
    return run, _done(run)


def restart_callers(work: Work) -> Run:
    """Have the services that call us restarted, once they have nothing to do any more. Not here: their end may be that
    of our caller.
    """
    run = work.run
    if run.restart_last and work.systemctl is not None:
        try:
            settings = work.site.settings
            unit = f"{OUR_NAME}-restart-{run.id}"
            restart_when_idle(
                work.systemctl, run.restart_last, unit=unit, output=settings.worker_log, work=settings.run
            )
        except AgentError as error:
            run = noted(run, f"{named(run.restart_last)} still run replaced code and could not be restarted: {error}")
    return run


def _restarted(work: Work, run: Run, systemctl: str) -> Run:
    plan = _plan(work, systemctl)
    run = replace(run, restarted=tuple(sorted({*run.restarted, *plan.now})), restart_last=plan.last)
    if plan.left:
        run = noted(
            run,
            f"not restarted, though they run replaced code: {named([f'{unit} ({why})' for unit, why in plan.left])}",
        )
    # Written ahead: an undo starts them again where they do not run any more.
    work.save(run)
    complaints = _each(work, systemctl, "try-restart", plan.now)
    if run.progress.direction == BACK:
        stopped = tuple(_not_running(systemctl, run.restarted))
        complaints += (*_each(work, systemctl, "reset-failed", stopped), *_each(work, systemctl, "restart", stopped))
    down = _not_running(systemctl, run.restarted)
    if complaints or down:
        said = [*complaints, *(f"{unit} is {state}" for unit, state in down.items())]
        raise AgentError(f"services that ran replaced code do not come up again: {named(said)}")
    return run


def _each(work: Work, systemctl: str, verb: str, names: Tuple[str, ...]) -> Tuple[str, ...]:
    """What systemctl complained of."""
    complaints = []
    for unit in names:
        work.say(f"--- {verb} {unit}")
        complaint = units.switch(systemctl, verb, (unit,), work.output, work.policy.script_timeout)
        if complaint:
            complaints.append(f"{unit}: {complaint}")
    return tuple(complaints)


def _plan(work: Work, systemctl: str) -> Restarts:
    stale = stale_services(work.site.settings.root)
    refusing = units.refusing_restart(systemctl, stale) if stale else ()
    return restarts(stale, caller=os.environ.get(CALLER_UNIT), refusing=refusing)


def _not_running(systemctl: str, names: Tuple[str, ...]) -> Dict[str, str]:
    if not names:
        return {}
    # One that ends as soon as it is started runs for a moment.
    time.sleep(SETTLE_SECONDS)
    return {unit: state.active for unit, state in units.ask(systemctl, names).items() if not state.is_active}


def _has_booted(work: Work) -> bool:
    return work.site.boot_id() != work.run.progress.reboot_from


def _waited_in_vain(work: Work) -> str:
    """Wait until this process is ended; what there is to say where it is not."""
    end = time.monotonic() + REBOOT_SECONDS
    while not _has_booted(work):
        if time.monotonic() > end:
            return f"{REBOOT_SECONDS:g} s after the order the machine was still up"
        time.sleep(POLL_SECONDS)
    return ""


def _done(run: Run) -> Event:
    return DONE if run.progress.direction == FORTH else DONE_BACK


PHASES: Mapping[Phase, Step] = {RESTART: restart, REBOOT: reboot}
