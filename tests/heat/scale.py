"""How long a fleet takes on a real Heat with its own pacing, with simulated servers: python -m heat.scale [SERVERS]
[SCENE ...]

A simulated server polls every 2 s, works for 1 s and signals with the agent's own code over HEAT_SIGNAL. Not a test: it
takes minutes, and asserts nothing but that the stacks become complete. The figures are for hooks/templates/README.rst.
The scene "serial" has four real servers with a slow repository: how long the serial part takes with and without
prefetch.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping

from heat.client import Heat
from heat.fleet import FileServer, Fleet, Release, peak
from heat.lab import Lab
from os_update_agent.heat.deployment import parse
from os_update_agent.heat.outcome import encode
from os_update_agent.heat.signal import send
from os_update_agent.heat.signal_answers import DELIVERED
from os_update_agent.model.deliveries import Outcome

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE.parents[1] / "hooks/templates"
WORK_SECONDS = 1.0
POLL_SECONDS = 2.0
TRIES = 10
PATIENCE = 3000.0
SCENES: Mapping[str, Mapping[str, Any]] = {
    "group-1": {"template": "rolling-deployment-group.yaml", "batch": 1},
    "group-5": {"template": "rolling-deployment-group.yaml", "batch": 5},
    "chain": {"template": "one-by-one.yaml"},
}
SERIAL_SCENE = "serial"
SERIAL = ("rolling-deployment-group.yaml", "prefetch-then-roll.yaml")
SLOW_SECONDS = 5.0


@dataclass
class Simulated:
    name: str
    server: str
    signals: int = 0
    retries: int = 0

    def work(self, deployment: Mapping[str, Any]) -> float:
        asked = parse(json.dumps(deployment))
        time.sleep(WORK_SECONDS)
        end = time.time()
        body = encode(Outcome(0, f"{self.name} is done\n"), asked.outputs)
        for attempt in range(TRIES):
            self.signals += 1
            self.retries += attempt > 0
            if send(asked.signal, body).verdict == DELIVERED:
                break
            time.sleep(1.0)
        return end


def measure(lab: Lab, servers: Mapping[str, str], name: str, *, template: str, **parameters: Any) -> List[str]:
    """One line of the table: create, update, back by a new update with the old value."""
    heat = Heat(lab)
    with Fleet(lab, lab.directory, None, {"package-update": Simulated.work}, poll=POLL_SECONDS) as fleet:
        for one, server in servers.items():
            fleet.add(Simulated(one, server))
        ids = ",".join(servers.values()) if template.startswith("one-by-one") else servers
        environment = [str(TEMPLATES / "environment.yaml")]
        given: Dict[str, Any] = {"servers": ids, "update_after_time": "v1", **parameters}
        took = []
        begin = time.monotonic()
        stack = heat.create(name, str(TEMPLATES / template), environments=environment, wait=False, timeout=60, **given)
        stack.wait_for("CREATE_COMPLETE", patience=PATIENCE)
        took.append(time.monotonic() - begin)
        fleet.forget()
        begin = time.monotonic()
        stack.update(update_after_time="v2", timeout=60)
        stack.wait_for("UPDATE_COMPLETE", patience=PATIENCE)
        took.append(time.monotonic() - begin)
        most = peak(fleet.heard)
        members = list(fleet.members.values())
    stack.delete()
    signals, retries = (sum(getattr(member, what) for member in members) for what in ("signals", "retries"))
    return [
        name,
        str(len(servers)),
        *(f"{seconds:.0f}" for seconds in took),
        str(most),
        str(signals),
        str(retries),
        str(len(fleet.faults)),
    ]


def serial(lab: Lab, directory: Path, template: str) -> float:
    """Seconds from the first server's update to the end of the last one's, with the real agent and a slow
    repository.
    """
    heat = Heat(lab)
    release = Release(directory / "release")
    with Fleet(lab, directory, release, poll=POLL_SECONDS) as fleet, FileServer(release, SLOW_SECONDS) as served:
        made = heat.create(f"{directory.name}-servers", str(HERE / "templates/servers.yaml"), count=4)
        servers = {f"server{number}": server for number, server in enumerate(made.output("servers"))}
        for name, server in servers.items():
            fleet.join(name, server).use_source(*served.lines())
        environment = [str(TEMPLATES / "environment.yaml")]
        stack = heat.create(
            directory.name, str(TEMPLATES / template), environments=environment, servers=servers, update_after_time="v1"
        )
        fleet.forget()
        stack.update(update_after_time="v2")
        stack.wait_for("UPDATE_COMPLETE", patience=PATIENCE)
        updates = [one for one in fleet.heard if one.config == "90-package-update"]
    for one in (stack, made):
        one.delete()
    return max(one.end for one in updates) - min(one.begin for one in updates)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    wanted = sys.argv[2:] or [*SCENES, SERIAL_SCENE]
    print("scene        servers  create s  update s  at once  signals  retries  poll faults", flush=True)
    with tempfile.TemporaryDirectory(prefix="heat-scale-") as directory, Lab(Path(directory)) as lab:
        for template in SERIAL if SERIAL_SCENE in wanted else ():
            print(
                f"{template}: {serial(lab, Path(directory) / template.partition('.')[0], template):.0f} s serial",
                flush=True,
            )
        made = Heat(lab).create("servers", str(HERE / "templates/servers.yaml"), count=count)
        servers = {f"server{number:02d}": server for number, server in enumerate(made.output("servers"))}
        for name in [one for one in wanted if one in SCENES]:
            row = measure(lab, servers, name, **SCENES[name])
            print("{:<12} {:>7}  {:>8}  {:>8}  {:>7}  {:>7}  {:>7}  {:>11}".format(*row), flush=True)


if __name__ == "__main__":
    main()
