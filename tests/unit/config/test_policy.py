import json
from typing import Any, Dict, List, Mapping, Optional

import pytest

from os_update_agent.config import policy
from os_update_agent.config.options import READERS
from os_update_agent.config.policy import Policy, signal_patience
from os_update_agent.model.deliveries import Deployment
from os_update_agent.model.errors import BadOption


def deployment(
    inputs: Optional[Mapping[str, Any]] = None,
    config: Optional[Mapping[str, Any]] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> Deployment:
    return Deployment(
        id="c0ffee",
        name="update",
        action="UPDATE",
        stack_id="web/1",
        resource_name="update_0",
        server_id="server-7",
        inputs=inputs or {},
        config=config or {},
        options=options or {},
    )


def read(
    inputs: Optional[Mapping[str, Any]] = None,
    config: Optional[Mapping[str, Any]] = None,
    options: Optional[Mapping[str, Any]] = None,
    defaults: Optional[Mapping[str, str]] = None,
) -> Policy:
    return policy.read(deployment(inputs, config, options), defaults or {})


def complaint(
    inputs: Optional[Mapping[str, Any]] = None,
    config: Optional[Mapping[str, Any]] = None,
    options: Optional[Mapping[str, Any]] = None,
    defaults: Optional[Mapping[str, str]] = None,
) -> str:
    with pytest.raises(BadOption) as caught:
        read(inputs, config, options, defaults)
    return str(caught.value)


def test_without_any_option_the_built_in_policy_holds() -> None:
    assert read({"update_after_time": "2024.05"}) == Policy(value="2024.05", key="web/1/update_0@server-7")
    built_in = Policy()
    assert (built_in.operation, built_in.select, built_in.removals, built_in.config_files) == (
        "update",
        "all",
        "allow",
        "keep",
    )
    assert (built_in.archive, built_in.keep, built_in.restore, built_in.on_failure) == (
        "best-effort",
        5,
        "exact",
        "restore",
    )
    assert (built_in.reboot, built_in.services, built_in.lock_timeout, built_in.deadline) == (
        "never",
        "report",
        600,
        None,
    )


def test_inputs_are_stronger_than_options_than_the_config_than_the_file() -> None:
    sources: Dict[str, Dict[str, Any]] = {
        "defaults": {"keep": "2"},
        "config": {"keep": 3},
        "options": {"keep": 4},
        "inputs": {"keep": "5"},
    }
    seen = []
    while sources:
        seen.append(read(**sources).keep)
        sources.pop(list(sources)[-1])
    assert seen == [5, 4, 3, 2]


@pytest.mark.parametrize("unset", [None, "", "None", "  ", " None\n"])
def test_an_unset_value_leaves_the_weaker_source_its_say(unset: Optional[str]) -> None:
    found = read(
        {"keep": unset, "exclude": unset, "reboot": unset}, {"keep": 9}, {"exclude": "linux-*"}, {"reboot": "always"}
    )
    assert (found.keep, found.exclude, found.reboot) == (9, ("linux-*",), "always")


@pytest.mark.parametrize("empty", [[], "[]", [""], ",", "['']"])
def test_a_list_without_a_glob_leaves_the_weaker_source_its_say(empty: object) -> None:
    assert read({"exclude": empty}, defaults={"exclude": "linux-*"}).exclude == ("linux-*",)


@pytest.mark.parametrize(
    ("given", "globs"),
    [
        (["nginx", "libc6:amd64"], ("nginx", "libc6:amd64")),
        ('["nginx", "g++-12"]', ("nginx", "g++-12")),
        ("['nginx', 'mod_ssl']", ("nginx", "mod_ssl")),
        ("nginx,curl", ("nginx", "curl")),
        ("nginx, curl,", ("nginx", "curl")),
        (" nginx\n  curl\n", ("nginx", "curl")),
        ("linux-image-*", ("linux-image-*",)),
        ("[ab]*", ("[ab]*",)),
        ("[!l]ib* ?x", ("[!l]ib*", "?x")),
        (["a", "", " b"], ("a", "b")),
        ("0ad", ("0ad",)),
    ],
)
def test_lists_come_in_every_form_that_heat_makes_of_them(given: object, globs: object) -> None:
    assert read({"packages": given}).packages == globs


@pytest.mark.parametrize(
    "bad",
    [
        "-y",
        "--allow-downgrades",
        ["ok", "-o"],
        "nginx; reboot",
        "$(reboot)",
        "../x",
        "a=1",
        "+x",
        "näm",
        ["a b"],
        [1],
        [None],
        [["a"]],
        "[a, b]",
        "{'a': 1}",
        {"a": 1},
        "['a'",
        7,
        True,
        "[" * 100_000,
    ],
)
def test_what_is_no_package_name_is_refused_with_option_value_and_what_is_right(bad: object) -> None:
    said = complaint({"packages": bad})
    assert said.startswith("the inputs: option packages is ")
    assert "right is a list of package names or globs" in said
    assert len(said) < 500


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("operation", "update, download, assess, stop, start"),
        ("select", "all, security"),
        ("removals", "allow, refuse"),
        ("config_files", "keep, replace"),
        ("archive", "best-effort, required, off"),
        ("restore", "exact, changes"),
        ("on_failure", "restore, keep"),
        ("reboot", "never, if-needed, always"),
        ("services", "report, restart"),
    ],
)
def test_a_word_is_taken_exactly_and_its_error_lists_the_words(option: str, words: str) -> None:
    for word in words.split(", "):
        assert getattr(read({option: word, "units": "a"}), option) == word
    bad_ones: List[object] = ["yes", "no", words.split(",")[0].upper(), True, 1, ["all"], {}]
    for bad in bad_ones:
        said = complaint(options={option: bad})
        assert (
            said == f"the options of the config: option {option} is {bad!r}; right is a word that this version knows:"
            f" {words}"
        )


