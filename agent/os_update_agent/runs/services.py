"""The phases of a run that stops or starts services: look, do it, look again, and put back what was stopped where that
failed.
"""

import time
from dataclasses import replace
from typing import Mapping, Sequence, Tuple

from os_update_agent.model.errors import AgentError
from os_update_agent.model.phases import CHECK, FINISHED, RECORD, RETURN, START, STOP, TRANSACT, UNDO, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.node import systemctl as units
from os_update_agent.node.systemctl import UnitState
from os_update_agent.runs.context import Phase, Work, noted
from os_update_agent.runtime.context import Site
from os_update_agent.text.phrases import named

# A service that ends as soon as it is started is active for a moment.
SETTLE_SECONDS = 1.0


def look(work: Work) -> Run:
    """Are there such units at all, and which of them run?"""
    states = known_units(work.site, work.policy.units)
    return replace(
        work.run, were_active=tuple(unit for unit, state in states.items() if state.is_active), phase=TRANSACT
    )


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


def switch(work: Work) -> Run:
    work.save(replace(work.run, begun=True))
    return replace(work.run, complaints=_switch(work, work.run.kind, work.policy.units), phase=VERIFY)


def verify(work: Work) -> Run:
    """What systemd says of the units decides; what systemctl complained of is only told."""
    run = work.run
    wrong = _wrong(work, run.kind, work.policy.units)
    said = [run.failure] if run.failure else list(run.complaints)
    if wrong:
        raise AgentError("; ".join([*said, f"{named(wrong)} after the {run.kind}"]))
    for complaint in said:
        run = noted(run, f"{complaint}; but every unit is as it was asked for")
    return replace(run, failure="", status=0, phase=RETURN)


def undo(work: Work) -> Run:
    """Start again what was stopped. A failed start has nothing that would have to be put back."""
    run = work.run
    if run.kind == START:
        return replace(run, phase=RETURN)
    complaints = _switch(work, START, run.were_active)
    wrong = _wrong(work, START, run.were_active)
    if wrong:
        run = noted(run, f"the undo is not complete: {named([*complaints, *wrong])}")
    return replace(run, undone=not wrong, phase=RETURN)


def come_back(work: Work) -> Run:
    """The node has not been out of service by this run."""
    return replace(work.run, phase=RECORD)


def record(work: Work) -> Run:
    run = work.run
    if not run.failure:
        work.site.ledger.record_current(run.key, run.value)
    return replace(run, reached=not run.failure, finished=work.site.clock(), phase=FINISHED)


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


PHASES: Mapping[str, Phase] = {
    CHECK: look,
    TRANSACT: switch,
    VERIFY: verify,
    UNDO: undo,
    RETURN: come_back,
    RECORD: record,
}
