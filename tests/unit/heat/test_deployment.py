"""What Heat delivers becomes a Deployment, or one sentence that says what is wrong with it."""

import json
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import pytest

from os_update_agent.heat.deployment import parse
from os_update_agent.model.deliveries import Deployment, Output
from os_update_agent.model.errors import BadDeployment, BadOption

CAPTURES = Path(__file__).parent / "captures"
URL = "https://heat.example:8000/v1/signal/arn%3Aopenstack?Timestamp=2026&Signature=made-up-signature%3D"
PASSWORD = "made-up-pass-word"

PLAIN = {
    "deploy_server_id": "server-1",
    "deploy_action": "UPDATE",
    "deploy_stack_id": "stack/1234",
    "deploy_resource_name": "node_update",
}
CFN = {**PLAIN, "deploy_signal_transport": "CFN_SIGNAL", "deploy_signal_id": URL, "deploy_signal_verb": "POST"}
HEAT = {
    **PLAIN,
    "deploy_signal_transport": "HEAT_SIGNAL",
    "deploy_auth_url": "https://keystone.example:5000/v3",
    "deploy_username": "stack-user",
    "deploy_user_id": "0123",
    "deploy_password": PASSWORD,
    "deploy_project_id": "4567",
    "deploy_region_name": "RegionOne",
}
MISSING = object()


def delivery(inputs: Mapping[str, Any] = CFN, **fields: object) -> str:
    """The text of a delivery; a field that is MISSING is left out."""
    items = [{"name": name, "type": "String", "value": value} for name, value in inputs.items()]
    document = {"id": "config-1", "name": "update", "inputs": items, "outputs": [{"name": "changes"}], **fields}
    return json.dumps({name: value for name, value in document.items() if value is not MISSING})


def fault(text: str) -> BadDeployment:
    with pytest.raises(BadDeployment) as caught:
        parse(text)
    return caught.value


# What Heat really sends


def capture(name: str) -> Deployment:
    return parse((CAPTURES / name).read_text())


def test_a_cfn_delivery_is_read_as_heat_sends_it() -> None:
    found = capture("cfn-create.json")
    assert found.id == "1d724d3d-c336-4ff4-95f6-dc99f2d4de0e"
    assert (found.name, found.action) == ("default_actions", "CREATE")
    assert found.stack_id == "s1389-cfn-cfn/68c97fbe-e752-4cfc-a202-4c8af197d157"
    assert (found.resource_name, found.server_id) == ("default_actions", "fcdbf267-58ec-478f-8cb1-293d8197c1ef")
    assert found.inputs == {"update_after_time": "2026-11-22T10:00:00Z"}
    assert (found.config, found.options) == ({}, {"opt1": "val1"})
    assert found.outputs == (Output("update_result"), Output("update_error", error_output=True))
    assert (found.signal.transport, found.signal.verb) == ("CFN_SIGNAL", "POST")
    assert found.signal.secret["url"].startswith("https://heat.example:8000/v1/signal/arn%3Aopenstack%3Aheat%3A%3A1111")
    assert (found.signal.stack_id, found.signal.resource_name) == (found.stack_id, found.resource_name)


def test_a_heat_signal_delivery_keeps_all_credentials() -> None:
    target = capture("heat-update.json").signal
    assert target.transport == "HEAT_SIGNAL"
    assert target.secret == {
        "auth_url": "https://keystone.example:5000/v3",
        "username": "s1406-heat-heat-default_actions-rmu4x3brmioi",
        "user_id": "e8f0abd16c1141068aaba0d07705e6e5",
        "password": "made^up&pass%word#1",
        "project_id": "6227e1d8206643ebad91cddf348a0e31",
        "region_name": "RegionOne",
    }


def test_a_no_signal_delivery_has_no_secret() -> None:
    target = capture("no-signal-update.json").signal
    assert (target.transport, target.secret) == ("NO_SIGNAL", {})


