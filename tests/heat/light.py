"""A light member of a fleet: a model of the agent's table, with a value in place of packages, and the agent's own
signal.

It shows what Heat does to the members of a group; the real agent does the same with packages in the tests beside it.
"""

import json
import re
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Set

import yaml

from heat.client import Heat, Stack
from heat.fleet import Fleet
from heat.lab import Lab
from os_update_agent.decision.timestamps import is_older_than_all
from os_update_agent.heat.deployment import parse
from os_update_agent.heat.outcome import encode
from os_update_agent.heat.signal import send
from os_update_agent.heat.signal_answers import DELIVERED, NEVER
from os_update_agent.model.deliveries import Outcome

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE.parents[1] / "hooks/templates"
SERVERS = HERE / "templates/servers.yaml"
ENVIRONMENTS = ("environment.yaml", "environment-deployed-servers.yaml")
BEFORE = "(before the first value)"
TRIES = 20
RETRY_SECONDS = 0.5
PATIENCE = 300.0


def with_places(count: int, directory: Path) -> Path:
    """Copy the templates with so many places and not 20. Return the directory.

    Each place costs Heat processor time, most of all in the updates that exchange members.
    """
    shutil.copytree(TEMPLATES, directory, dirs_exist_ok=True)
    for name in ("package-update-places.yaml", "package-update-stamps.yaml"):
        path = directory / name
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(_without_places(content, count), sort_keys=False), encoding="utf-8")
    return directory


def _without_places(content: Any, count: int) -> Any:
    """Return the content without what is called by the number of a place above ``count``."""

    def belongs(found: Any) -> bool:
        """Of a key, and of a part of an output, which is a list or a map with one key."""
        numbers = re.findall(r"\b(?:place|stamp|has)_(\d\d)\b", found if isinstance(found, str) else json.dumps(found))
        return all(int(number) <= count for number in numbers)

    if isinstance(content, dict):
        return {key: _without_places(value, count) for key, value in content.items() if belongs(key)}
    if isinstance(content, list):
        return [_without_places(part, count) for part in content if isinstance(part, (str, int)) or belongs(part)]
    return content


class Light:
    """One server. ``packages`` is the value to which its packages were updated last, BEFORE that ``BEFORE``.

    Attributes:
        ill: Values whose delivery fails; it undoes what it has begun.
        value: The value with whose success it has answered last, for each deployment's name.
        wants_reboot: The output reboot_required, which every result repeats.
    """

    def __init__(self, name: str, server: str, *, work_seconds: float = 0.1) -> None:
        self.name = name
        self.server = server
        self.work_seconds = work_seconds
        self.ill: Set[str] = set()
        self.packages = BEFORE
        self.value: Dict[str, str] = {}
        self.wants_reboot = False
        self.at_work = False
        self.faults: List[str] = []
        self._states: Dict[str, Dict[str, str]] = {}
        # Set: it answers at once. Cleared: it is at work until it is let go.
        self.go = threading.Event()
        self.go.set()

    def work(self, deployment: Mapping[str, Any]) -> float:
        """Do what the table of law 1 says, and answer. Return when it was done."""
        asked = parse(json.dumps(deployment))
        options: Mapping[str, Any] = asked.options
        key = str(options.get("state_key") or asked.key)
        value = str(asked.inputs["update_after_time"])
        self.at_work = True
        time.sleep(self.work_seconds)
        self.go.wait(300)
        self.at_work = False
        outcome = self._deliver(key, asked.action, value, str(options.get("on_create", "baseline")))
        if outcome.status_code == 0:
            self.value[asked.name] = value
        end = time.time()
        body = encode(outcome, asked.outputs)
        for _ in range(TRIES):
            verdict = send(asked.signal, body).verdict
            if verdict == DELIVERED:
                return end
            if verdict == NEVER:
                break
            time.sleep(RETRY_SECONDS)
        self.faults.append(f"{self.name}: the result of {asked.action} {value} was not accepted")
        return end

    def stands_at(self, value: str, name: str = "90-package-update") -> bool:
        """Return whether it has answered that it is at the value, and has the packages that it recorded for it."""
        recorded = [states[value] for states in self._states.values() if value in states]
        return self.value.get(name) == value and all(packages == self.packages for packages in recorded)

    def _deliver(self, key: str, action: str, value: str, on_create: str) -> Outcome:
        if action not in ("CREATE", "UPDATE"):
            return self._done(f"packages are not touched on {action}")
        first = key not in self._states
        if value in self.ill:
            failure = f"{self.name} is ill: the update was undone\n"
            return Outcome(1, "", failure, {"reboot_required": self.wants_reboot, "failure": failure})
        states = self._states.setdefault(key, {})
        if first and action == "CREATE" and on_create == "baseline":
            did = "the baseline"
        elif value in states:
            did = "restored" if self.packages != states[value] else "nothing"
            self.packages = states[value]
            # Values after the one that is restored count as new again.
            for later in list(states)[list(states).index(value) + 1 :]:
                del states[later]
        elif states and is_older_than_all(value, list(states)[:1]):
            return self._done("older than the baseline: nothing")
        else:
            did, self.packages = "updated", value
        states[value] = self.packages
        return self._done(did)

    def _done(self, did: str) -> Outcome:
        outputs = {"reboot_required": self.wants_reboot, "state_digest": self.packages, "changes": {"did": did}}
        return Outcome(0, f"{self.name}: {did}\n", "", outputs)


