"""YAML that means more than it says, and other inputs out of proportion."""

import json
import time
from typing import Any

import pytest

from os_update_agent.heat.deployment import TEXT_LIMIT, parse
from os_update_agent.heat.outcome import encode
from os_update_agent.heat.yaml_options import TEXT_LIMIT as YAML_LIMIT
from os_update_agent.heat.yaml_options import read_yaml
from os_update_agent.model.deliveries import Outcome, Output
from os_update_agent.model.errors import BadDeployment


def lists(levels: int) -> str:
    aliases = [f"a{one}: &a{one} [{','.join([f'*a{one - 1}'] * 10)}]" for one in range(1, levels)]
    return "\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x,x]", *aliases])


def merged_maps(levels: int) -> str:
    merges = [f"a{one}: &a{one} {{<<: [*a{one - 1}, *a{one - 1}]}}" for one in range(1, levels)]
    return "\n".join(["a0: &a0 {x: 1, y: 2}", *merges])


def keys(levels: int) -> str:
    aliases = [f"? &a{one} [{','.join([f'*a{one - 1}'] * 10)}]\n: 1" for one in range(1, levels)]
    return "\n".join(["? &a0 [x,x]\n: 1", *aliases])


def delivery(**fields: Any) -> str:
    inputs = {"deploy_action": "UPDATE", "deploy_stack_id": "web/1", "deploy_resource_name": "update"}
    return json.dumps({"id": "c", "inputs": [{"name": name, "value": inputs[name]} for name in inputs], **fields})


@pytest.mark.parametrize("field", ["config", "options"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lists(9), "stands for more than 20000 values"),
        (merged_maps(40), "stands for more than 20000 values"),
        (keys(9), "stands for more than 20000 values"),
        ("packages: &a [*a]", "an alias of a value inside of that value"),
        ("packages: &a {<<: *a}", "an alias of a value inside of that value"),
        (f"packages: {'x' * YAML_LIMIT}", "is longer than 256 KiB"),
        ("[" * 100_000, "is nested deeper than 100 levels"),
        (f"{'[' * 150}a{']' * 150}", "is nested deeper than 100 levels"),
        (f"keep: {'59:' * 80_000}59", "a number of 240002 characters, more than 400"),
    ],
    ids=["lists", "merged maps", "keys", "circle", "circle of merges", "long", "deep", "nested", "number"],
)
def test_what_means_more_than_it_says_is_refused_by_name(field: str, text: str, said: str) -> None:
    begun = time.process_time()
    with pytest.raises(BadDeployment, match=f"^{field} .*{said}"):
        parse(delivery(**{field: text}))
    # Any bound that is not in proportion would take minutes, and gigabytes.
    assert time.process_time() - begun < 30


def test_an_alias_and_a_merge_in_proportion_are_read() -> None:
    text = "x: &x [curl]\npackages: *x\nm: &m {keep: 3}\nn: {<<: *m, archive: required}\n"
    assert read_yaml(text) == {
        "x": ["curl"], "packages": ["curl"], "m": {"keep": 3}, "n": {"keep": 3, "archive": "required"},
    }  # fmt: skip


def test_a_deployment_of_any_length_is_refused_by_its_length() -> None:
    with pytest.raises(BadDeployment, match="longer than 8 MiB"):
        parse(" " * (TEXT_LIMIT + 1))


def test_any_number_of_outputs_is_refused_by_the_limit() -> None:
    with pytest.raises(BadDeployment, match="outputs has 10001 entries; at most 10000 are read"):
        parse(delivery(outputs=[{"name": "a"}] * 10_001))


@pytest.mark.parametrize("is_error", [False, True])
def test_outputs_cost_in_proportion_to_their_number(is_error: bool) -> None:
    declared = [Output(f"output-{number}", error_output=is_error) for number in range(20_000)]
    begun = time.process_time()
    body = encode(Outcome(1, "", "failed", {}), declared)
    assert time.process_time() - begun < 30
    assert json.loads(body)["deploy_status_code"] == 1