@pytest.mark.parametrize("operation", ["stop", "start"])
@pytest.mark.parametrize("units", [None, "", [], "None"])
def test_to_stop_or_start_nothing_is_refused(operation: str, units: object) -> None:
    said = complaint({"operation": operation, "units": units})
    assert (
        said == f"option units is missing; operation {operation} needs the names of the services, such as nginx.service"
    )


@pytest.mark.parametrize(
    "units", [["nginx", "getty@tty1.service"], "nginx, getty@tty1.service nginx.service", '["nginx","getty@tty1"]']
)
def test_units_without_a_kind_are_services(units: object) -> None:
    assert read({"units": units}).units == ("nginx.service", "getty@tty1.service")
    assert read({"units": "a.socket,my.app"}).units == ("a.socket", "my.app.service")


@pytest.mark.parametrize("units", ["--all", "*.service", ["a b"], [1], "-.mount", {"a": 1}, "a/b", ["\n"], "x" * 300])
def test_what_is_no_unit_is_refused(units: object) -> None:
    said = complaint({"units": units})
    assert said.startswith("the inputs: option units is ") and "the names of systemd services" in said


def test_a_policy_of_before_there_were_units_can_be_read() -> None:
    stored = {name: value for name, value in read({}).as_json().items() if name != "units"}
    assert Policy.from_json(stored).units == ()


@pytest.mark.parametrize("off", ["off", False, "False"])
def test_an_archive_that_yaml_has_read_as_false_is_off(off: object) -> None:
    assert read(config={"archive": off}).archive == "off"


@pytest.mark.parametrize(("given", "count"), [(1, 1), ("7", 7), (3.0, 3), ("3.0", 3), (" 12 ", 12)])
def test_a_count_comes_as_a_number_or_its_text(given: object, count: int) -> None:
    kept = read({"keep": given}).keep
    assert kept == count
    assert type(kept) is int


@pytest.mark.parametrize(
    "bad", [0, -1, "0", "-3", 2.5, "2.5", True, "True", "1e3", [5], "\u0665", float("inf"), 10**400, "9" * 400]
)
def test_a_count_that_is_none_is_refused(bad: object) -> None:
    assert "right is a whole number, 1 or more" in complaint({"keep": bad})