@pytest.mark.parametrize(
    ("name", "action", "value"),
    [("cfn-rollback-after-failure.json", "CREATE", "v1"), ("cfn-real-chain-update.json", "UPDATE", "v1")],
)
def test_the_value_and_the_action_of_other_deliveries_are_read(name: Any, action: Any, value: Any) -> None:
    found = capture(name)
    assert (found.action, found.inputs) == (action, {"update_after_time": value})


def test_the_secret_is_not_in_the_repr() -> None:
    assert "signature" not in repr(capture("cfn-create.json")).lower()
    assert "made^up" not in repr(capture("heat-update.json"))


# Inputs


@pytest.mark.parametrize("value", ["text", "", "None", None, 3, 2.5, True, ["a", "b"], {"key": ["v"]}])
def test_an_own_input_keeps_its_value_as_it_came(value: Any) -> None:
    assert parse(delivery({**CFN, "update_after_time": value})).inputs == {"update_after_time": value}


@pytest.mark.parametrize(("item", "value"), [({"default": "d"}, "d"), ({"default": "d", "value": ""}, ""), ({}, None)])
def test_an_input_without_a_value_takes_its_default(item: Any, value: Any) -> None:
    document = json.loads(delivery())
    document["inputs"].append({"name": "update_after_time", **item})
    assert parse(json.dumps(document)).inputs == {"update_after_time": value}


@pytest.mark.parametrize("unset", ["", "None", "  \n", None, MISSING])
@pytest.mark.parametrize("name", ["deploy_stack_id", "deploy_resource_name", "deploy_action"])
def test_an_unset_input_that_must_be_there_is_named(name: Any, unset: Any) -> None:
    inputs = {**CFN, name: unset}
    error = fault(delivery({key: value for key, value in inputs.items() if value is not MISSING}))
    assert str(error).startswith(f"{name} is missing; it must be ")


OUTSIDE = {
    **CFN,
    "deploy_stack_id": MISSING,
    "deploy_resource_name": MISSING,
    "deploy_signal_transport": "TEMP_URL_SIGNAL",
    "deploy_signal_verb": "PUT",
}


def outside(name: Any = "90-package-update", **changes: Any) -> str:
    inputs = {**OUTSIDE, **changes}
    return delivery({key: value for key, value in inputs.items() if value is not MISSING}, name=name)


@pytest.mark.parametrize("unset", ["", "None", None, MISSING])
def test_outside_of_a_stack_the_name_and_the_server_are_the_key(unset: Any) -> None:
    found = parse(outside(deploy_stack_id=unset, deploy_resource_name=unset))
    assert found.key == "90-package-update@server-1"
    assert (found.stack_id, found.resource_name) == ("", "")
    assert (found.signal.transport, found.signal.verb) == ("TEMP_URL_SIGNAL", "PUT")


def test_outside_of_a_stack_nothing_waits_for_a_signal_without_a_url() -> None:
    found = parse(outside(deploy_signal_transport="NO_SIGNAL", deploy_signal_id=MISSING, deploy_signal_verb=MISSING))
    assert found.signal.transport == "NO_SIGNAL"


@pytest.mark.parametrize("unset", ["", "None", None])
def test_outside_of_a_stack_a_deployment_needs_a_name(unset: Any) -> None:
    error = fault(outside(name=unset))
    assert str(error) == "name is missing; it must be a line of text"
    assert error.deployment is not None
    assert error.deployment.signal.transport == "TEMP_URL_SIGNAL"


@pytest.mark.parametrize(
    ("created", "kept"),
    [("2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"), (None, ""), (5, ""), ("x" * 41, ""), ("a\nb", ""), (["x"], "")],
)
def test_the_target_keeps_when_the_delivery_was_made(created: Any, kept: str) -> None:
    assert parse(json.dumps({**json.loads(delivery()), "creation_time": created})).signal.created == kept


@pytest.mark.parametrize("unset", ["", "None", None])
def test_the_server_id_may_be_missing(unset: Any) -> None:
    assert parse(delivery({**CFN, "deploy_server_id": unset})).server_id == ""


