"""Deployments that share a key must select the same packages."""

from dataclasses import replace
from typing import Optional

import pytest

from os_update_agent.decision.shared_keys import Claim, choice_of, claim_of, rival
from os_update_agent.model.policy import Policy

TOOL, LIB = (choice_of(Policy(packages=globs)) for globs in (("tool",), ("lib*",)))
A1, A2 = Claim("a", "1", TOOL), Claim("a", "2", TOOL)
B1, B2 = Claim("b", "1", LIB), Claim("b", "2", LIB)
B1_SAME, B2_SAME = Claim("b", "1", TOOL), Claim("b", "2", TOOL)


@pytest.mark.parametrize(("past", "mine", "do", "expected"), [
    # The newest delivery comes first. The first one under the key, and one deployment alone, which changes its choice.
    ((), A1, "baseline", None),
    ((A1,), A2, "update", None),
    ((A1,), Claim("a", "2", LIB), "update", None),
    # A second deployment: with the same choice it shares the key, with another one it is refused.
    ((A1,), B1_SAME, "nothing", None),
    ((A1,), B1, "nothing", A1),
    ((A1,), B2, "update", A1),
    ((A2, A1), B1, "restore", A2),
    # Two that agreed, both of which change their choice, one after the other.
    ((B1_SAME, A1), Claim("a", "2", LIB), "update", None),
    ((Claim("a", "2", LIB), B1_SAME, A1), B2, "nothing", None),
    ((Claim("a", "2", LIB), B1_SAME, A1), B2_SAME, "nothing", Claim("a", "2", LIB)),
    # Two that an older agent has let share the key: no way back is blocked.
    ((B1, A1), A2, "update", B1),
    ((A2, B1, A1), B2, "nothing", A2),
    ((A2, B1, A1), B1, "restore", None),
    ((A2, B1, A1), B1, "nothing", None),
    # One that has taken the place of another goes back to a value of that time.
    ((Claim("b", "3", LIB), B2_SAME, A1), B1, "restore", None),
])  # fmt: skip
def test_who_is_refused(past: "tuple[Claim, ...]", mine: Claim, do: str, expected: Optional[Claim]) -> None:
    assert rival(mine, past, do) == expected


def test_a_change_of_agent_conf_makes_no_rivals() -> None:
    """Neither deployment selects anything itself; agent.conf restricts the node between their deliveries."""
    silent = Policy(value="1", given=("keep",))
    before, after = (
        claim_of("a", silent),
        claim_of("b", replace(silent, value="2", select="security", exclude=("tool",))),
    )
    assert before.choice != after.choice and rival(after, (before,), "update") is None
    # One of them chooses itself, and so it stays another choice.
    chooses = claim_of("b", Policy(value="2", select="security", given=("select",)))
    assert rival(chooses, (before,), "update") == before
    # An older agent did not store who has chosen.
    unknown = claim_of("a", Policy(value="1"))
    assert unknown.own is None and rival(after, (unknown,), "update") == unknown
    # Both get the same selection, one from agent.conf.
    assert rival(chooses, (claim_of("a", Policy(select="security", given=())),), "update") is None


def test_the_order_of_globs_is_no_other_choice() -> None:
    assert choice_of(Policy(packages=("a", "b"), exclude=("c",))) == choice_of(
        Policy(packages=("b", "a"), exclude=("c",))
    )
    assert choice_of(Policy(select="security")) != choice_of(Policy())
    assert str(choice_of(Policy(packages=("b", "a")))) == "select all, packages ['a', 'b']"
