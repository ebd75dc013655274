"""What bad input gets: values and options are data, whatever they look like; and what cannot be used is refused in
words.
"""

import json
import os
import stat
from typing import Any, Dict

import pytest

from os_update_agent.testing.repository import Deb
from os_update_agent.text.outputs import OUTPUTS
from packages.line.others import command
from packages.node import VERSIONS_ONE, Node, Running

ODD_VALUES = [
    5,
    20.5,
    True,
    {"b": [1, 2], "a": "x"},
    [1, "two"],
    "x" * 1_000_000,
    "ünïcödé ☃ 日本",
    "two\nlines\r\n\tand a tab",
    "../../etc/passwd",
    "; reboot",
    "$(touch /pwned)",
    "-o Dir=/",
    "--help",
    "a\0b",
    "'; DROP TABLE runs; --",
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: str(value)[:12].encode("unicode_escape").decode())
def test_any_value_is_a_plain_key(based: Node, value: Any) -> None:
    files = {path.name for path in based.directory.parent.iterdir()}
    done = based.succeed("UPDATE", value)
    assert "updated to " in done.told
    assert len(done.stdout) < 10_000
    again = based.succeed("UPDATE", value)
    assert "nothing to do" in again.told
    assert {path.name for path in based.directory.parent.iterdir()} == files
    assert {path.name for path in based.log.iterdir()} <= {"000001.log", "worker.log"}


def test_values_that_are_equal_as_numbers_are_two_values(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "2024.05")
    based.offer(Deb("tool", "3.0-1"))
    based.succeed("UPDATE", "202405")
    based.offer(Deb("tool", "4.0-1"))
    based.succeed("UPDATE", "2024.050")
    based.succeed("UPDATE", "2024.05")
    assert based.versions()["tool"] == "2.0-1"
    based.succeed("UPDATE", "202405")
    assert based.versions()["tool"] == "3.0-1"


@pytest.mark.parametrize("value", ["", "None", None, "  "])
def test_an_unset_value_is_nothing_to_do_and_said(based: Node, value: Any) -> None:
    based.offer(Deb("tool", "2.0-1"))
    done = based.succeed("UPDATE", value)
    assert "no value" in done.told and "nothing to do" in done.told
    assert based.versions() == VERSIONS_ONE
    assert len(done.received) == 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"packges": "x"}, ["packges", "did you mean packages?"]),
        ({"keep": "none of them"}, ["option keep", "none of them", "whole number"]),
        ({"removals": "maybe"}, ["option removals", "maybe", "allow, refuse"]),
        ({"packages": "-o"}, ["option packages", "-o"]),
        ({"exclude": ["--help"]}, ["option exclude", "--help"]),
        ({"packages": "a;reboot"}, ["option packages", "a;reboot"]),
        ({"packages": "../x"}, ["option packages", "../x"]),
        ({"lock_timeout": "-1"}, ["option lock_timeout", "-1"]),
        ({"config": "keep: [1"}, ["config", "YAML"]),
        ({"config": {"colour": "red"}}, ["colour"]),
        ({"deploy_action": "EXPLODE"}, ["deploy_action", "EXPLODE", "CREATE, UPDATE"]),
        ({"deploy_action": None}, ["deploy_action", "missing"]),
    ],
)
def test_what_cannot_be_used_is_named_signalled_and_changes_nothing(node: Node, options: Any, words: Any) -> None:
    node.offer(Deb("tool", "2.0-1"))
    action = options.pop("deploy_action", "UPDATE")
    failed = node.fail(action, "v2", **options)
    assert failed.status == 2
    for word in [*words, "nothing was changed"]:
        assert word in failed.complaint
    assert [request.body.decode() for request in failed.received] == [failed.stdout]
    assert set(failed.body) >= set(OUTPUTS)
    assert node.versions() == VERSIONS_ONE
    assert not node.history().is_known


def test_the_answer_to_what_cannot_be_used_is_in_the_outbox_like_any_other(node: Node) -> None:
    """The configured ledger holds it, not that of the built-in paths."""
    failed = node.fail("EXPLODE", "v2")
    assert node.signals()[failed.id].standing == "delivered"


def test_each_deployment_without_an_id_is_signalled(node: Node) -> None:
    for action in ("CREATE", "UPDATE"):
        deployment = {**node.deployment(action, "v2"), "id": None}
        failed = node.start_with(deployment).wait()
        assert "id is missing" in failed.complaint
        assert [request.body.decode() for request in failed.received] == [failed.stdout]


NO_DEPLOYMENTS = [
    "",
    "   ",
    "{",
    "[]",
    "null",
    "5",
    '{"id": "x"}',
    '{"id": "x", "inputs": 5}',
    '{"inputs": [{"name": "n"}]}',
]


