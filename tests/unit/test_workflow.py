"""What holds for the shipped workflow without a Mistral; tests/heat/mistral.py runs it on one."""

from pathlib import Path
from typing import Any, Dict, List, Set

import yaml

WORKFLOW = Path(__file__).resolve().parents[2] / "hooks/templates/update-packages.workflow.yaml"
ENDS = {"succeed", "fail"}


def tasks() -> Dict[str, Dict[str, Any]]:
    found: Dict[str, Dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["update_packages"]["tasks"]
    return found


def next_tasks(task: Dict[str, Any], *ways: str) -> Set[str]:
    names: List[str] = []
    for way in ways:
        given = task.get(way, [])
        listed = [given] if isinstance(given, str) else given
        names += [one if isinstance(one, str) else next(iter(one)) for one in listed]
    return {name.partition("(")[0] for name in names}


def test_each_call_has_a_timeout_and_each_retry_a_bound() -> None:
    for name, task in tasks().items():
        if task["action"] == "std.noop":
            continue
        assert task["timeout"], name
        assert isinstance(task.get("retry", {"count": 0})["count"], int), name


def test_no_task_is_an_end_by_accident() -> None:
    """Mistral takes a workflow without a next task for a success."""
    for name, task in tasks().items():
        ways = ("on-success", "on-error", "on-complete")
        assert next_tasks(task, *ways) <= {*tasks(), *ENDS}, name
        assert next_tasks(task, "on-success", "on-complete"), name
        if task["action"] != "std.noop":
            assert next_tasks(task, "on-error", "on-complete"), name


def test_only_a_complete_update_is_a_success() -> None:
    assert [name for name, task in tasks().items() if "succeed" in next_tasks(task, "on-success", "on-complete")] == [
        "look"
    ]


def test_the_decision_names_its_next_tasks() -> None:
    """Each turn that the expression can take has a task, and none is left over."""
    look = tasks()["look"]
    named = {part.split("'")[1] for part in look["publish"]["turn"].split("=> ")[1:] if part.startswith("'")}
    assert named == next_tasks(look, "on-success")
