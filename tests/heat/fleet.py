"""Several servers at once: the real agent with real packages on each, and a light poller in place of os-collect-config.

What the chain does with a delivery is proven by the tests of one server; here it is about which server hears what, and
when.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set

from chain import install
from chain.guest import installed_tools, write
from heat.client import LOOK_SECONDS, Heat, Stack, inputs, wait_until
from heat.due import Due
from heat.lab import Lab
from os_update_agent.ledger import Ledger
from os_update_agent.testing.receiver import Receiver, Reply, Request
from os_update_agent.testing.repository import Deb, Repository, make_root
from packages.aptroot import AptRoot
from packages.services import Services

ONE = {"app": "1.0-1", "lib": "1.0-1"}
TWO = {"app": "2.0-1", "lib": "2.0-1"}
THREE = {"app": "3.0-1", "lib": "3.0-1"}

AGENT_CONF = """\
[node]
root = {root}
backend = apt
systemctl = {systemctl}
[paths]
state = {node}/state
log = {node}/log
run = {node}/run
steps = {node}/steps
collect_config = {node}/none.conf
"""


class Asked(NamedTuple):
    """A request, and when it came."""

    moment: float
    path: str


# Does what a delivery asks for and answers Heat; returns when it was done, which is before Heat knew it.
Run = Callable[[Any, Mapping[str, Any]], float]


@dataclass(frozen=True)
class Heard:
    """One delivery that a member has dealt with, from when it began until it was done. ``config`` is the deployment's
    name.
    """

    member: str
    config: str
    action: str
    value: str
    begin: float
    end: float

    def __str__(self) -> str:
        return f"{self.member}:{self.action}:{self.value}"


class Release:
    """A private root that has the first release installed, and a repository for each of three releases."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.repositories = [Repository(directory / f"release-{number}") for number in (1, 2, 3)]
        for number, repository in enumerate(self.repositories, 1):
            version = f"{number}.0-1"
            repository.add(Deb("app", version, fields={"Depends": "lib"}), Deb("lib", version))
            repository.publish()
        root = AptRoot(make_root(directory / "root", sources=[self.repositories[0].source_line()]))
        root.apt("update")
        root.apt("install", "app")


class FileServer:
    """The release's repositories over HTTP, with a log of what was asked for. ``delay`` is how many seconds each
    package takes.
    """

    def __init__(self, release: Release, delay: float = 0.0) -> None:
        self.delay = delay
        self.receiver = Receiver()
        self.root = release.directory
        self.asked: List[Asked] = []
        self.receiver.answer(self._answer)

    def __enter__(self) -> "FileServer":
        self.receiver.__enter__()
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.receiver.__exit__(None, None, None)

    def lines(self) -> List[str]:
        """For sources.list."""
        return [f"deb [trusted=yes] {self.receiver.url(f'/release-{number}/')} ./" for number in (1, 2)]

    def files(self) -> List[Asked]:
        """The requests for package files."""
        return [one for one in self.asked if one.path.endswith(".deb")]

    def _answer(self, request: Request) -> Reply:
        self.asked.append(Asked(time.time(), request.path))
        path = self.root / request.path.lstrip("/")
        time.sleep(self.delay if path.suffix == ".deb" else 0.0)
        return (200, path.read_bytes()) if path.is_file() else 404