@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "DELETE", "SUSPEND", "RESUME"])
def test_every_action_of_heat_is_known(action: Any) -> None:
    assert parse(delivery({**CFN, "deploy_action": action})).action == action


@pytest.mark.parametrize("action", ["ROLLBACK", "update", " UPDATE", 1, True, ["UPDATE"], {"UPDATE": 1}])
def test_another_action_is_refused_and_the_right_ones_are_named(action: Any) -> None:
    message = str(fault(delivery({**CFN, "deploy_action": action})))
    assert message.startswith("deploy_action is ")
    assert message.endswith("it must be one of CREATE, UPDATE, DELETE, SUSPEND, RESUME")


def test_an_input_that_comes_twice_is_refused() -> None:
    document = json.loads(delivery({**CFN, "update_after_time": "v1"}))
    document["inputs"].append({"name": "update_after_time", "value": "v2"})
    error = fault(json.dumps(document))
    assert str(error) == "the input 'update_after_time' comes more than once; every input must have one value"
    assert error.deployment is not None
    assert error.deployment.signal.secret == {"url": URL}
    assert error.deployment.inputs == {}


def test_an_input_of_heats_own_that_comes_twice_leaves_no_signal_target() -> None:
    document = json.loads(delivery())
    document["inputs"].append({"name": "deploy_signal_id", "value": "https://other.example/"})
    error = fault(json.dumps(document))
    assert "deploy_signal_id" in str(error)
    assert error.deployment is None


def with_field(name: str, value: object) -> str:
    document = json.loads(delivery())
    document[name] = value
    return json.dumps({key: item for key, item in document.items() if item is not MISSING})


@pytest.mark.parametrize(
    ("inputs", "found"),
    [(MISSING, "missing"), (None, "missing"), ({}, "a map"), ("x", "text"), (7, "a number"), (True, "a boolean")],
)
def test_inputs_must_be_a_list(inputs: Any, found: str) -> None:
    error = fault(with_field("inputs", inputs))
    assert str(error) == f"inputs is {found}; it must be a list of maps with name and value"
    assert error.deployment is None


@pytest.mark.parametrize(
    ("item", "found"),
    [("hunter2", "text"), (None, "null"), ({"value": "hunter2"}, "a map without a name"), ([1], "a list")],
)
def test_a_broken_input_is_named_but_not_shown(item: Any, found: str) -> None:
    document = json.loads(delivery())
    document["inputs"].insert(0, item)
    error = fault(json.dumps(document))
    assert str(error) == f"inputs[0] is {found}; it must be a map with name and value"
    assert error.deployment is not None
    assert error.deployment.signal.secret == {"url": URL}


# The text


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_standard_input_is_refused(text: str) -> None:
    assert str(fault(text)) == "the standard input is empty; it must be the deployment as a JSON object"


@pytest.mark.parametrize(
    ("text", "found"), [("[]", "a list"), ('"x"', "text"), ("null", "null"), ("3", "a number"), ("true", "a boolean")]
)
def test_a_document_that_is_no_map_is_refused(text: str, found: str) -> None:
    assert str(fault(text)) == f"the deployment is {found}; it must be a JSON object"


@pytest.mark.parametrize("text", ["{", delivery()[:-9], "\ufeff{}", "\0", "deploy_password: x"])
def test_what_is_not_json_is_refused_by_its_place_and_not_shown(text: str) -> None:
    message = str(fault(text))
    assert message.startswith("the deployment is not JSON (")
    assert "line 1" in message
    assert "signature" not in message.lower()


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_endless_nesting_is_refused(text: str) -> None:
    assert "nested deeper than 100 levels" in str(fault(text))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_has_not_is_refused_and_can_be_signalled(constant: str) -> None:
    error = fault(delivery({**CFN, "keep": 4711}).replace("4711", constant))
    assert str(error) == f"the deployment holds {constant}, which is not JSON; every number in it must be finite"
    assert error.deployment is not None
    assert error.deployment.signal.secret == {"url": URL}


