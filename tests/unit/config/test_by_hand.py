"""Which options count for a command, and where each of them is from."""

import json
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional

import pytest

from os_update_agent.config import policy
from os_update_agent.config.options import READERS, WORDS
from os_update_agent.config.policy import NOT_BY_HAND, Chosen, choose
from os_update_agent.model.deliveries import Deployment
from os_update_agent.model.errors import BadOption
from os_update_agent.model.policy import Policy

NAMES = tuple(name for name in READERS if name not in NOT_BY_HAND)
LISTS = {"packages": ("web*", "db"), "exclude": ("linux-*", "grub*"), "units": ("a.service", "b.service")}
OPERATION = ("download", "assess")


def two_texts(name: str) -> "tuple[str, str]":
    """Return two values of the option, the first of which is not its default; the second is, if it is a word."""
    if name == "operation":
        return OPERATION
    if name in WORDS:
        return WORDS[name][1], WORDS[name][0]
    return LISTS.get(name, ("7", "9"))


def delivered(defaults: Mapping[str, str], **options: Any) -> Policy:
    """Return the policy of a delivery as the ledger gives it back."""
    found = policy.read(Deployment("c", "n", "UPDATE", "s", "r", "i", {"update_after_time": "v1"}, options), defaults)
    return Policy.from_json(json.loads(json.dumps(found.as_json())))


def by_an_older_agent(last: Policy) -> Policy:
    """Return the policy as an agent stored it that did not store the origins."""
    return Policy.from_json({name: value for name, value in last.as_json().items() if name != "given"})


def chosen(last: Optional[Policy], defaults: Mapping[str, str], **command_line: object) -> Chosen:
    return choose("v2", "key", defaults, last, command_line, takes_operation=True)


def value_of(found: Chosen, name: str) -> object:
    return found.policy.options()[name]


def read(name: str, text: str) -> object:
    """Return the value of an option's text, as JSON has it."""
    return json.loads(json.dumps(READERS[name](text)))


@pytest.mark.parametrize("name", NAMES)
def test_the_strongest_source_counts(name: str) -> None:
    one, other = two_texts(name)
    default = Policy().options()[name]
    # The delivery gave nothing itself: a later change of agent.conf counts, and so does its end.
    silent = delivered({name: one})
    assert silent.options()[name] == read(name, one)
    for defaults, expected, origin in (
        ({name: other}, read(name, other), "agent.conf"),
        ({name: " "}, default, "default"),
        ({}, default, "default"),
    ):
        found = chosen(silent, defaults)
        assert (value_of(found, name), found.origins[name]) == (expected, origin)
    found = chosen(delivered({}), {name: one})
    assert (value_of(found, name), found.origins[name]) == (read(name, one), "agent.conf")
    # The delivery gave it, also if that is the default.
    for given in (one, other):
        found = chosen(delivered({name: one}, **{name: given}), {name: one})
        assert (value_of(found, name), found.origins[name]) == (read(name, given), "the last delivery")
    # The command line is stronger than both.
    found = chosen(delivered({}, **{name: other}), {name: other}, **{name: one})
    assert (value_of(found, name), found.origins[name]) == (read(name, one), "the command line")


@pytest.mark.parametrize("unset", ["", "None", None, []])
def test_an_option_that_a_delivery_leaves_unset_is_not_given(unset: object) -> None:
    last = delivered({"exclude": "old"}, exclude=unset)
    assert last.given == () and value_of(chosen(last, {"exclude": "new"}), "exclude") == ["new"]


def test_every_option_has_one_origin() -> None:
    found = chosen(delivered({}, keep=7, exclude="a"), {"select": "security"}, on_failure="keep")
    assert tuple(found.origins) == NAMES
    assert {name: origin for name, origin in found.origins.items() if origin != "default"} == {
        "keep": "the last delivery",
        "exclude": "the last delivery",
        "select": "agent.conf",
        "on_failure": "the command line",
    }


