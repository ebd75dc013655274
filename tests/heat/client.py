"""The operator's hand on Heat: stacks as the openstack command makes, updates and cancels them, and what they say of
themselves.
"""

import re
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set

from heatclient import exc
from heatclient.client import Client
from heatclient.common import template_utils
from keystoneauth1 import session
from keystoneauth1.identity import v3

from heat.lab import PATIENCE, Lab

LOOK_SECONDS = 0.5


class Heat:
    """Heat as the user demo of the lab sees it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.api = Client(
            "1", session=session.Session(auth=login(lab)), service_type="orchestration", region_name="RegionOne"
        )

    def create(
        self,
        name: str,
        template: str,
        /,
        *,
        environments: Sequence[str] = (),
        rollback: bool = False,
        timeout: Optional[int] = None,
        wait: bool = True,
        **parameters: Any,
    ) -> "Stack":
        """Like ``openstack stack create -t TEMPLATE -e ENVIRONMENT``. ``timeout`` is in minutes. Fails unless it
        becomes complete.
        """
        files, content = template_utils.get_template_contents(template)
        more, environment = template_utils.process_multiple_environments_and_files(list(environments))
        self.api.stacks.create(
            stack_name=name,
            template=content,
            files={**files, **more},
            environment=environment,
            parameters=parameters,
            disable_rollback=not rollback,
            **({"timeout_mins": timeout} if timeout else {}),
        )
        stack = Stack(self, name)
        if wait:
            stack.wait_for("CREATE_COMPLETE")
        return stack


class Stack:
    def __init__(self, heat: Heat, name: str) -> None:
        self.heat = heat
        self.api = heat.api
        self.name = name
        # With the id, once it is known: Heat redirects whoever asks by the name alone.
        self._address = name

    @property
    def status(self) -> str:
        found = self.api.stacks.get(self._address, resolve_outputs=False)
        self._address = f"{found.stack_name}/{found.id}"
        return str(found.stack_status)

    @property
    def id(self) -> str:
        return str(self.api.stacks.get(self.name, resolve_outputs=False).id)

    @property
    def reason(self) -> str:
        """Why it has this status: what ``openstack stack show`` says."""
        return str(self.api.stacks.get(self.name, resolve_outputs=False).stack_status_reason)

    def update(self, *, rollback: Optional[bool] = None, timeout: Optional[int] = None, **parameters: Any) -> None:
        """Like ``openstack stack update --existing --parameter ...``, without waiting."""
        more: Dict[str, Any] = {} if rollback is None else {"disable_rollback": not rollback}
        more.update({"timeout_mins": timeout} if timeout else {})
        self.api.stacks.update(stack_id=self.name, existing=True, parameters=parameters, **more)

    def cancel(self, *, rollback: bool = True) -> None:
        """Like ``openstack stack cancel``; without rollback like ``--no-rollback``."""
        actions = self.api.actions
        (actions.cancel_update if rollback else actions.cancel_without_rollback)(self.name)

    def underway(self) -> Set[str]:
        """The ids of the stacks below this one that are in progress."""
        stacks = list(self.api.stacks.list(show_nested=True))
        below = {self.id}
        found: Set[str] = set()
        while True:
            new = {str(one.id): str(one.stack_status) for one in stacks if one.parent in below and one.id not in below}
            if not new:
                return found
            below.update(new)
            found.update(id for id, status in new.items() if status.endswith("IN_PROGRESS"))

    @contextmanager
    def comes_to_wait(self, underway: Set[str]) -> Iterator[None]:
        """Begin something in this block, a rollback say: it ends when that waits for the servers of the stacks that are
        ``underway`` (their ids), each of which holds a deployment that its server is at.

        A server that answers sooner may wake Heat twice. Two workers then run the same resource; the second puts the
        template before into its row again, and Heat cannot delete that template and fails the stack. Or Heat takes its
        rollback for what is to be cancelled. No status tells when it is over, only the engine's log.
        """
        log = self.heat.lab.engine_log
        before = log.stat().st_size

        def do_wait() -> bool:
            with log.open("rb") as said:
                said.seek(before)
                lines = said.read().decode(errors="replace")
            return all(_has_come_to_wait(lines, one) for one in underway)

        yield
        wait_until(do_wait, f"stack {self.name} to wait for the servers of {underway}", self.story)

    def wait_until_cancelled(self, underway: Set[str]) -> None:
        """Wait until a cancel has reached the stacks that were ``underway`` when it came."""

        def have_heard() -> bool:
            events = self.api.events.list(self.name, nested_depth=4)
            return underway <= {
                one.physical_resource_id for one in events if one.resource_status_reason == "Stack UPDATE cancelled"
            }

        wait_until(have_heard, f"the cancel of stack {self.name} to reach {underway}", self.story)

    def wait_for(self, *statuses: str, patience: float = PATIENCE) -> str:
        """Wait until the stack is no longer in progress, or has one of these statuses; fails when it ends with another
        one.

        Just before a rollback begins Heat says UPDATE_FAILED for a moment: that is no end for who waits for a rollback.
        """
        underway = ("UPDATE_FAILED",) if any(status.startswith("ROLLBACK") for status in statuses) else ()

        def has_ended() -> bool:
            status = self.status
            return status in statuses or not (status.endswith("IN_PROGRESS") or status in underway)

        wait_until(has_ended, f"stack {self.name} to become {' or '.join(statuses)}", self.story, patience)
        status = self.status
        assert status in statuses, f"stack {self.name} became {status}, not {' or '.join(statuses)}\n{self.story()}"
        return status

    def wait_for_output(self, name: str) -> Any:
        """A server's credentials are there before the stack is complete, which waits for that server."""
        wait_until(lambda: self.output(name), f"the output {name} of stack {self.name}", self.story)
        return self.output(name)

    def output(self, name: str) -> Any:
        return self.api.stacks.output_show(self.name, name)["output"]["output_value"]

    def resource(self, name: str) -> Any:
        return self.api.resources.get(self.name, name)

    def deployments(self, server: str) -> List[Dict[str, Any]]:
        """What Heat's metadata list for the server, by its id, as its guest gets them."""
        return list(self.api.software_deployments.metadata(server))

    def delete(self) -> None:
        try:
            self.api.stacks.delete(self.name)
        except exc.HTTPNotFound:
            return
        wait_until(self._is_gone, f"stack {self.name} to go", self.story)

    def _is_gone(self) -> bool:
        """By its name: until Heat does not know that, no other stack can have it."""
        try:
            self.api.stacks.get(self.name, resolve_outputs=False)
        except exc.HTTPNotFound:
            return True
        return False

    def story(self) -> str:
        """What has happened, for the message of a failed test."""
        events = self.api.events.list(self.name, nested_depth=4, sort_dir="asc")
        return "\n".join(
            f"{one.event_time} {one.resource_name} {one.resource_status}: {one.resource_status_reason}"
            for one in events
        )


def inputs(deployment: Mapping[str, Any]) -> Dict[str, Any]:
    """The inputs of a delivery by name."""
    return {entry["name"]: entry.get("value") for entry in deployment["inputs"]}


def wait_until(
    is_so: Callable[[], object], what: str, story: Callable[[], str] = str, patience: float = PATIENCE
) -> None:
    """Wait for a condition that Heat or a node brings about. ``story`` tells, when it does not come, what has come
    instead.
    """
    end = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < end, f"waited {patience:g} s for {what}\n{story()}"
        time.sleep(LOOK_SECONDS)


def _has_come_to_wait(log: str, stack: str) -> bool:
    """Whether a traversal of the stack has found a resource locked by the traversal before it, and has left it to that
    one to go on.
    """
    requests = set(re.findall(rf"\[(req-\S+ req-\S+) .*\[{stack}\] is locked or does not exist", log))
    return any(re.search(rf"\[{one} .*Waiting for existing update to unlock", log) for one in requests)


def login(lab: Lab, name: str = "demo") -> Any:
    """Return keystone's credentials of a user whose project has the same name."""
    return v3.Password(
        lab.keystone_url,
        username=name,
        password="secret",
        project_name=name,
        user_domain_id="default",
        project_domain_id="default",
    )