class Member:
    """One server of a fleet, known to Heat by ``server``. It polls from its start to the end of the fleet."""

    def __init__(self, name: str, server: str, directory: Path, release: Release) -> None:
        self.name = name
        self.server = server
        self.directory = directory
        self.release = release
        self.root = directory / "root"
        shutil.copytree(release.directory / "root", self.root, symlinks=True)
        self.apt = AptRoot(self.root)
        self.services = Services(directory / "systemd", "web.service")
        self.conf = directory / "agent.conf"
        write(self.conf, AGENT_CONF.format(root=self.root, node=directory, systemctl=self.services.program))

    # --- its packages

    def use_source(self, *lines: str) -> None:
        write(self.root / "etc/apt/sources.list", "".join(f"{line}\n" for line in lines))

    def offer(self, releases: int) -> None:
        """Its sources are so many releases from now on."""
        self.use_source(*(repository.source_line() for repository in self.release.repositories[:releases]))

    def versions(self) -> Dict[str, str]:
        return self.apt.versions()

    def step(self, place: str, body: str) -> None:
        """A step of the operator, "pre-update.d/10-drain"."""
        write(self.directory / "steps" / place, f"#!/bin/sh\n{body}\n", 0o755)

    def want_reboot(self) -> None:
        write(self.root / "run/reboot-required", "*** System restart required ***\n")

    def be_ill(self, *, once: bool = False) -> None:
        """Every update, or the next one, fails its health check from now on, and is undone."""
        self.step("health.d/10-health", f"echo this server is not well >&2; {'rm $0;' if once else ''} exit 1")

    def be_well(self) -> None:
        (self.directory / "steps/health.d/10-health").unlink()

    # --- its hooks

    def update(self, deployment: Mapping[str, Any]) -> float:
        """What 55-heat-config does with a delivery of ours; the agent signals by itself."""
        begin = time.time()
        self._hook([sys.executable, str(install.CHECKOUT / "hooks/package-update")], deployment)
        ledger = Ledger(self.directory / "state/ledger.sqlite")
        ends = [run.finished for run in ledger.runs(limit=1) if run.config_id == deployment["id"]]
        ledger.close()
        return ends[0] if ends and ends[0] is not None else begin

    def run_script(self, deployment: Mapping[str, Any]) -> float:
        """The same with heat-agents' hook "script", whose result heat-config-notify sends."""
        tools = installed_tools()
        python, scripts = str(tools / "bin/python3"), install.scripts(tools)
        body = self._hook([python, str(scripts.parent / "heat-config-script/install.d/hook-script.py")], deployment)
        end = time.time()
        document = self.directory / "notify.json"
        write(document, json.dumps(deployment), 0o600)
        subprocess.run(
            [python, str(scripts / "bin/heat-config-notify"), str(document)],
            input=body,
            env=self._environment(),
            check=True,
        )
        return end

    def _hook(self, argv: Sequence[str], deployment: Mapping[str, Any]) -> bytes:
        with (self.directory / "hook.log").open("ab") as log:
            done = subprocess.run(
                argv,
                input=json.dumps(deployment).encode(),
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
            log.write(done.stdout + b"\n")
        return done.stdout

    def _environment(self) -> Dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {
            **inherited,
            "PYTHONPATH": str(install.CHECKOUT / "agent"),
            "OS_UPDATE_AGENT_CONFIG": str(self.conf),
            "HEAT_SCRIPT_WORKING": str(self.directory / "script"),
            "HEAT_SCRIPT_OUTPUTS": str(self.directory / "script-outputs"),
        }

    def tail(self) -> str:
        path = self.directory / "hook.log"
        return f"--- {self.name}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}" if path.exists() else ""


class Fleet:
    """Use as a context manager: its members are there until its end. Each asks Heat for its deployments every ``poll``
    seconds, or else when Heat waits for it. ``heard`` is what they have heard, in the order of the beginnings.
    """

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        release: Optional[Release],
        hooks: Optional[Mapping[str, Run]] = None,
        *,
        poll: Optional[float] = None,
    ) -> None:
        self.lab = lab
        self.directory = directory
        self.release = release
        self.poll = poll
        self.hooks: Mapping[str, Run] = hooks or {"package-update": Member.update, "script": Member.run_script}
        self.members: Dict[str, Member] = {}
        self._heard: List[Heard] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: List[threading.Thread] = []
        self.faults: List[str] = []
        self._at_work = 0
        self._due = Due.join(lab)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._due.leave()

    def join(self, name: str, server: str) -> Member:
        """The server is switched on: it polls from now on."""
        assert self.release is not None
        member = Member(name, server, self.directory / name, self.release)
        self.add(member)
        return member

    def add(self, member: Any) -> None:
        self.members[member.name] = member
        thread = threading.Thread(target=self._poll, args=(member,), name=member.name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join_all(self, stack: Stack, count: int) -> None:
        """The servers that the stack makes are switched on as they come; they are known by the names that it gives
        them.
        """
        seen: Set[str] = set()

        def all_are_there() -> bool:
            for server, name in deployed_servers(stack):
                if server not in seen:
                    seen.add(server)
                    self.join(name if name not in self.members else f"{name}-{len(seen)}", server)
            return len(seen) >= count

        wait_until(all_are_there, f"{count} servers of stack {stack.name}", stack.story)

    @property
    def heard(self) -> List[Heard]:
        self._come_to_rest()
        with self._lock:
            return sorted(self._heard, key=lambda one: one.begin)

    def forget(self) -> None:
        """What was heard until now."""
        self._come_to_rest()
        with self._lock:
            self._heard.clear()

    def _come_to_rest(self) -> None:
        """Whoever has answered Heat has still to end, and to be written down."""
        wait_until(lambda: not self._at_work, "the members to come to rest")

    def versions(self) -> Dict[str, Dict[str, str]]:
        return {name: member.versions() for name, member in self.members.items()}

    def story(self) -> str:
        """What was heard and said, for the message of a failed test."""
        with self._lock:
            lines = [f"{one.begin:.1f}-{one.end:.1f} {one} {one.config}" for one in self._heard]
        return "\n".join([*lines, *self.faults, *(member.tail() for member in self.members.values())])

    def _poll(self, member: Any) -> None:
        heat: Optional[Heat] = None
        seen: Set[str] = set()
        while not self._stop.wait(self.poll or LOOK_SECONDS):
            if not self.poll and self._due.of(member.server) <= seen:
                continue
            try:
                # Two threads that import parts of the client at the same moment can fail.
                heat = heat or Heat(self.lab)
                deployments = list(heat.api.software_deployments.metadata(member.server))
            except Exception as error:
                self.faults.append(f"{member.name}: {error!r}")
                continue
            for deployment in deployments:
                if deployment["id"] not in seen:
                    seen.add(deployment["id"])
                    self._work(1)
                    self._deliver(member, deployment)
                    self._work(-1)

    def _work(self, step: int) -> None:
        with self._lock:
            self._at_work += step

    def _deliver(self, member: Any, deployment: Mapping[str, Any]) -> None:
        given = inputs(deployment)
        begin = time.time()
        try:
            end = self.hooks[deployment["group"]](member, deployment)
        except Exception as error:
            self.faults.append(f"{member.name}: {error!r}")
            end = time.time()
        one = Heard(member.name, deployment["name"], given["deploy_action"], given["update_after_time"], begin, end)
        with self._lock:
            self._heard.append(one)


def peak(heard: Sequence[Heard]) -> int:
    """How many were at work at the same moment at most."""
    marks = sorted([(one.begin, 1) for one in heard] + [(one.end, -1) for one in heard])
    most = now = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def deployed_servers(stack: Stack) -> Iterator["tuple[str, str]"]:
    """Id and name of each machine in the stack and in those below it."""
    for one in stack.api.resources.list(stack.name, nested_depth=4):
        if one.resource_type == "OS::Heat::DeployedServer" and one.physical_resource_id:
            nested = next(link["href"].rsplit("/stacks/", 1)[1] for link in one.links if link["rel"] == "stack")
            with suppress(Exception):
                name = stack.api.resources.get(nested, one.resource_name).attributes["name"]
                yield one.physical_resource_id, str(name)
