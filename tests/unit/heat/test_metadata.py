"""Which deployments Heat lists, and what that says about one of them: the lists are made up, the collector is not
asked.
"""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import pytest

from os_update_agent.heat import metadata
from os_update_agent.heat.metadata import (
    HEAT_CONFIG,
    Listed,
    address_of,
    is_current,
    overtaken_on_arrival,
    overtaker,
    parse_list,
)
from os_update_agent.model.deliveries import SignalTarget

STACK, RESOURCE = "web/68c97fbe", "update"


def listed(
    config_id: str, created: Optional[str] = "2026-11-23T06:44:36Z", resource: str = RESOURCE, stack: str = STACK
) -> Dict[str, Any]:
    """An entry as Heat makes it; without ``created`` it cannot be put in order."""
    inputs = [{"name": "deploy_stack_id", "value": stack}, {"name": "deploy_resource_name", "value": resource}]
    entry: Dict[str, Any] = {"id": config_id, "inputs": inputs}
    return entry if created is None else {**entry, "creation_time": created}


OURS, NEWER, OLDER = listed("ours"), listed("other", "2026-11-24T00:00:00Z"), listed("other", "2026-11-22T00:00:00Z")


@pytest.fixture
def collect_config(tmp_path: Path) -> Path:
    path = tmp_path / "os-collect-config.conf"
    path.write_text("[DEFAULT]\ncollectors = cfn\n[cfn]\nstack_name = web\n", encoding="utf-8")
    return path


def ask(monkeypatch: pytest.MonkeyPatch, collect_config: Path, content: Any) -> Optional[bool]:
    monkeypatch.setattr(metadata, "_collected", lambda *_: content)
    return is_current("ours", (STACK, RESOURCE), collect_config)


@pytest.mark.parametrize(
    "deployments, current",
    [
        ([OURS], True),
        ([listed("ours", None)], True),
        ([{"id": "ours"}], True),
        ([{"id": "ours", "inputs": None}, NEWER], True),
        ([OURS, OLDER], True),
        ([OURS, listed("other", "2026-11-24T00:00:00Z", resource="another")], True),
        ([OURS, listed("other", "2026-11-24T00:00:00Z", stack="db/1")], True),
        ([NEWER], False),
        ([OLDER], False),
        ([OURS, NEWER], False),
        ([listed("other", resource="another")], None),
        ([listed("other", stack="db/1")], None),
        ([listed("other", None)], None),
        ([], None),
        ([5, None, "text"], None),
    ],
)
def test_what_is_listed_says_whether_heat_waits(
    monkeypatch: pytest.MonkeyPatch, collect_config: Path, deployments: Any, current: Optional[bool]
) -> None:
    assert ask(monkeypatch, collect_config, {"cfn": {"deployments": deployments}}) is current


@pytest.mark.parametrize(
    "content", [None, [], "text", {}, {"cfn": None}, {"cfn": {"deployments": None}}, {"cfn": {"other": [OURS]}}]
)
def test_where_nothing_can_be_read_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, collect_config: Path, content: Any
) -> None:
    assert ask(monkeypatch, collect_config, content) is None


def test_the_lists_of_all_collectors_count(monkeypatch: pytest.MonkeyPatch, collect_config: Path) -> None:
    assert ask(monkeypatch, collect_config, {"local": {"deployments": []}, "heat": {"deployments": [OURS]}}) is True
    assert ask(monkeypatch, collect_config, {"local": {"deployments": []}, "heat": {"deployments": None}}) is None
    assert ask(monkeypatch, collect_config, {"local": {"deployments": []}, "heat": {"deployments": [NEWER]}}) is False


@pytest.mark.parametrize(
    "text", [None, "[zaqar]\nqueue_id = q\n", "[heat]\n[zaqar]\nqueue_id = q\n", "[DEFAULT]\ncommand = c\n"]
)
def test_the_collector_is_not_asked_without_its_file_nor_where_it_takes_messages_away(
    monkeypatch: pytest.MonkeyPatch, collect_config: Path, text: Optional[str]
) -> None:
    def refuse(*_: object) -> Any:
        raise AssertionError("it was asked")

    monkeypatch.setattr(metadata, "_collected", refuse)
    if text is None:
        collect_config.unlink()
    else:
        collect_config.write_text(text, encoding="utf-8")
    assert is_current("ours", (STACK, RESOURCE), collect_config) is None


