"""Whatever an update came to, Heat gets a body that it accepts: complete, bounded, free of secrets."""

import datetime
import json
from typing import Any, Dict, List, Sequence

import pytest

from os_update_agent.heat.outcome import BODY_LIMIT, ERROR_LIMIT, TEXT_LIMIT, encode
from os_update_agent.model.deliveries import Outcome, Output

CHANGES, DIGEST, FAULT = Output("changes"), Output("state_digest"), Output("update_error", error_output=True)
AWKWARD = {
    "ascii": "x",
    "quotes": '"\\',
    "controls": "\x1b\x00\x7f",
    "umlauts": "ü",
    "astral": "\U0001f600",
    "surrogates": "\ud83d",
    "lines": "line\n",
    "returns": "50%\r",
}


def body(outcome: Outcome, declared: Sequence[Output] = (CHANGES, DIGEST, FAULT), **options: Any) -> Dict[str, Any]:
    """The body as Heat reads it, after the checks that hold for every body."""
    text = encode(outcome, declared, **options)
    assert text.isascii()
    assert len(text) <= BODY_LIMIT
    found: Dict[str, Any] = json.loads(text)
    assert json.dumps(found) == text, "heat-config-notify would send other bytes"
    assert type(found["deploy_status_code"]) is int
    assert isinstance(found["deploy_stdout"], str) and isinstance(found["deploy_stderr"], str)
    return found


def size(value: object) -> int:
    return len(json.dumps(value))


# What Heat wants to see


def test_a_success_says_everything_in_order_and_nothing_flagged_as_error() -> None:
    outcome = Outcome(
        0, "3 packages changed\n", "", {"state_digest": "abc", "changes": {"count": 3}, "update_error": "no"}
    )
    assert encode(outcome, (FAULT, CHANGES, DIGEST)) == (
        '{"deploy_stdout": "3 packages changed\\n", "deploy_stderr": "", "deploy_status_code": 0, '
        '"changes": {"count": 3}, "state_digest": "abc"}'
    )


def test_an_output_without_a_value_is_sent_empty_so_that_heat_forgets_the_old_one() -> None:
    assert body(Outcome(0))["changes"] == ""


def test_an_output_that_is_null_stays_null() -> None:
    assert body(Outcome(0, outputs={"changes": None}))["changes"] is None


def test_an_output_that_nobody_declared_is_left_out() -> None:
    assert "extra" not in body(Outcome(0, outputs={"extra": 1}))


def test_without_declared_outputs_only_heats_own_keys_are_sent() -> None:
    assert list(body(Outcome(3, "o", "e"), ())) == ["deploy_stdout", "deploy_stderr", "deploy_status_code"]


@pytest.mark.parametrize("name", ["deploy_stdout", "deploy_stderr", "deploy_status_code"])
@pytest.mark.parametrize("flagged", [True, False])
def test_a_declared_output_cannot_take_the_place_of_heats_own_keys(name: str, flagged: bool) -> None:
    found = body(Outcome(1, "o", "e", {name: "taken"}), (Output(name, flagged),))
    assert found == {"deploy_stdout": "o", "deploy_stderr": "e", "deploy_status_code": 1}


def test_a_name_that_is_declared_both_ways_is_not_sent_on_success() -> None:
    assert "o" not in body(Outcome(0, outputs={"o": 1}), (Output("o"), Output("o", error_output=True)))


@pytest.mark.parametrize(
    ("code", "sent"), [(0, 0), (1, 1), (75, 75), (-9, -9), (256, 256), pytest.param(10**5000, 1, id="huge")]
)
@pytest.mark.parametrize("declared", [(), (FAULT,)])
def test_the_status_code_is_a_number(code: Any, sent: Any, declared: Sequence[Output]) -> None:
    assert body(Outcome(code), declared)["deploy_status_code"] == sent


@pytest.mark.parametrize("code", [None, "0", "", 0.0, 1.5, True, False, [0]])
def test_a_status_code_that_is_no_number_is_a_failure(code: Any) -> None:
    assert body(Outcome(code))["deploy_status_code"] == 1


# Error outputs


def test_a_failure_puts_the_complaint_into_the_first_error_output_only() -> None:
    declared = (Output("first", True), CHANGES, Output("second", True))
    found = body(Outcome(1, "", "E: no space\nE: really\n", {"changes": "c"}), declared)
    assert found["first"] == "E: no space\nE: really"
    assert found["changes"] == "c"
    assert "second" not in found
    assert list(found)[-1] == "first"


def test_the_error_output_is_without_the_log_that_follows_the_complaint() -> None:
    assert (
        body(Outcome(1, "", "it failed\nit was undone\n\nE: the log\n"))["update_error"] == "it failed\nit was undone"
    )