# Identity


@pytest.mark.parametrize("value", ["", None, "None", MISSING, 5, ["x"], "two\nlines", "\udcff", "nul\0"])
def test_the_id_must_be_a_line_of_text(value: Any) -> None:
    error = fault(delivery(id=value))
    assert str(error).startswith("id is ")
    assert error.deployment is not None
    assert (error.deployment.id, error.deployment.outputs) == ("", (Output("changes"),))


def test_names_may_be_of_any_language() -> None:
    assert (
        parse(delivery({**CFN, "deploy_resource_name": "größe 節點"}, name="ü")).key == "stack/1234/größe 節點@server-1"
    )


@pytest.mark.parametrize("name", [MISSING, None, ""])
def test_the_name_may_be_missing(name: Any) -> None:
    assert parse(delivery(name=name)).name == ""


# Config and options


@pytest.mark.parametrize("field", ["config", "options"])
@pytest.mark.parametrize("empty", [MISSING, None, "", " \n", "None", "# only a comment\n", "---\n", "null", {}, "{}"])
def test_an_empty_map_of_options_is_no_option(field: str, empty: Any) -> None:
    assert getattr(parse(delivery(**{field: empty})), field) == {}


@pytest.mark.parametrize("field", ["config", "options"])
@pytest.mark.parametrize(
    ("value", "options"),
    [
        ({"keep": 3, "exclude": ["linux-*"]}, {"keep": 3, "exclude": ["linux-*"]}),
        ("keep: 3\nexclude: [linux-*]\n", {"keep": 3, "exclude": ["linux-*"]}),
        ('{"keep": 3}', {"keep": 3}),
        ("{'keep': 3, 'archive': None}", {"keep": 3, "archive": "None"}),
        ("# why\nreboot: never\n", {"reboot": "never"}),
        ("state_key: 2026-11-22\n", {"state_key": "2026-11-22"}),
    ],
)
def test_options_are_read_from_a_map_and_from_yaml(field: str, value: Any, options: Dict[str, Any]) -> None:
    assert getattr(parse(delivery(**{field: value})), field) == options


@pytest.mark.parametrize("field", ["config", "options"])
@pytest.mark.parametrize(
    "value",
    [
        "#!/bin/sh\nyum update\n",
        "- a\n- b\n",
        "a: b: c\n",
        "{unclosed",
        "keep: 1\n---\nkeep: 2\n",
        "at: 2026-13-45",
        "keep: !!int ''",
        "keep: !!bool maybe",
        "keep: !!timestamp x",
        "x: !!python/object/apply:os.system [id]",
        "1: one",
        "on: yes",
        "&a {a: *a}",
        "? [1, 2]\n: x",
        "a: {? [1] : 2}",
        "bell: \a",
        "[" * 2000,
        7,
        ["keep"],
        True,
    ],
)
def test_what_is_no_map_of_options_is_refused(field: str, value: Any) -> None:
    error = fault(delivery(**{field: value}))
    assert str(error).startswith(f"{field} ")
    assert len(str(error)) < 300
    assert error.deployment is not None
    assert error.deployment.id == "config-1"


def test_the_line_of_a_mistake_in_yaml_is_named() -> None:
    assert str(fault(delivery(config="keep: 3\nreboot: a: b\n"))).startswith("config cannot be read as YAML (line 2)")


# Outputs


@pytest.mark.parametrize(
    ("flag", "is_error"),
    [
        (True, True),
        ("true", True),
        ("True", True),
        (False, False),
        ("false", False),
        ("False", False),
        (None, False),
        ("", False),
    ],
)
def test_the_flag_of_an_output_may_be_text(flag: Any, is_error: bool) -> None:
    assert parse(delivery(outputs=[{"name": "o", "error_output": flag}])).outputs == (Output("o", is_error),)