def test_only_the_collectors_that_have_credentials_are_asked(
    monkeypatch: pytest.MonkeyPatch, collect_config: Path
) -> None:
    """Without names os-collect-config asks all that it knows: ec2 waits for an address that is not there, local dies of
    C.UTF-8.
    """
    asked: List[Any] = []
    monkeypatch.setattr(metadata, "_collected", lambda path, collectors: asked.append(collectors))
    collect_config.write_text(
        "[DEFAULT]\ncollectors = local\n[heat]\nuser_id = u\n[local]\npath = /x\n", encoding="utf-8"
    )
    assert is_current("ours", (STACK, RESOURCE), collect_config) is None
    assert asked == [("heat",)]


def test_an_entry_that_is_malformed_is_left_out_of_the_list() -> None:
    broken: Iterable[Any] = [None, 5, "x", [], {}, {"id": "a"}, {"id": "a", "inputs": [5]}, listed("a", None)]
    assert parse_list([*broken, OURS]) == (Listed("ours", STACK, RESOURCE, "2026-11-23T06:44:36Z"),)
    no_lists: Iterable[Any] = (None, {}, "text", 5)
    assert [parse_list(nothing) for nothing in no_lists] == [()] * 4


def test_the_newest_of_the_newer_ones_overtakes() -> None:
    newest = listed("newest", "2026-11-25T00:00:00Z")
    assert overtaker(parse_list([OURS, newest, NEWER]), "ours") == "newest"
    assert overtaker(parse_list([OURS, OLDER]), "ours") is None
    assert overtaker(parse_list([OURS, listed("twin")]), "ours") is None
    assert overtaker(parse_list([NEWER]), "ours") is None


def outside(config_id: str, created: str, name: str = "90-update", url: str = "") -> Dict[str, Any]:
    """An entry of a deployment outside of any stack."""
    inputs = [
        {"name": "deploy_server_id", "value": "s"},
        *([{"name": "deploy_signal_id", "value": url}] if url else []),
    ]
    return {"id": config_id, "name": name, "inputs": inputs, "creation_time": created}


EARLY, LATE = "2026-11-23T06:44:36Z", "2026-11-23T06:44:37Z"


def test_outside_of_a_stack_the_newest_of_a_name_is_run() -> None:
    mine = outside("ours", EARLY, url="https://swift.example/1")
    assert overtaker(parse_list([mine, outside("other", LATE, url="https://swift.example/2")]), "ours") == "other"
    assert overtaker(parse_list([mine, outside("other", LATE, "91-other")]), "ours") is None
    assert overtaker(parse_list([mine, listed("other", LATE)]), "ours") is None
    assert parse_list([{**mine, "name": None}])[0].resource_name == "None"
    assert parse_list([{"id": "a", "inputs": [], "creation_time": EARLY}]) == ()


@pytest.mark.parametrize(
    ("others", "current"),
    [
        ([outside("ours", EARLY, url="u1")], True),
        ([outside("ours", EARLY, url="u1"), outside("other", LATE, url="u2")], True),
        ([outside("ours", EARLY, url="u1"), outside("other", LATE, url="u1")], False),
        ([outside("other", LATE, url="u2")], None),
        ([outside("other", LATE, url="u1")], False),
        ([outside("other", LATE)], None),
        ([], None),
    ],
)
def test_outside_of_a_stack_a_signal_is_addressed_by_its_url(
    monkeypatch: pytest.MonkeyPatch, collect_config: Path, others: List[Any], current: Optional[bool]
) -> None:
    monkeypatch.setattr(metadata, "_collected", lambda *_: {"cfn": {"deployments": others}})
    target = SignalTarget("TEMP_URL_SIGNAL", verb="PUT", secret={"url": "u1"})
    assert is_current("ours", address_of("ours", target), collect_config) is current


def test_on_arrival_the_list_of_heat_config_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "heat-config"
    monkeypatch.setenv(HEAT_CONFIG[0], str(path))
    assert overtaken_on_arrival("ours") is None
    for text, newer in [
        ("{", None),
        (json.dumps([OURS]), None),
        (json.dumps([OURS, NEWER]), "other"),
        (json.dumps([NEWER]), None),
    ]:
        path.write_text(text, encoding="utf-8")
        assert overtaken_on_arrival("ours") == newer
