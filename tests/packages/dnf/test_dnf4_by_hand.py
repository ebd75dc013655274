"""The whole line over dnf 4: the command by hand, from a value to a package state and back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

from packages.dnf.world import VERSIONS_TWO, World

AGENT = Path(__file__).parents[3] / "agent"


def agent(world: World, *arguments: str) -> "subprocess.Popen[str]":
    base = world.directory
    conf = base / "agent.conf"
    conf.write_text(
        f"[node]\nroot = {world.root}\nbackend = dnf\n"
        f"[paths]\nstate = {base}/state\nlog = {base}/logs\nrun = {base}/run\nsteps = {base}/steps\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(AGENT), "OS_UPDATE_AGENT_CONFIG": str(conf)}
    argv = [sys.executable, "-m", "os_update_agent", *arguments]
    return subprocess.Popen(argv, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def done(process: "subprocess.Popen[str]", status: int = 0) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, out + err
    return out + err


def told(world: World, *arguments: str) -> Dict[str, Any]:
    answer = json.loads(done(agent(world, *arguments, "--json")))
    assert isinstance(answer, dict)
    return answer


def test_there_and_back_by_hand(two: World) -> None:
    first = done(agent(two, "update", "v1", "--exclude", "*"))
    assert "v1" in first
    one = two.state()
    done(agent(two, "update", "v2"))
    assert two.versions() == VERSIONS_TWO
    back = done(agent(two, "rollback", "v1"))
    assert "oldname: 1.0-1 (new)" in back and "epochy: 1:1.0-1 -> 9.0-1" in back
    assert two.state().digest == one.digest
    assert two.is_sound()


def test_a_plan_changes_nothing(two: World) -> None:
    one = two.state()
    document = told(two, "plan")
    assert {change["name"] for change in document["changes"]} >= {"app", "kernel", "oldname"}
    assert two.state() == one