@pytest.mark.parametrize("outputs", [MISSING, None, []])
def test_outputs_may_be_missing(outputs: Any) -> None:
    assert parse(delivery(outputs=outputs)).outputs == ()


@pytest.mark.parametrize(
    ("outputs", "start"),
    [
        ({}, "outputs is a map; "),
        ("x", "outputs is text; "),
        (["x"], "outputs[0] is text; "),
        ([{"name": "a"}, {}], "outputs[1] is a map without a name; "),
        ([{"name": 1}], "outputs[0] is a map without a name; "),
        ([{"name": "a", "error_output": "perhaps"}], "error_output of the output 'a' is 'perhaps'; "),
    ],
)
def test_a_broken_output_is_refused_and_can_be_signalled(outputs: Any, start: str) -> None:
    error = fault(delivery(outputs=outputs))
    assert str(error).startswith(start)
    assert error.deployment is not None
    assert (error.deployment.id, error.deployment.signal.transport) == ("config-1", "CFN_SIGNAL")


# The signal target


@pytest.mark.parametrize(
    ("transport", "given", "verb"),
    [
        ("CFN_SIGNAL", None, "POST"),
        ("CFN_SIGNAL", "PUT", "PUT"),
        ("TEMP_URL_SIGNAL", "", "PUT"),
        ("TEMP_URL_SIGNAL", "None", "PUT"),
        ("TEMP_URL_SIGNAL", "POST", "POST"),
    ],
)
def test_the_verb_has_a_default_for_each_transport(transport: str, given: Optional[str], verb: Any) -> None:
    target = parse(delivery({**CFN, "deploy_signal_transport": transport, "deploy_signal_verb": given})).signal
    assert (target.transport, target.verb, target.secret) == (transport, verb, {"url": URL})


@pytest.mark.parametrize("verb", ["GET", "post", "POST / HTTP/1.1\r\nX: y", 1])
def test_another_verb_is_refused(verb: Any) -> None:
    error = fault(delivery({**CFN, "deploy_signal_verb": verb}))
    assert str(error).startswith("deploy_signal_verb is ")
    assert str(error).endswith("it must be POST or PUT")
    assert error.deployment is None


@pytest.mark.parametrize(
    "inputs", [PLAIN, {**CFN, "deploy_signal_transport": "NO_SIGNAL"}, {**PLAIN, "deploy_signal_id": "None"}]
)
def test_without_a_transport_nobody_waits(inputs: Any) -> None:
    target = parse(delivery(inputs)).signal
    assert (target.transport, target.secret) == ("NO_SIGNAL", {})


@pytest.mark.parametrize(
    ("inputs", "transport"),
    [(CFN, "CFN_SIGNAL"), (HEAT, "HEAT_SIGNAL"), ({**HEAT, "deploy_queue_id": "queue"}, "ZAQAR_SIGNAL")],
)
@pytest.mark.parametrize("unset", ["", None])
def test_the_transport_is_known_by_its_credentials(inputs: Any, transport: str, unset: Any) -> None:
    assert parse(delivery({**inputs, "deploy_signal_transport": unset})).signal.transport == transport


def test_a_queue_is_kept_with_the_credentials() -> None:
    target = parse(delivery({**HEAT, "deploy_signal_transport": "ZAQAR_SIGNAL", "deploy_queue_id": "queue-1"})).signal
    assert (target.transport, target.secret["queue_id"], target.secret["password"]) == (
        "ZAQAR_SIGNAL",
        "queue-1",
        PASSWORD,
    )


@pytest.mark.parametrize("transport", ["PIGEON_SIGNAL", "cfn_signal"])
def test_an_unknown_transport_keeps_its_name_and_no_secret(transport: str) -> None:
    target = parse(delivery({**CFN, "deploy_signal_transport": transport})).signal
    assert (target.transport, target.secret) == (transport, {})


