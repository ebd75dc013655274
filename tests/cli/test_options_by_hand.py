"""The options of a run by hand after deliveries of Heat and changes of agent.conf, on a real node."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest

from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.scene import FIRST, NOVEMBER, SECOND, Scene

AGENT = Path(__file__).parents[2] / "agent"


class Node:
    """A scene, its agent.conf, and the command as an operator gives it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._settings = scene.agent_conf.read_text(encoding="utf-8")

    def configure(self, **defaults: str) -> None:
        lines = "".join(f"{name} = {text}\n" for name, text in defaults.items())
        self.scene.agent_conf.write_text(f"{self._settings}[defaults]\n{lines}", encoding="utf-8")

    def command(self, *argv: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "os_update_agent", "--config", str(self.scene.agent_conf), *argv],
            env={**os.environ, "PYTHONPATH": str(AGENT)}, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip

    def plan(self, *argv: str) -> Dict[str, Any]:
        found: Dict[str, Any] = json.loads(self.command("plan", "--json", "--quiet", "--no-refresh", *argv))
        return found

    def planned(self, *argv: str) -> Tuple[str, ...]:
        return tuple(sorted(change["name"] for change in self.plan(*argv)["changes"]))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Receiver() as receiver:
        scene = Scene(tmp_path, receiver)
        scene.deliver("CREATE", FIRST)
        scene.publish(*NOVEMBER)
        node = Node(scene)
        node.command("plan", "--quiet")  # refreshes the index for those that follow
        yield node


def test_agent_conf_counts_as_it_is_now(node: Node) -> None:
    """The delivery gave no option itself: what agent.conf said at that time is history."""
    assert len(node.planned()) == 7
    node.configure(select="security")
    assert node.planned() == ()
    assert "0 packages changed" in node.command("update", "--quiet", "by-hand")
    node.configure(exclude="clock, metrics")
    assert node.planned() == ("libweb", "webapp", "webapp-cache")
    node.scene.deliver("UPDATE", SECOND)
    # The delivery has stored a policy without the clock.
    node.configure(operation="assess")
    assert node.planned() == ("clock", "metrics", "metrics-old", "monitor")
    (known,) = json.loads(node.command("status", "--json"))["keys"]
    assert (known["if_it_came"][-1]["value"], known["if_it_came"][-1]["do"]) == (None, "assess")


def test_a_plan_shows_the_source_of_each_option(node: Node) -> None:
    node.configure(archive="off", keep="8", on_failure="keep")
    node.scene.deliver("UPDATE", SECOND, exclude="clock", archive="required", on_failure="restore", operation="assess")
    node.configure(archive="off", keep="9", on_failure="keep", select="security")
    argv = ("-v", "--no-refresh", "--quiet", "--select", "all", "--set", "removals=refuse", "--set", "operation=update")
    shown = node.command("plan", *argv).partition("\noptions:\n")[2].splitlines()
    delivery = f"the last delivery, value '{SECOND}'"
    assert shown[:10] == [
        "  operation = update  (the command line)",
        "  select = all  (the command line)",
        "  packages = all  (default)",
        f"  exclude = clock  ({delivery})",
        "  removals = refuse  (the command line)",
        "  config_files = keep  (default)",
        "  etc_files = report  (default)",
        f"  archive = required  ({delivery})",
        "  keep = 9  (agent.conf)",
        "  forget_after = none  (default)",
    ]
    assert "  restore = changes  (default)" in shown and f"  on_failure = restore  ({delivery})" in shown
    assert "  lock_timeout = 600  (default)" in shown and len(shown) == 20
    assert "\noptions:\n" not in node.command("plan", "--no-refresh", "--quiet")
    # The same before the verb, for a way back, and where nothing would be done.
    for more in ((), (FIRST,)):
        assert f"\n  exclude = clock  ({delivery})\n" in node.command("-v", "plan", "--no-refresh", "--quiet", *more)

    options = node.plan()["options"]
    assert options["operation"] == {"value": "assess", "origin": "the last delivery", "delivered_value": SECOND}
    assert options["exclude"] == {"value": ["clock"], "origin": "the last delivery", "delivered_value": SECOND}
    assert options["select"] == {"value": "security", "origin": "agent.conf", "delivered_value": None}
    assert options["deadline"] == {"value": None, "origin": "default", "delivered_value": None}
    assert node.plan("--exclude", "web*")["options"]["exclude"] == {
        "value": ["web*"],
        "origin": "the command line",
        "delivered_value": None,
    }


def test_each_key_has_the_options_of_its_own_last_delivery(node: Node) -> None:
    node.scene.deliver("CREATE", FIRST, state_key="clock", packages="clock", keep="2")
    node.scene.deliver("CREATE", FIRST, state_key="web", exclude="clock, metrics")
    node.configure(exclude="monitor", keep="7")
    assert node.planned("--key", "clock") == ("clock",)
    assert node.planned("--key", "web") == ("libweb", "webapp", "webapp-cache")
    assert node.planned("--key", "new") == ("clock", "libweb", "webapp", "webapp-cache")
    origins = {key: node.plan("--key", key)["options"] for key in ("clock", "web", "new")}
    assert {key: (one["exclude"]["origin"], one["keep"]["value"]) for key, one in origins.items()} == {
        "clock": ("agent.conf", 2),
        "web": ("the last delivery", 7),
        "new": ("agent.conf", 7),
    }
    assert "1 package changed" in node.command("update", "--quiet", "--key", "clock", "v2")
    # A run by hand is no delivery: its options do not count for the next one.
    node.command("update", "--quiet", "--key", "web", "v2", "--exclude", "*", "--set", "keep=1")
    assert node.plan("--key", "web")["options"]["exclude"]["value"] == ["clock", "metrics"]