def test_a_failure_without_a_complaint_still_has_an_error_output() -> None:
    assert body(Outcome(7))["update_error"] == "The status code is 7."


@pytest.mark.parametrize("piece", AWKWARD.values(), ids=AWKWARD)
def test_the_error_output_is_the_short_start_of_a_long_complaint(piece: str) -> None:
    found = body(Outcome(1, "", "first line\n" + piece * 40_000))
    assert found["update_error"].startswith("first line\n")
    assert ERROR_LIMIT / 2 < size(found["update_error"]) <= ERROR_LIMIT


# Long texts


@pytest.mark.parametrize("piece", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_end_of_a_long_text_is_kept(name: str, piece: str) -> None:
    text: Dict[str, Any] = {name: piece * 40_000 + "the end"}
    outcome = Outcome(0, **text)
    found = body(outcome)[f"deploy_{name}"]
    assert found.startswith("[the first ")
    assert found.endswith("the end")
    assert TEXT_LIMIT / 2 < size(found) <= TEXT_LIMIT


def test_a_text_that_just_fits_is_not_cut() -> None:
    text = "x" * (TEXT_LIMIT - 2)
    assert body(Outcome(0, text))["deploy_stdout"] == text
    assert body(Outcome(0, text + "x"))["deploy_stdout"].startswith("[the first ")


def test_a_text_is_cut_at_a_line_and_the_cut_is_counted_and_the_place_of_the_whole_is_told() -> None:
    lines = [f"line {number}\n" for number in range(10_000)]
    text = "".join(lines)
    found = body(Outcome(0, text), full_text="/var/log/os-update-agent/run.log")["deploy_stdout"]
    note, _, kept = found.partition("\n")
    cut = len(text) - len(kept)
    assert (
        note
        == f"[the first {cut} characters are cut; the whole text is in /var/log/os-update-agent/run.log on the node]"
    )
    assert text.endswith(kept)
    assert kept.splitlines(keepends=True)[0] in lines
    assert size(found) > TEXT_LIMIT - 20


def test_a_single_endless_line_is_cut_within() -> None:
    found = body(Outcome(0, "x" * 100_000 + "\n"))["deploy_stdout"]
    assert size(found) > TEXT_LIMIT - 2
    assert found.endswith("x\n")


def test_a_path_that_is_too_long_is_left_out() -> None:
    assert body(Outcome(0, "x" * 100_000), full_text="/" * 100_000)["deploy_stdout"].startswith("[the first 6")


def test_a_text_in_braces_does_no_harm() -> None:
    assert "{0}{path}" in body(Outcome(0, "x" * 100_000), full_text="{0}{path}")["deploy_stdout"]


# Characters that databases and encoders choke on


def test_lone_surrogates_and_nul_do_not_leave_the_node() -> None:
    found = body(Outcome(1, "a\udcffb\0c", "\ud83d\ude00", {"changes": {"\ud800": ["\0"]}}))
    assert found["deploy_stdout"] == "a?b\ufffdc"
    assert found["deploy_stderr"] == "??"
    assert found["changes"] == {"?": ["\ufffd"]}


# Outputs that are too large, or odd


def test_a_list_of_changes_loses_its_end_and_says_how_many() -> None:
    changes = [{"name": f"package-{number}", "before": "1", "after": "2"} for number in range(20_000)]
    found = body(Outcome(0, outputs={"changes": {"count": 20_000, "changes": changes}, "state_digest": "abc"}))
    kept = found["changes"]["changes"]
    assert kept == changes[: len(kept)]
    assert found["changes"]["truncated"] == 20_000 - len(kept)
    assert found["changes"]["count"] == 20_000
    assert found["state_digest"] == "abc"
    assert size(found) > BODY_LIMIT - 200


def test_changes_that_were_cut_before_are_counted_too() -> None:
    changes = ["x" * 100] * 10_000
    found = body(Outcome(0, outputs={"changes": {"changes": changes, "truncated": 5}}))["changes"]
    assert found["truncated"] == 10_000 - len(found["changes"]) + 5


def test_a_list_loses_its_end_and_says_how_many() -> None:
    found = body(Outcome(0, outputs={"changes": ["x" * 100] * 10_000}))["changes"]
    assert found[-1] == {"truncated": 10_000 - len(found) + 1}


def test_a_long_string_loses_its_end() -> None:
    found = body(Outcome(0, outputs={"changes": "x" * 5_000_000}))["changes"]
    assert found.endswith("x\n[cut: 5000000 characters in all]")


@pytest.mark.parametrize(
    "value", [{"a": "x" * 500_000}, {"changes": [], "rest": "x" * 500_000}, {str(n): n for n in range(50_000)}]
)
def test_another_output_that_is_too_large_becomes_a_note(value: Any) -> None:
    found = body(Outcome(0, outputs={"changes": value}), full_text="/var/log/run.log")["changes"]
    assert (
        found
        == f"[too large for a signal: {size(value)} bytes of JSON; the whole text is in /var/log/run.log on the node]"
    )


def test_large_outputs_share_what_small_ones_leave() -> None:
    declared = [Output(name) for name in "abcd"]
    found = body(Outcome(0, outputs={"a": ["x"] * 300_000, "b": "small", "c": "y" * 300_000, "d": 7}), declared)
    assert (found["b"], found["d"]) == ("small", 7)
    assert size(found["a"]) > 100_000
    assert size(found["c"]) > 100_000


@pytest.mark.parametrize("piece", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("code", [0, 1])
def test_endless_texts_everywhere_stay_within_the_bound(piece: str, code: Any) -> None:
    huge = piece * 200_000
    assert len(body(Outcome(code, huge, huge, {"changes": [huge], "state_digest": huge}))) >= 5


def test_five_megabytes_stay_within_the_bound() -> None:
    huge = "x" * 5_000_000
    assert len(body(Outcome(1, huge, huge, {"changes": [huge], "state_digest": huge}), secrets=[huge[:50] + "y"])) == 6


@pytest.mark.parametrize(
    "declared", [[Output("n" * 300_000)], [Output(f"output-{n}") for n in range(20_000)], [Output("e" * 300_000, True)]]
)
def test_names_that_are_too_long_or_too_many_do_not_hide_the_result(declared: Sequence[Output]) -> None:
    found = body(Outcome(1, "o", "e"), declared)
    assert (found["deploy_stdout"], found["deploy_stderr"], found["deploy_status_code"]) == ("o", "e", 1)


def test_a_thousand_large_outputs_stay_within_the_bound() -> None:
    declared = [Output(f"o{number}") for number in range(1000)]
    found = body(Outcome(0, outputs={output.name: {"changes": ["x" * 40] * 100} for output in declared}), declared)
    assert found["o999"]["truncated"] > 90


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1.5, 1.5),
        pytest.param(10**5000, "[a number out of range]", id="huge"),
        (("a", {"b"}), ["a", ["b"]]),
        ({1: None, None: True}, {"1": None, "None": True}),
        (datetime.date(2026, 11, 22), "2026-11-22"),
        (b"x", "b'x'"),
    ],
)
def test_what_json_has_not_becomes_what_it_has(value: Any, sent: Any) -> None:
    assert body(Outcome(0, outputs={"changes": value}))["changes"] == sent