class Group:
    """A stack of a shipped template with light members. Use as a context manager.

    Attributes:
        templates: The directory of the shipped templates, or of a copy with fewer places.
    """

    def __init__(self, lab: Lab, name: str, templates: Path = TEMPLATES) -> None:
        self.templates = templates
        self.heat = Heat(lab)
        self.name = f"{name}-{uuid.uuid4().hex[:6]}"
        self.fleet = Fleet(lab, lab.directory, None, {"package-update": Light.work})
        self.stacks: List[Stack] = []
        self.stack: Stack

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.go.set()
        try:
            for stack in reversed(self.stacks):
                stack.delete()
        finally:
            self.fleet.__exit__()

    @property
    def members(self) -> Mapping[str, Light]:
        members: Any = self.fleet.members
        return dict(members)

    def servers(self, count: int) -> Dict[str, str]:
        """Machines of a stack of their own, which poll: their ids by their names, s0, s1 ..."""
        made = self.heat.create(f"{self.name}-servers", str(SERVERS), count=count)
        self.stacks.append(made)
        servers = {f"s{number}": server for number, server in enumerate(made.output("servers"))}
        for name, server in servers.items():
            self.fleet.add(Light(name, server))
        return servers

    def create(
        self, template: Path, *, environment_of: Optional[Path] = None, wait: bool = True, **parameters: Any
    ) -> None:
        environments = [str((environment_of or template.parent) / name) for name in ENVIRONMENTS]
        self.stack = self.heat.create(self.name, str(template), environments=environments, wait=False, **parameters)
        self.stacks.append(self.stack)
        if wait:
            self.wait_for("CREATE_COMPLETE")

    def update(self, status: str, *, rollback: bool = False, **parameters: Any) -> List[str]:
        """Give the stack these parameters and wait for its end. Return what was heard: "s0 CREATE v1"."""
        self.fleet.forget()
        self.stack.update(rollback=rollback, **parameters)
        self.wait_for(status)
        return self.heard()

    def wait_for(self, status: str) -> None:
        try:
            self.stack.wait_for(status, patience=PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def heard(self) -> List[str]:
        return [f"{one.member} {one.action} {one.value}" for one in self.fleet.heard]

    def be_ill(self, value: str, *names: str) -> None:
        """The members with these names cannot reach the value from now on; all others can reach every value."""
        for member in self.members.values():
            member.ill = {value} if member.name in names else set()

    def story(self) -> str:
        faults = [fault for member in self.members.values() for fault in member.faults]
        return "\n".join([*self.heard(), *faults, *self.fleet.faults])
