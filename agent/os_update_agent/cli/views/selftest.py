"""The findings of the selftest: a document for --json, and lines for people. Pure."""

from typing import List, Sequence

from os_update_agent.cli.views.base import Document
from os_update_agent.selftest.findings import Checked, counts

_WIDTH = 11


def selftest_document(root: str, checked: Sequence[Checked]) -> Document:
    """Return the findings in the order of the checks, and how many there are of each result."""
    found = [
        {"check": name, "result": finding.result, "found": finding.found, "advice": finding.advice}
        for name, finding in checked
    ]
    return {"root": root, "checks": found, "results": dict(counts(checked))}


def checked_lines(one: Checked) -> List[str]:
    """Return the line of a check, and a second one with the advice."""
    finding = one.finding
    found = "; ".join(finding.found.splitlines())
    lines = [f"{finding.result:<{_WIDTH}}  {one.check}: {found}"]
    return [*lines, f"{'':<{_WIDTH}}  next: {finding.advice}"] if finding.advice else lines


def selftest_text(document: Document) -> str:
    """Return the last line."""
    return ", ".join(f"{count} {result}" for result, count in document["results"].items())