@pytest.mark.parametrize("text", NO_DEPLOYMENTS)
def test_a_deployment_that_is_none_still_gets_an_answer_in_json(node: Node, text: str) -> None:
    running = Running(node, {}, ["sh", "-c", f"cat > /dev/null; printf %s '{text}' | \"$@\"", "sh"])
    failed = running.wait()
    assert failed.returncode == 0
    assert failed.status == 2
    assert failed.complaint.strip()
    assert "Traceback" not in failed.stdout + failed.stderr
    assert failed.received == ()
    assert node.versions() == VERSIONS_ONE


def test_an_input_without_a_value_is_unset(node: Node) -> None:
    deployment = node.deployment("UPDATE", "v2")
    for item in deployment["inputs"]:
        if item["name"] == "update_after_time":
            del item["value"]
    result = node.start_with(deployment).wait()
    assert result.status == 0
    assert "no value" in result.told


def test_a_broken_agent_conf_is_named_and_signalled(node: Node) -> None:
    for text, words in [
        ("[node\n", ["agent.conf is not an INI file"]),
        ("[node]\nrot = /\n", ["agent.conf", "'rot'", "do you mean 'root'?"]),
        ("[nodes]\n", ["agent.conf", "[nodes]", "[node]"]),
        ("[paths]\nstate = relative\n", ["agent.conf", "state is 'relative'", "absolute path"]),
    ]:
        node.conf.write_text(text)
        failed = node.fail("UPDATE", "v2")
        assert all(word in failed.complaint for word in words), failed.complaint
        assert [request.body.decode() for request in failed.received] == [failed.stdout]
    node.conf.unlink()
    failed = node.fail("UPDATE", "v2")
    assert "agent.conf is not there" in failed.complaint
    assert len(failed.received) == 1
    node.configure(colour="red")
    failed = node.fail("UPDATE", "v2")
    assert "colour" in failed.complaint and "[defaults]" in failed.complaint
    assert json.loads(failed.received[0].body)["deploy_status_code"] == 2
    assert node.versions() == VERSIONS_ONE


@pytest.mark.parametrize("name", ["log", "run"])
def test_an_open_directory_of_somebody_else_is_refused_and_left_as_it_is(based: Node, name: str) -> None:
    based.offer(Deb("tool", "2.0-1"))
    somebody_s = based.directory / "somebody"
    somebody_s.mkdir()
    somebody_s.chmod(0o755)
    conf = based.conf.read_text()
    based.conf.write_text(conf.replace(f"{name} = {getattr(based, name)}\n", f"{name} = {somebody_s}\n"))
    failed = based.fail("UPDATE", "v2")
    assert str(somebody_s) in failed.complaint and "open to others" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert stat.S_IMODE(os.stat(somebody_s).st_mode) == 0o755
    assert based.versions() == VERSIONS_ONE
    assert [request.body.decode() for request in failed.received] == [failed.stdout]

    # The failure was told: nothing of it is done later.
    based.conf.write_text(conf)
    based.succeed("CREATE", "v1")
    done = command(based, "resume")
    assert done.returncode == 0, done.stderr
    assert based.versions() == VERSIONS_ONE
    assert based.history().current == "v1"
    with based.ledger() as ledger:
        assert ledger.open_runs() == ()


NOT_USABLE: Dict[str, Dict[str, Any]] = {
    "an input twice": {},
    "no YAML": {"config": "keep: [1"},
    "a wrong option in agent.conf as well": {"exlude": "x"},
    "a wrong agent.conf": {},
    "a ledger that is none": {},
}


@pytest.mark.parametrize("fault", NOT_USABLE)
@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
def test_a_stack_can_go_whatever_is_wrong_and_agent_conf_says_how_long_heat_is_tried(
    based: Node, action: str, fault: str
) -> None:
    deployment = based.deployment(action, "v2", **NOT_USABLE[fault])
    if fault == "an input twice":
        deployment["inputs"] += [{"name": "exclude", "value": "x"}] * 2
    elif fault == "a wrong option in agent.conf as well":
        based.configure(signal_timeout=1, keep="lots")
    elif fault == "a wrong agent.conf":
        based.conf.write_text("[nodes]\n", encoding="utf-8")
    elif fault == "a ledger that is none":
        (based.state / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    based.receiver.answer(503)
    # The built-in signal_timeout is 600 s.
    done = based.start_with(deployment).wait(15)
    assert done.status == 0, done.complaint
    assert {request.body.decode() for request in done.received} == {done.stdout}
    assert based.versions() == VERSIONS_ONE


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
def test_a_wrong_option_matters_to_nobody_where_nothing_is_done(based: Node, action: str) -> None:
    based.offer(Deb("tool", "2.0-1"))
    done = based.succeed(action, "v2", exlude="x")
    assert len(done.received) == 1
    assert based.versions() == VERSIONS_ONE
    assert based.history().current == "v1"
