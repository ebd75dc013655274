"""The whole line over dnf 4: the command by hand, from a value to a package state and back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

from os_update_agent.demo.rpm_repository import Rpm
from packages.test_dnf_backend import VERSIONS_TWO, World, release, two, world
from packages.test_dnf_interrupted import WAIT, wait_until, workers

__all__ = ["release", "two", "world"]

AGENT = Path(__file__).parents[2] / "agent"


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


def test_a_failed_update_is_undone_and_says_why(two: World) -> None:
    one = two.state()
    two.offer(Rpm("tool", "3.0", scripts={"post": 'error("cannot migrate")'}))
    said = done(agent(two, "update", "v2"), 1)
    assert "cannot migrate" in said and "the node has the packages that it had before" in said
    assert two.state().digest == one.digest
    assert two.is_sound()


def test_a_dnf_that_was_killed_under_the_agent_is_completed_and_undone(two: World) -> None:
    one = two.state()
    two.offer(Rpm("tool", "3.0", scripts={"post": WAIT}))
    process = agent(two, "update", "v2")
    wait_until(lambda: (two.root / "run/waits").exists(), "the scriptlet")
    for pid in workers(two):
        os.kill(pid, signal.SIGKILL)
    (two.root / "run/go").touch()
    said = done(process, 1)
    assert "dnf ended with exit status -9" in said and "the node has the packages that it had before" in said
    assert two.state().digest == one.digest
    assert two.is_sound()
    assert not two.backend().interrupted()
    done(agent(two, "update", "v2"))
    assert two.versions()["tool"] == "3.0-1"


def test_a_plan_changes_nothing(two: World) -> None:
    one = two.state()
    document = told(two, "plan")
    assert {change["name"] for change in document["changes"]} >= {"app", "kernel", "oldname"}
    assert two.state() == one