@pytest.mark.parametrize(("given", "days"), [("", None), ("90", 90.0), (0.5, 0.5), (None, None)])
def test_the_age_of_a_key_is_a_number_of_days(given: object, days: Optional[float]) -> None:
    assert read({"forget_after": given}).forget_after == days
    assert "right is a number of days greater than 0" in complaint({"forget_after": "0"})


def test_seconds_may_be_parts_and_only_the_lock_need_not_be_waited_for() -> None:
    found = read({"lock_timeout": "0", "deadline": "0.5", "script_timeout": 30, "signal_timeout": "60"})
    assert (found.lock_timeout, found.deadline, found.script_timeout, found.signal_timeout) == (0, 0.5, 30, 60)
    assert read({"deadline": "None"}).deadline is None
    for option in ("deadline", "script_timeout", "signal_timeout"):
        assert f"option {option} is 0; right is a number of seconds greater than 0" in complaint({option: 0})
    assert "option lock_timeout is '-1'; right is a number of seconds, 0 or more" in complaint({"lock_timeout": "-1"})
    assert "option deadline is nan" in complaint({"deadline": float("nan")})


def test_an_unknown_option_is_named_with_its_source_and_its_nearest() -> None:
    assert (
        complaint(defaults={"kept": "5"}) == "[defaults] of agent.conf: there is no option 'kept'; did you mean keep?"
    )
    assert (
        complaint(config={"on-failure": "keep"})
        == "the config: there is no option 'on-failure'; did you mean on_failure?"
    )
    assert (
        complaint(options={"exlude": "x"})
        == "the options of the config: there is no option 'exlude'; did you mean exclude?"
    )
    assert complaint(config={1: None}) == "the config: there is no option 1"  # type: ignore[dict-item]
    said = complaint({"update_after_time": "1", "pakages": "nginx"})
    assert (
        said
        == "the inputs: 'pakages' is neither an option nor the trigger ('update_after_time'); did you mean packages?"
    )


def test_a_bad_value_is_an_error_even_where_a_stronger_source_overrides_it() -> None:
    assert "[defaults] of agent.conf: option keep is 'many'" in complaint({"keep": 3}, defaults={"keep": "many"})


def test_an_error_carries_its_deployment_so_that_it_can_be_signalled() -> None:
    given = deployment({"keep": "x"})
    with pytest.raises(BadOption) as caught:
        policy.read(given, {})
    assert caught.value.deployment is given


def test_the_only_other_input_is_the_trigger() -> None:
    assert read({"release": "r1", "keep": 3}).value == "r1"


def test_without_an_input_the_value_is_empty() -> None:
    assert read().value == ""
    assert read({"keep": 3}).value == ""


def test_two_inputs_that_could_be_the_trigger_are_an_error_that_names_both_and_the_way_out() -> None:
    said = complaint({"release": "1", "colour": "2"})
    assert (
        said
        == "the inputs: any of 'colour', 'release' could hold the value of this update; say which one with the option"
        " trigger"
    )


@pytest.mark.parametrize("source", ["inputs", "config", "options", "defaults"])
def test_the_trigger_can_be_named(source: str) -> None:
    given: Dict[str, Dict[str, Any]] = {"inputs": {"release": "r2"}}
    given.setdefault(source, {})["trigger"] = "release"
    assert read(**given).value == "r2"


def test_a_named_trigger_that_is_absent_has_the_empty_value() -> None:
    assert read(options={"trigger": "release"}).value == ""
    assert read({"release": None}, options={"trigger": "release"}).value == ""


def test_an_input_beside_a_named_trigger_is_unknown_whether_the_trigger_is_there_or_not() -> None:
    said = complaint({"relaese": "1"}, options={"trigger": "release"})
    assert said == "the inputs: 'relaese' is neither an option nor the trigger ('release'); did you mean release?"
    assert "'other'" in complaint({"release": "1", "other": "2"}, options={"trigger": "release"})


def test_an_option_cannot_be_the_trigger() -> None:
    assert "option trigger is 'keep'" in complaint({"keep": 3}, options={"trigger": "keep"})


