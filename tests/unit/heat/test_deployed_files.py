"""heat-config's copy of a delivery keeps everything but the way to Heat's ear."""

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from os_update_agent.heat.deployed_files import forget_signal, without_signal

SECRETS = {
    "deploy_signal_id": "https://heat.example/?Signature=s",
    "deploy_password": "p",
    "deploy_queue_id": "q",
    "deploy_auth_url": "https://keystone.example/v3",
}
PLAIN = {"deploy_action": "UPDATE", "deploy_stack_id": "web/1", "update_after_time": "v2"}


def copy_of(**inputs: str) -> Dict[str, Any]:
    return {
        "id": "c1",
        "group": "package-update",
        "inputs": [{"name": name, "value": value} for name, value in inputs.items()],
    }


def values(copy: Dict[str, Any]) -> Dict[str, str]:
    return {entry["name"]: entry["value"] for entry in copy["inputs"]}


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "deployed"
    directory.mkdir()
    monkeypatch.setenv("HEAT_CONFIG_DEPLOYED", str(directory))
    return directory


def test_the_secrets_go_and_nobody_is_waited_for() -> None:
    stripped = without_signal(copy_of(deploy_signal_transport="CFN_SIGNAL", **SECRETS, **PLAIN))
    assert values(stripped) == {"deploy_signal_transport": "NO_SIGNAL", **PLAIN}
    assert (stripped["id"], stripped["group"]) == ("c1", "package-update")
    assert without_signal(stripped) == stripped


def test_a_copy_without_a_signal_stays_as_it_is() -> None:
    assert without_signal(copy_of(**PLAIN)) == copy_of(**PLAIN)
    assert without_signal({"id": "c1"})["id"] == "c1"


def test_the_copy_on_the_node_is_replaced_by_one_without_secrets(deployed: Path) -> None:
    path = deployed / "c1.json"
    path.write_text(json.dumps(copy_of(deploy_signal_transport="CFN_SIGNAL", **SECRETS, **PLAIN)), encoding="utf-8")
    other = deployed / "c2.json"
    other.write_text(json.dumps(copy_of(**SECRETS)), encoding="utf-8")
    forget_signal("c1")
    assert values(json.loads(path.read_text(encoding="utf-8"))) == {"deploy_signal_transport": "NO_SIGNAL", **PLAIN}
    assert path.stat().st_mode & 0o077 == 0
    assert values(json.loads(other.read_text(encoding="utf-8"))) == SECRETS
    assert sorted(deployed.iterdir()) == [path, other]


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"inputs": 5}', '{"inputs": [5]}'])
def test_a_copy_that_cannot_be_read_is_left_alone(deployed: Path, text: str) -> None:
    path = deployed / "c1.json"
    path.write_text(text, encoding="utf-8")
    forget_signal("c1")
    assert path.read_text(encoding="utf-8") == text
    assert list(deployed.iterdir()) == [path]


def test_a_copy_that_is_not_there_is_not_made(deployed: Path) -> None:
    forget_signal("c1")
    assert list(deployed.iterdir()) == []


@pytest.mark.parametrize("config_id", ["../c1", "sub/c1", "{absolute}", "sub/../c1", "..", ""])
def test_an_id_leads_nowhere_else(deployed: Path, config_id: str) -> None:
    text = json.dumps(copy_of(**SECRETS))
    (deployed / "sub").mkdir()
    places = [deployed.parent / "c1.json", deployed / "sub" / "c1.json", deployed / "c1.json"]
    for place in places:
        place.write_text(text, encoding="utf-8")
    forget_signal(config_id.format(absolute=deployed.parent / "c1"))
    assert [place.read_text(encoding="utf-8") for place in places] == [text] * 3
