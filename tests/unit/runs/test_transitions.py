"""The table of a run's transitions, walked from its first phase."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, Set, Tuple, get_args

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model.options import OnFailure
from os_update_agent.model.phases import CHANGED, CHECK, FINISHED, UNDONE, UNTOUCHED, Impact, Phase
from os_update_agent.model.runs import Progress, Run
from os_update_agent.runs import transitions
from os_update_agent.runs.engine import taken_up
from os_update_agent.runs.transitions import TRANSITIONS, Event, after, failure_in
from unit.pictures import drawn

RUNS = Path(transitions.__file__).parent


def run_in(phase: Phase, impact: Impact = UNTOUCHED) -> Run:
    return Run(1, "key", "v2", "update", phase, 1.0, progress=Progress(impact))


def reachable(start: Phase) -> Set[Phase]:
    found: Set[Phase] = set()
    todo = {start}
    while todo:
        phase = todo.pop()
        found.add(phase)
        todo |= {following for (before, _), following in TRANSITIONS.items() if before == phase} - found
    return found


def test_every_phase_is_reached_from_the_first_one() -> None:
    assert reachable(CHECK) == set(get_args(Phase))


@pytest.mark.parametrize("phase", get_args(Phase))
def test_every_phase_leads_to_the_end(phase: Phase) -> None:
    assert FINISHED in reachable(phase)


def test_the_end_leads_nowhere() -> None:
    assert FINISHED not in drawn()


def test_every_event_has_a_place_in_the_table() -> None:
    assert {event for _, event in TRANSITIONS} == set(get_args(Event))


# How far a run can have come in each phase.
BEFORE: Tuple[Impact, ...] = (UNTOUCHED,)
DURING: Tuple[Impact, ...] = (UNTOUCHED, CHANGED)
AFTER: Tuple[Impact, ...] = (CHANGED,)
AFTER_AN_UNDO: Tuple[Impact, ...] = (CHANGED, UNDONE)
IMPACTS: Dict[Phase, Tuple[Impact, ...]] = {
    **dict.fromkeys(("check", "capture", "refresh", "plan", "fetch", "leave"), BEFORE),
    "transact": DURING,
    **dict.fromkeys(("verify", "health", "undo"), AFTER),
    **dict.fromkeys(("restart", "reboot"), AFTER_AN_UNDO),
    **dict.fromkeys(("return", "record"), get_args(Impact)),
}


@pytest.mark.parametrize(("phase", "impact"), [(phase, impact) for phase in IMPACTS for impact in IMPACTS[phase]])
@pytest.mark.parametrize("on_failure", get_args(OnFailure))
def test_a_failure_in_any_phase_has_a_next_phase(phase: Phase, impact: Impact, on_failure: OnFailure) -> None:
    run = run_in(phase, impact)
    assert after(run, failure_in(run, on_failure)).phase != phase


@pytest.mark.parametrize("phase", [phase for phase, impacts in IMPACTS.items() if UNTOUCHED in impacts])
def test_a_run_that_is_cut_off_before_it_touches_anything_begins_anew(phase: Phase) -> None:
    assert taken_up(run_in(phase)).phase == CHECK


@pytest.mark.parametrize("phase", get_args(Phase))
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("impact", get_args(Impact))
def test_a_run_that_is_cut_off_in_any_phase_can_be_taken_up(phase: Phase, times: int, impact: Impact) -> None:
    if phase == FINISHED or impact not in IMPACTS.get(phase, (CHANGED, UNDONE)):
        return
    run = replace(run_in(phase, impact), policy=Policy().as_json())
    for _ in range(times):
        run = taken_up(replace(run, phase=phase))
    assert run.phase in get_args(Phase)


@pytest.mark.parametrize("phase", ["verify", "restart", "reboot", "health"])
def test_a_failure_after_a_change_is_undone_unless_the_policy_keeps_it(phase: Phase) -> None:
    run = run_in(phase, CHANGED)
    assert after(run, failure_in(run, "restore")).phase == "undo"
    assert after(run, failure_in(run, "keep")).phase == "return"


def test_a_transaction_that_failed_is_looked_at_before_anything_is_undone() -> None:
    run = run_in("transact", CHANGED)
    assert after(run, failure_in(run, "restore")).phase == after(run, failure_in(run, "keep")).phase == "verify"


def test_a_transaction_that_is_cut_off_again_and_again_is_undone_without_another_look() -> None:
    run = run_in("transact", CHANGED)
    assert after(run, failure_in(run, "restore", is_given_up=True)).phase == "undo"
    assert after(run, failure_in(run, "keep", is_given_up=True)).phase == "return"


@pytest.mark.parametrize("phase", ["restart", "reboot"])
def test_a_failure_on_the_way_back_is_not_undone_again(phase: Phase) -> None:
    run = run_in(phase, UNDONE)
    assert after(run, failure_in(run, "restore")).phase == "return"


def test_an_event_that_a_phase_does_not_have_is_a_bug() -> None:
    with pytest.raises(KeyError):
        after(run_in("health"), "downloaded")


def events_in_the_code() -> Iterator[Tuple[str, str]]:
    """The events that each phase's function returns: (phase, event)."""
    names = {name: value for name, value in vars(transitions).items() if name.isupper() and isinstance(value, str)}
    for path in RUNS.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for table in (node for node in tree.body if isinstance(node, ast.AnnAssign) and node.value is not None):
            if not (isinstance(table.target, ast.Name) and table.target.id == "PHASES"):
                continue
            assert isinstance(table.value, ast.Dict)
            for key, value in zip(table.value.keys, table.value.values):
                assert isinstance(key, ast.Name) and isinstance(value, ast.Name)
                for returned in ast.walk(functions[value.id]):
                    if isinstance(returned, ast.Return) and isinstance(returned.value, ast.Tuple):
                        event = returned.value.elts[1]
                        for name in (node.id for node in ast.walk(event) if isinstance(node, ast.Name)):
                            if name in names and names[name] in get_args(Event):
                                yield key.id.lower(), names[name]


def test_what_the_phases_return_and_what_the_table_has_are_the_same() -> None:
    returned: Dict[str, Set[str]] = {}
    for phase, event in events_in_the_code():
        returned.setdefault(phase, set()).add(event)
    # restart and reboot say it through one function of both.
    for phase in ("restart", "reboot"):
        returned.setdefault(phase, set()).update(("done", "done on the way back"))
    # What every phase may meet: it fails, or the run is cut off.
    failures = {"failed", "failed on the way back", "failed after a change began", "transaction broke off"}
    common = {*failures, "cut off", "cut off too often"}
    table: Dict[str, Set[str]] = {}
    for phase, event in TRANSITIONS:
        if event not in common:
            table.setdefault(phase, set()).add(event)
    assert returned == table
