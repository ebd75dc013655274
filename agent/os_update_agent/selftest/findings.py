"""The result of a check: a verdict, the fact that was found, and what to do about it. Pure."""

from typing import Final, Literal, Mapping, NamedTuple, Sequence

Result = Literal["ok", "attention", "failed", "not checked"]
OK: Final = "ok"
ATTENTION: Final = "attention"
FAILED: Final = "failed"
NOT_CHECKED: Final = "not checked"


class Finding(NamedTuple):
    """``found`` is a fact, or the reason of a check that failed or was left out; ``advice`` is "" for a good result."""

    result: Result
    found: str
    advice: str = ""


class Checked(NamedTuple):
    """A finding with the name of its check."""

    check: str
    finding: Finding


def ok(found: str) -> Finding:
    return Finding(OK, found)


def attention(found: str, advice: str) -> Finding:
    return Finding(ATTENTION, found, advice)


def failed(found: str, advice: str) -> Finding:
    return Finding(FAILED, found, advice)


def not_checked(reason: str, advice: str = "") -> Finding:
    return Finding(NOT_CHECKED, reason, advice)


def counts(checked: Sequence[Checked]) -> Mapping[str, int]:
    """Return how many checks ended with each result."""
    found = [one.finding.result for one in checked]
    return {result: found.count(result) for result in (OK, ATTENTION, FAILED, NOT_CHECKED)}
