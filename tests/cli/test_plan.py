"""What a plan says beforehand, held against what the update then comes to, with each package manager."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.rpm_repository import DATABASE
from os_update_agent.testing.scene import NOVEMBER, Scene
from os_update_agent.text.phrases import amount

AGENT = Path(__file__).parents[2] / "agent"
BULK = {"/usr/share/webapp-cache/bulk": bytes(range(256)) * 4096}


@pytest.fixture(params=["apt", "dnf"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver, request.param)


def command(scene: Scene, *argv: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "os_update_agent", "--config", str(scene.agent_conf), *argv],
        env={**os.environ, "PYTHONPATH": str(AGENT)}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def plan(scene: Scene) -> Dict[str, Any]:
    document: Dict[str, Any] = json.loads(command(scene, "plan", "--json"))
    return document


def installed_bytes(scene: Scene) -> int:
    """The sum that the package manager's own database gives."""
    if scene.backend == "apt":
        argv = ["dpkg-query", f"--admindir={scene.root}/var/lib/dpkg", "--show", "--showformat=${Installed-Size}\n"]
        return (
            sum(int(line) for line in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())
            * 1024
        )
    argv = ["rpm", f"--root={scene.root}", f"--dbpath={DATABASE}", "-qa", "--queryformat=%{longsize}\n"]
    return sum(int(line) for line in subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())


def archived_bytes(scene: Scene) -> int:
    return sum(path.stat().st_size for path in (scene.directory / "state/archive").glob("*.*") if path.is_file())


def test_a_plan_says_what_is_downloaded_and_what_it_takes(scene: Scene) -> None:
    scene.publish(*(pkg if pkg.name != "webapp-cache" else replace(pkg, files=BULK) for pkg in NOVEMBER))
    before = installed_bytes(scene)
    found = plan(scene)
    assert len(found["changes"]) == 7 and found["can_be_undone"] and not found["lost"]
    text = command(scene, "plan", "--no-refresh")
    download, disk = amount(found["download_bytes"]), amount(found["disk_bytes"])
    assert f"\ndownload: {download}; on the disk: +{disk}\n" in text and found["disk_bytes"] > 0

    assert "7 packages changed" in command(scene, "update", "--quiet", "v2")
    # The new files, and the old ones for the way back: all of them were fetched, and nothing else is there.
    assert archived_bytes(scene) == found["download_bytes"]
    # Each package counts in whole KiB.
    assert abs(installed_bytes(scene) - before - found["disk_bytes"]) <= 12 * 1024

    command(scene, "update", "--quiet", "v3")
    back = json.loads(command(scene, "plan", "v2", "--json"))
    assert back["changes"] == [] and back["download_bytes"] == 0 and back["disk_bytes"] == 0
