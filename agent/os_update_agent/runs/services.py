"""The phases of a run that stops or starts services: look, do it, look again, and put back what was stopped where that
failed.
"""

import time
from dataclasses import replace
from typing import Mapping, Sequence, Tuple

from os_update_agent.model.errors import AgentError
from os_update_agent.model.phases import (
    CHANGED,
    CHECK,
    NOT_UNDONE,
    RECORD,
    RETURN,
    START,
    STOP,
    TRANSACT,
    UNDO,
    UNDONE,
    VERIFY,
    Phase,
)
from os_update_agent.model.runs import Run
from os_update_agent.node import systemctl as units
from os_update_agent.node.systemctl import UnitState
from os_update_agent.runs.context import Step, Work, moved, noted
from os_update_agent.runs.transitions import DONE, UNITS_FOUND, UNITS_SWITCHED, Event
from os_update_agent.runtime.context import Site
from os_update_agent.text.phrases import named

# A service that ends as soon as it is started is active for a moment.
SETTLE_SECONDS = 1.0


def look(work: Work) -> Tuple[Run, Event]:
    """Are there such units at all, and which of them run?"""
    states = known_units(work.site, work.policy.units)
    active = tuple(unit for unit, state in states.items() if state.is_active)
    return replace(work.run, were_active=active), UNITS_FOUND


def known_units(site: Site, names: Sequence[str]) -> Mapping[str, UnitState]:
    """The state of each unit. Raises AgentError where systemd knows one of them not, or nobody answers for the services
    here.
    """
    states = units.ask(_systemctl(site), names)
    unknown = [f"{unit} ({state.load})" for unit, state in states.items() if not state.is_known]
    if unknown:
        raise AgentError(
            f"systemd knows no {named(unknown)} on this node; the option units must name units that are there"
        )
    return states


def switch(work: Work) -> Tuple[Run, Event]:
    work.save(moved(work.run, impact=CHANGED))
    return replace(work.run, complaints=_switch(work, work.run.kind, work.policy.units)), DONE


def verify(work: Work) -> Tuple[Run, Event]:
    """What systemd says of the units decides; what systemctl complained of is only told."""
    run = work.run
    wrong = _wrong(work, run.kind, work.policy.units)
    said = [run.failure] if run.failure else list(run.complaints)
    if wrong:
        raise AgentError("; ".join([*said, f"{named(wrong)} after the {run.kind}"]))
    for complaint in said:
        run = noted(run, f"{complaint}; but every unit is as it was asked for")
    return replace(run, failure="", status=0), UNITS_SWITCHED


def undo(work: Work) -> Tuple[Run, Event]:
    """Start again what was stopped. A failed start has nothing that would have to be put back."""
    run = work.run
    if run.kind == START:
        return run, UNITS_SWITCHED
    complaints = _switch(work, START, run.were_active)
    wrong = _wrong(work, START, run.were_active)
    if wrong:
        run = noted(run, f"the undo is not complete: {named([*complaints, *wrong])}")
    return moved(run, impact=NOT_UNDONE if wrong else UNDONE), UNITS_SWITCHED


def come_back(work: Work) -> Tuple[Run, Event]:
    """The node has not been out of service by this run."""
    return work.run, DONE


def record(work: Work) -> Tuple[Run, Event]:
    run = work.run
    if not run.failure:
        work.site.ledger.record_current(run.key, run.value)
    return replace(moved(run, reached=not run.failure), finished=work.site.clock()), DONE


def _switch(work: Work, verb: str, names: Sequence[str]) -> Tuple[str, ...]:
    if not names:
        return ()
    complaint = units.switch(_systemctl(work.site), verb, names, work.output, work.policy.script_timeout)
    return (complaint,) if complaint else ()


def _wrong(work: Work, verb: str, names: Sequence[str]) -> Tuple[str, ...]:
    """The units that are not as the verb has to leave them, each with its state."""
    if not names:
        return ()
    if verb == START:
        time.sleep(SETTLE_SECONDS)
    states = units.ask(_systemctl(work.site), names)
    right = {unit: state.is_stopped if verb == STOP else state.is_active for unit, state in states.items()}
    return tuple(f"{unit} is {states[unit].active}" for unit in names if not right[unit])


def _systemctl(site: Site) -> str:
    """The program that answers for the services of the node. Raises AgentError: this machine's services are not those
    of another root.
    """
    if site.settings.services is None:
        raise AgentError(
            f"the services of {site.settings.root} are not those of this machine, so none is touched; "
            "systemctl in section [node] of agent.conf may name the program that reaches them"
        )
    return site.settings.services


PHASES: Mapping[Phase, Step] = {
    CHECK: look,
    TRANSACT: switch,
    VERIFY: verify,
    UNDO: undo,
    RETURN: come_back,
    RECORD: record,
}
