"""The words of a run, of an option and of a request are types: mypy rejects a misspelled one."""

from pathlib import Path
from typing import List

import pytest
from mypy import api

PREAMBLE = """
from dataclasses import replace
from os_update_agent.config.policy import Policy
from os_update_agent.model.phases import TRANSACT
from os_update_agent.model.runs import Progress, Run
from os_update_agent.packages.dnf.protocol import Fetch
from os_update_agent.runs.transitions import after

def check(run: Run, policy: Policy, request: Fetch) -> None:
"""
# A line, and what mypy says of it; the right spelling of the same comes first.
RIGHT = [
    'Run(1, "key", "v2", "update", "transact", 1.0)',
    "replace(run, phase=TRANSACT)",
    'print(policy.on_failure == "restore")',
    "print(request.digests)",
    'after(run, "done")',
    'Progress(impact="undone")',
]
WRONG = [
    ('Run(1, "key", "v2", "update", "transakt", 1.0)', "arg-type"),
    ('Run(1, "key", "v2", "upgrade", "transact", 1.0)', "arg-type"),
    ('replace(run, phase="transakt")', "arg-type"),
    ('print(policy.on_failure == "restor")', "comparison-overlap"),
    ('print(policy.operation == "updat")', "comparison-overlap"),
    ('print(request["digest"])', "call-overload"),
    ("print(request.digest)", "attr-defined"),
    ('after(run, "finished")', "arg-type"),
    ('Progress(impact="undoing")', "arg-type"),
]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> List[str]:
    """What mypy says of all lines in one run, as it starts slowly; a line that starts with a number is one of ours."""
    directory = tmp_path_factory.mktemp("typing")
    file = directory / "words.py"
    lines = [*RIGHT, *(line for line, _ in WRONG)]
    file.write_text(PREAMBLE + "".join(f"    {line}\n" for line in lines), encoding="utf-8")
    root = Path(__file__).parents[2]
    options = ["--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache")]
    said, trouble, _ = api.run([*options, "--follow-imports=silent", str(file)])
    assert not trouble
    first = len(PREAMBLE.splitlines())
    found = [""] * len(lines)
    for complaint in said.splitlines():
        parts = complaint.split(":", 2)
        if len(parts) == 3 and parts[1].isdigit() and "error:" in complaint:
            found[int(parts[1]) - first - 1] += complaint
    return found


def test_the_right_words_are_accepted(complaints: List[str]) -> None:
    assert complaints[: len(RIGHT)] == [""] * len(RIGHT)


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[line for line, _ in WRONG])
def test_a_misspelled_word_is_rejected(complaints: List[str], number: int) -> None:
    assert f"[{WRONG[number][1]}]" in complaints[len(RIGHT) + number]
