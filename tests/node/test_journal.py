"""What a worker says, and where: its standard output is the workers' log, its standard error may be the journal."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict

AGENT = Path(__file__).parents[2] / "agent"
SAYS = """
import logging
from os_update_agent.node import journal
logging.basicConfig(level=logging.INFO, handlers=journal.handlers())
for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
    logging.log(level, "level=%d", level)
"""
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
LINES = rf"{DATE} INFO level=20\n{DATE} WARNING level=30\n{DATE} ERROR level=40\n{DATE} CRITICAL level=50\n"


def says(out: Path, error: Path, environment: Dict[str, str]) -> None:
    # A zone that is not UTC.
    clean = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    with out.open("ab") as stdout, error.open("ab") as stderr:
        subprocess.run(
            [sys.executable, "-c", SAYS],
            env={**clean, "PYTHONPATH": str(AGENT), "TZ": "America/Lima", **environment},
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, check=True,
        )  # fmt: skip


def test_where_both_are_the_log_every_fact_is_one_dated_line(tmp_path: Path) -> None:
    says(tmp_path / "log", tmp_path / "log", {})
    assert re.fullmatch(LINES, (tmp_path / "log").read_text(encoding="utf-8"))


def test_the_journal_gets_each_fact_with_its_priority_and_the_log_the_same_with_a_date(tmp_path: Path) -> None:
    error = tmp_path / "error"
    error.touch()
    says(tmp_path / "log", error, {"JOURNAL_STREAM": f"{error.stat().st_dev}:{error.stat().st_ino}"})
    assert error.read_text(encoding="utf-8") == "<6>level=20\n<4>level=30\n<3>level=40\n<2>level=50\n"
    assert re.fullmatch(LINES, (tmp_path / "log").read_text(encoding="utf-8"))


def test_an_inherited_journal_that_is_not_ours_gets_no_priorities(tmp_path: Path) -> None:
    says(tmp_path / "log", tmp_path / "error", {"JOURNAL_STREAM": "8:1"})
    assert re.fullmatch(LINES, (tmp_path / "error").read_text(encoding="utf-8"))