@pytest.mark.parametrize(
    "value",
    [
        "2024.05",
        "202405",
        " kept ",
        "ünïcödé ✓",
        "a\nb\0c",
        "x" * 1_000_000,
        "False",
        "0",
        "null",
        "; rm -rf /",
        "--help",
    ],
)
def test_a_text_is_the_value_as_it_stands(value: str) -> None:
    assert read({"update_after_time": value}).value == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (202405, "202405"),
        (1.5, "1.5"),
        (True, "true"),
        (0, "0"),
        (False, "false"),
        ([1, "é"], '[1,"é"]'),
        ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        ([], "[]"),
        (None, ""),
        ("None", ""),
        ("  ", ""),
    ],
)
def test_what_is_no_text_becomes_canonical_json(value: object, text: str) -> None:
    assert read({"update_after_time": value}).value == text


def test_half_a_surrogate_pair_is_refused_as_value_and_as_key() -> None:
    assert "is no valid Unicode" in complaint({"update_after_time": "a\ud800"})
    assert "option state_key is" in complaint({"state_key": "\udfff"})


def test_an_explicit_state_key_replaces_the_identity_of_the_deployment() -> None:
    assert read({"state_key": "../web servers"}).key == "../web servers"
    assert read({"state_key": 7}).key == "7"
    assert "option state_key is True; right is a text" in complaint({"state_key": True})


@pytest.mark.parametrize("restriction", [{"packages": "nginx"}, {"exclude": ["linux-*"]}, {"select": "security"}])
def test_a_restricted_update_undoes_only_its_own_changes_unless_told_otherwise(restriction: Mapping[str, Any]) -> None:
    assert read(restriction).is_restricted
    assert read(restriction).restore == "changes"
    assert read(restriction, defaults={"restore": "exact"}).restore == "exact"


def test_an_unrestricted_update_restores_exactly() -> None:
    assert not read().is_restricted
    assert read().restore == "exact"
    assert read({"restore": "changes"}).restore == "changes"


def test_a_policy_survives_the_ledger() -> None:
    wanted = read({"update_after_time": "é", "packages": "a,b", "deadline": 60, "keep": 2})
    assert Policy.from_json(json.loads(json.dumps(wanted.as_json()))) == wanted


def test_a_policy_by_hand_is_checked_alike() -> None:
    found = policy.by_hand("v1", "web", {"keep": "3"}, keep="4", exclude=["linux-*"], select=None, packages=[])
    assert found == Policy(value="v1", key="web", keep=4, exclude=("linux-*",), restore="changes")
    with pytest.raises(BadOption, match="the command line: option reboot is 'perhaps'; right is a word"):
        policy.by_hand("v1", "web", {}, reboot="perhaps")
    with pytest.raises(BadOption, match="the command line: there is no option 'colour'"):
        policy.by_hand("v1", "web", {}, colour="red")


def test_a_key_by_hand_is_stronger_than_the_state_key_of_the_file() -> None:
    assert policy.by_hand("v", "mine", {"state_key": "theirs"}).key == "mine"
    assert policy.by_hand("v", "", {"state_key": "theirs"}).key == "theirs"


def test_every_field_of_a_policy_is_an_option_or_the_value_or_the_key() -> None:
    fields = set(Policy().options())
    assert set(READERS) == fields - {"value", "key"} | {"trigger", "state_key"}


def test_a_delivery_with_wrong_options_takes_those_of_agent_conf() -> None:
    """Heat waits for the result of a DELETE, too, as long as agent.conf says and not as long as is built in."""
    assert policy.of_defaults("key", {"signal_timeout": "3"}) == Policy(key="key", signal_timeout=3.0)
    assert policy.of_defaults("key", {"signal_timeout": "soon"}) == Policy(key="key")
    # One wrong option takes nothing from the others.
    for wrong in ({"keep": "lots"}, {"colour": "red"}, {"operation": "stop"}):
        assert policy.of_defaults("key", {"signal_timeout": "3", **wrong}) == Policy(key="key", signal_timeout=3.0)


@pytest.mark.parametrize("other", [{}, {"keep": "none"}, {"colour": "red"}])
def test_the_time_to_try_a_signal_counts_also_beside_a_wrong_option(other: "dict[str, str]") -> None:
    assert signal_patience({"signal_timeout": "7", **other}) == 7.0
    assert signal_patience({"signal_timeout": "soon", **other}) == 600.0