@pytest.mark.parametrize("name", ["auth_url", "user_id", "password", "project_id"])
@pytest.mark.parametrize("unset", ["", "None", None])
def test_a_missing_credential_is_named(name: str, unset: Any) -> None:
    error = fault(delivery({**HEAT, f"deploy_{name}": unset}))
    assert str(error).startswith(f"deploy_{name} is missing; HEAT_SIGNAL needs ")
    assert error.deployment is None


def test_a_missing_queue_is_named() -> None:
    error = fault(delivery({**HEAT, "deploy_signal_transport": "ZAQAR_SIGNAL"}))
    assert str(error) == "deploy_queue_id is missing; ZAQAR_SIGNAL needs it"


@pytest.mark.parametrize("name", ["deploy_stack_id", "deploy_resource_name"])
def test_a_heat_signal_without_its_address_has_no_target(name: Any) -> None:
    error = fault(delivery({**HEAT, name: ""}))
    assert str(error).startswith(f"{name} is missing")
    assert error.deployment is None


@pytest.mark.parametrize("name", ["deploy_stack_id", "deploy_resource_name"])
def test_a_signed_url_is_a_target_without_stack_and_resource(name: Any) -> None:
    error = fault(delivery({**CFN, name: ""}))
    assert error.deployment is not None
    assert error.deployment.signal.secret == {"url": URL}


@pytest.mark.parametrize("transport", ["CFN_SIGNAL", "TEMP_URL_SIGNAL"])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "None",
        None,
        "ftp://secret.example/x",
        "/v1/secret",
        "file:///etc/secret",
        "http://",
        "http:///secret",
        "http://:80/secret",
        "http://[secret",
        "http://secret.example:port/",
        "http://secret.example/a b",
        "http://secret.example/\r\nX: y",
        " http://secret.example/",
        5,
        {"url": "secret"},
    ],
)
def test_what_is_no_signal_url_is_refused_and_not_shown(transport: str, url: Any) -> None:
    error = fault(delivery({**CFN, "deploy_signal_transport": transport, "deploy_signal_id": url}))
    assert str(error).startswith("deploy_signal_id is ")
    assert str(error).endswith(f"{transport} needs an http or https URL there")
    assert "secret.example" not in str(error)
    assert error.deployment is None


# Messages


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ({**HEAT, "deploy_password": PASSWORD + "\n"}, {}),
        ({**HEAT, "deploy_password": {"value": PASSWORD}}, {}),
        ({**CFN, "deploy_action": {"value": PASSWORD}}, {}),
        (CFN, {"config": f"db_password={PASSWORD}"}),
        (CFN, {"config": [PASSWORD]}),
        (CFN, {"config": f"password: {PASSWORD}: x"}),
    ],
)
def test_a_secret_is_not_in_the_message(inputs: Any, fields: Dict[str, Any]) -> None:
    error = fault(delivery(inputs, **fields))
    assert PASSWORD not in str(error)
    assert PASSWORD not in repr(error)


def test_a_long_value_is_shortened() -> None:
    message = str(fault(delivery({**CFN, "deploy_action": "x" * 5_000_000})))
    assert message.startswith("deploy_action is 'xxx")
    assert len(message) < 200


def test_the_first_fault_is_told_and_the_rest_is_still_understood() -> None:
    error = fault(
        delivery(
            {**CFN, "deploy_action": "FLY", "update_after_time": "v1"}, id="", config="- no\n", options={"keep": 1}
        )
    )
    assert str(error).startswith("id is missing")
    known = error.deployment
    assert known is not None
    assert (known.stack_id, known.options, known.inputs) == ("stack/1234", {"keep": 1}, {"update_after_time": "v1"})


def test_a_bad_option_can_carry_the_deployment_too() -> None:
    assert BadOption("x").deployment is None
    assert str(BadOption("x", deployment=parse(delivery()))) == "x"


@pytest.mark.parametrize("config", ["", None, {"keep": 1}])
def test_yaml_is_imported_for_text_only(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert parse(delivery(config=config)).id == "config-1"
    with pytest.raises(ImportError):
        parse(delivery(config="keep: 1"))