def test_the_default_of_restore_follows_what_counts_now() -> None:
    restricted = delivered({"select": "security"})
    assert restricted.restore == "changes"
    assert chosen(restricted, {}).policy.restore == "exact"
    assert chosen(delivered({}), {"exclude": "linux-*"}).policy.restore == "changes"
    # A delivery that gave it has decided.
    assert chosen(delivered({}, restore="exact"), {"exclude": "linux-*"}).policy.restore == "exact"
    assert chosen(delivered({}, restore="exact"), {}, packages=["web"]).policy.restore == "exact"


def test_only_a_plan_takes_the_operation_of_the_last_delivery() -> None:
    last = delivered({}, operation="stop", units="web")
    assert chosen(last, {}).policy.operation == "stop"
    for defaults, operation in (({}, "update"), ({"operation": "assess"}, "assess")):
        found = choose("v2", "key", defaults, last, {})
        assert (found.policy.operation, found.policy.units) == (operation, ("web.service",))


def test_a_run_by_hand_stores_what_it_was_given() -> None:
    found = chosen(delivered({}, keep=7), {"select": "security"}, on_failure="keep")
    assert found.policy.given == ("keep", "on_failure")
    assert found.policy.own_options() == {"keep": 7, "on_failure": "keep"}
    # The trigger and the key of a delivery are none of the options of a run by hand.
    assert delivered({}, state_key="mine", trigger="update_after_time", keep=7).given == ("keep",)


@pytest.mark.parametrize("name", NAMES)
def test_a_delivery_that_an_older_agent_stored(name: str) -> None:
    one, other = two_texts(name)
    # It has the default: nobody asked for anything else, and agent.conf may have changed since.
    last = by_an_older_agent(delivered({}))
    assert last.given is None and last.own_options() == {}
    found = chosen(last, {name: one})
    assert (value_of(found, name), found.origins[name]) == (read(name, one), "agent.conf")
    # It has another value, of the delivery or of agent.conf at that time: that counts until the next delivery.
    for last in (delivered({name: one}), delivered({}, **{name: one})):
        found = chosen(by_an_older_agent(last), {name: other})
        assert value_of(found, name) == read(name, one)
        assert found.origins[name] == "the last delivery, or agent.conf at that time"
    assert value_of(chosen(by_an_older_agent(last), {}, **{name: other}), name) == read(name, other)


def test_the_default_of_restore_that_an_older_agent_stored_is_no_option() -> None:
    restricted = by_an_older_agent(delivered({}, packages="web"))
    assert restricted.own_options() == {"packages": ["web"]}
    assert by_an_older_agent(delivered({}, packages="web", restore="exact")).own_options()["restore"] == "exact"
    assert by_an_older_agent(delivered({}, restore="changes")).own_options() == {"restore": "changes"}


def test_an_older_agent_reads_a_policy_with_its_origins() -> None:
    """It ignores a field that it does not know, of a document with a version that it knows."""
    stored = delivered({}, keep=7).as_json()
    assert stored["version"] == 1 and stored["given"] == ["keep"]
    assert {name for name in stored if name not in {*NAMES, "value", "key"}} == {"version", "given"}


@pytest.mark.parametrize("given", [["keep", "an_option_of_a_newer_agent", "key", "value"], ["keep", "keep"]])
def test_strange_names_of_given_options_do_no_harm(given: Any) -> None:
    last = Policy.from_json({**delivered({}, keep=7).as_json(), "given": given})
    assert last.own_options() == {"keep": 7}
    assert chosen(last, {}).policy == replace(Policy(), value="v2", key="key", keep=7)


def test_a_wrong_option_names_its_source() -> None:
    wrong: Dict[str, object] = {"keep": "lots"}
    with pytest.raises(BadOption, match=r"\[defaults\] of agent.conf: option keep is 'lots'"):
        chosen(None, {"keep": "lots"})
    with pytest.raises(BadOption, match="the command line: option keep is 'lots'"):
        chosen(delivered({}), {}, **wrong)
    with pytest.raises(BadOption, match="the last delivery: option keep is 0"):
        chosen(replace(delivered({}, keep=7), keep=0), {})