def test_an_output_that_holds_itself_ends() -> None:
    value: Dict[str, Any] = {}
    value["self"] = value
    assert "[nested too deeply]" in json.dumps(body(Outcome(0, outputs={"changes": value})))


# Secrets

SECRET = 'pa"ss w&rd/ü\\1'


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        "pa%22ss%20w%26rd%2F%C3%BC%5C1",
        "pa%22ss%20w%26rd%2f%c3%bc%5c1",
        "pa%22ss%20w%26rd/%C3%BC%5C1",
        "pa%22ss+w%26rd%2F%C3%BC%5C1",
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
    ],
)
def test_a_secret_is_replaced_everywhere_however_it_is_spelled(spelling: str) -> None:
    text = f"before {spelling} after"
    outputs = {"changes": {text: [text, {"deep": text}]}, "state_digest": text}
    found = body(Outcome(1, text, text, outputs), secrets=["", "abc", SECRET])
    clean = "before *** after"
    assert (found["deploy_stdout"], found["deploy_stderr"], found["update_error"]) == (clean, clean, clean)
    assert (found["changes"], found["state_digest"]) == ({clean: [clean, {"deep": clean}]}, clean)


def test_a_secret_inside_another_does_not_leave_the_rest() -> None:
    assert body(Outcome(0, "hunter2hunter2-long"), secrets=["hunter2", "hunter2hunter2-long"])["deploy_stdout"] == "***"


@pytest.mark.parametrize("secrets", [[], [""], ["a", "abc"]])
def test_short_secrets_would_hide_too_much(secrets: List[str]) -> None:
    assert body(Outcome(0, "abc abcd"), secrets=secrets)["deploy_stdout"] == "abc abcd"


def test_a_secret_at_the_edge_of_a_cut_leaves_no_half() -> None:
    found = encode(Outcome(0, "hunter2-" * 100_000), (), secrets=["hunter2-"])
    assert "hunter" not in found


def test_a_secret_with_a_lone_surrogate_is_replaced() -> None:
    assert body(Outcome(0, "x pass\udcff y"), secrets=["pass\udcff"])["deploy_stdout"] == "x *** y"
