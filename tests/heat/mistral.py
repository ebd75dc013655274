"""Runs the shipped workflow on a real Mistral, which updates a stack of light members on a real Heat: tests/run mistral

Each scenario is a function. It returns nothing, and fails with an AssertionError that says what differs.
"""

import http.server
import json
import resource
import sys
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, Tuple

from heat.client import wait_until
from heat.lab import HOST, Lab
from heat.light import TEMPLATES, Group, Light
from heat.mistral_service import Execution, Mistral

WORKFLOW = TEMPLATES / "update-packages.workflow.yaml"
TEMPLATE = TEMPLATES / "rolling-deployment-group.yaml"
MEMBERS = 3
# Seconds between two looks of the workflow.
PAUSE = 1
# A secret in check_url. No output may show it.
SECRET = "hush"
FIRST = "v1"


class Stage:
    """A stack of light members, one at a time, and Mistral with the workflow. All have reached ``value``."""

    def __init__(self, mistral: Mistral, group: Group) -> None:
        self.mistral = mistral
        self.group = group
        self.value = FIRST
        mistral.load(WORKFLOW)
        group.create(TEMPLATE, servers=group.servers(MEMBERS), update_after_time=FIRST)

    def begin(self, value: str, **more: object) -> Execution:
        self.group.fleet.forget()
        return self.mistral.begin("update_packages", stack=self.group.stack.name, value=value, pause=PAUSE, **more)

    @contextmanager
    def held(self, name: str) -> Iterator[Light]:
        """A member that is at work until this block ends."""
        member = self.group.members[name]
        member.go.clear()
        try:
            yield member
        finally:
            member.go.set()

    def wait_for_work(self, member: Light, execution: Execution) -> None:
        wait_until(lambda: member.at_work, f"{member.name} to be at work", execution.story)

    @contextmanager
    def cancels(self, execution: Execution) -> Iterator[None]:
        """Wait at the end of this block until the workflow's cancel has reached the server that is at work, which comes
        to its end first.
        """
        with self.group.stack.comes_to_wait(self.group.stack.underway()):
            yield
            wait_until(lambda: "cancel SUCCESS" in execution.tasks(), "the cancel", execution.story)

    def check(self, execution: Execution, state: str, value: str, *words: str) -> None:
        """Fail unless the workflow ended so, all members have the value, and the reason has the words."""
        ended = execution.wait()
        output = execution.output
        told = f"{ended} {output}\n{self.group.story()}\n{execution.story()}"
        assert ended == state, told
        assert output["status"] == ("UPDATE_COMPLETE" if state == "SUCCESS" else "ROLLBACK_COMPLETE"), told
        assert all(word in output["reason"] for word in words), f"{words}: {told}"
        assert SECRET not in json.dumps(output), told
        assert all(member.stands_at(value) for member in self.group.members.values()), told
        assert self.group.stack.status == output["status"], told
        self.value = value


def success(stage: Stage) -> None:
    """All servers reach the new value, by the commands of hooks/templates/README.rst."""
    stage.group.fleet.forget()
    openstack = stage.mistral.openstack
    given = json.dumps({"stack": stage.group.stack.name, "value": "success", "pause": PAUSE})
    made = openstack("workflow", "execution", "create", "-f", "json", "update_packages", given)
    execution = Execution(stage.mistral, str(json.loads(made)["ID"]))
    stage.check(execution, "SUCCESS", "success", "completed successfully")
    assert stage.group.heard() == [f"s{number} UPDATE success" for number in range(MEMBERS)]
    assert "SUCCESS" in openstack("workflow", "execution", "show", execution.id)
    assert "UPDATE_COMPLETE" in openstack("workflow", "execution", "output", "show", execution.id)
    assert "look" in openstack("task", "execution", "list", execution.id)


def failing_server(stage: Stage) -> None:
    """The second server fails: Heat rolls back, and the workflow says which server failed, and what its agent said."""
    stage.group.be_ill("ill", "s1")
    execution = stage.begin("ill")
    failed = stage.group.members["s1"]
    stage.check(
        execution, "ERROR", stage.value, failed.server, "s1 is ill: the update was undone", "ROLLBACK completed"
    )
    stage.group.be_ill("ill")
    # The words are where "openstack workflow execution show" has them, too.
    assert "s1 is ill" in execution.state_info


def failed_rollback(stage: Stage) -> None:
    """A server reaches neither the new value nor the old one; then the old one is given once more."""
    stage.group.members["s1"].ill = {"worse", stage.value}
    execution = stage.begin("worse")
    told = f"{execution.wait()} {execution.output}"
    assert execution.state == "ERROR" and execution.output["status"] == "ROLLBACK_FAILED", told
    # Of the update, and of the rollback.
    assert execution.output["reason"].count("s1 is ill: the update was undone") == 2, told
    stage.group.be_ill("worse")
    assert stage.group.update("UPDATE_COMPLETE", update_after_time=stage.value) == [f"s1 CREATE {stage.value}"]


def dying_check(stage: Stage) -> None:
    """The checked URL dies while the second server is at work: the workflow cancels, and Heat rolls back."""
    with Url() as url, stage.held("s1") as member:
        execution = stage.begin("check", check_url=f"{url.address}?token={SECRET}")
        stage.wait_for_work(member, execution)
        seen = url.seen
        wait_until(lambda: url.seen > seen, "another look at the URL", execution.story)
        with stage.cancels(execution):
            url.die()
    stage.check(execution, "ERROR", stage.value, "Canceled: check_url failed (no answer)")
    assert "s2 UPDATE check" not in stage.group.heard()


def failing_check(stage: Stage) -> None:
    """The checked URL answers with an error, once and then for good: the first changes nothing, the second cancels."""
    with Url() as url, stage.held("s1") as member:
        execution = stage.begin("status", check_url=url.address)
        stage.wait_for_work(member, execution)
        url.errors = 1
        wait_until(lambda: url.errors == 0, "the look at the URL", execution.story)
        seen = url.seen
        wait_until(lambda: url.seen > seen + 1, "two more looks at the URL", execution.story)
        assert not any(task.startswith("cancel") for task in execution.tasks()), execution.story()
        with stage.cancels(execution):
            url.errors = 1000
    stage.check(execution, "ERROR", stage.value, "Canceled: check_url failed (HTTP status 503)")


def too_long(stage: Stage) -> None:
    """A server takes longer than "patience": the workflow cancels."""
    with stage.held("s1") as member:
        execution = stage.begin("late", patience=12)
        stage.wait_for_work(member, execution)
        with stage.cancels(execution):
            pass
    stage.check(execution, "ERROR", stage.value, "Canceled: the update has taken more than 12 s")


def killed_engine(stage: Stage) -> None:
    """Mistral is killed while the second server is at work, between two looks and in a look, and started again."""
    with Url() as url:
        with stage.held("s1") as member:
            execution = stage.begin("killed", check_url=url.address)
            stage.wait_for_work(member, execution)
            wait_until(lambda: "look DELAYED" in execution.tasks(), "a pause", execution.story)
            _kill(stage.mistral)
            seen = url.seen
            wait_until(lambda: url.seen > seen, "the workflow to go on", execution.story)
            # The task's timeout ends what was killed with its action.
            url.hangs = True
            wait_until(lambda: url.hanging, "the workflow to look at the URL", execution.story)
            _kill(stage.mistral)
            url.hangs = False
            seen = url.seen
            wait_until(lambda: url.seen > seen, "the workflow to look again", execution.story)
        stage.check(execution, "SUCCESS", "killed")
    assert stage.group.heard() == [f"s{number} UPDATE killed" for number in range(MEMBERS)]


def killed_in_the_update(stage: Stage) -> None:
    """Mistral is killed while it gives Heat the value: after the task's timeout it looks what has become of it."""
    execution = stage.begin("request")
    wait_until(lambda: "update RUNNING" in execution.tasks(), "the request", execution.story)
    _kill(stage.mistral)
    told = f"{execution.wait()} {execution.output}"
    if stage.group.heard():
        stage.check(execution, "SUCCESS", "request")
    else:
        assert execution.state == "ERROR" and "has not taken the value" in execution.output["reason"], told


def killed_in_a_rollback(stage: Stage) -> None:
    """Mistral is killed while Heat rolls back, and started again: the workflow still knows the reason."""
    stage.group.be_ill("ill-again", "s1")
    with stage.held("s0") as first:
        execution = stage.begin("ill-again")
        stage.wait_for_work(first, execution)
        first.go.set()
        wait_until(lambda: "s0 UPDATE ill-again" in stage.group.heard(), "the first server's result", execution.story)
        # So that the rollback waits for it.
        first.go.clear()
        wait_until(lambda: "watch DELAYED" in execution.tasks(), "the rollback", execution.story)
        _kill(stage.mistral)
    stage.check(execution, "ERROR", stage.value, "s1 is ill: the update was undone")
    stage.group.be_ill("ill-again")


def cancelled_by_hand(stage: Stage) -> None:
    """An operator cancels the stack's update: the workflow waits for the rollback, and ends in ERROR."""
    with stage.held("s1") as member:
        execution = stage.begin("cancelled")
        stage.wait_for_work(member, execution)
        underway = stage.group.stack.underway()
        with stage.group.stack.comes_to_wait(underway):
            stage.mistral.openstack("stack", "cancel", stage.group.stack.name)
    stage.check(execution, "ERROR", stage.value, "Stack UPDATE cancelled")


def refused(stage: Stage) -> None:
    """There is no such stack, then no such parameter: the workflow ends in ERROR, and nothing is done."""
    execution = stage.mistral.begin("update_packages", stack="nosuch", value="x", pause=PAUSE)
    assert execution.wait() == "ERROR"
    assert "The Stack (nosuch) could not be found" in execution.output["reason"]
    execution = stage.begin("x", parameter="nosuch")
    assert execution.wait() == "ERROR"
    assert "parameter nosuch has not taken the value" in execution.output["reason"]
    assert stage.group.heard() == []


SCENARIOS: Tuple[Callable[[Stage], None], ...] = (
    success,
    failing_server,
    failed_rollback,
    dying_check,
    failing_check,
    too_long,
    killed_engine,
    killed_in_a_rollback,
    cancelled_by_hand,
    refused,
    killed_in_the_update,
)


def _kill(mistral: Mistral) -> None:
    mistral.kill()
    mistral.start()


class Url:
    """A URL of this machine that the workflow looks at. Use as a context manager.

    Attributes:
        seen: How many requests came.
        errors: So many requests get the status 503.
        hangs: Requests wait until it is False again, or the server ends.
        hanging: A request waits.
    """

    def __init__(self) -> None:
        self.seen = self.errors = 0
        self.hangs = self.hanging = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen += 1
                end = time.monotonic() + 30
                while outer.hangs and time.monotonic() < end:
                    outer.hanging = True
                    time.sleep(0.1)
                status = 503 if outer.errors else 200
                outer.errors -= outer.errors > 0
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.address = f"http://{HOST}:{self._server.server_address[1]}/health"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Url":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs = False
        self.die()

    def die(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@contextmanager
def stage_in(lab: Lab) -> Iterator[Stage]:
    with Group(lab, "mistral") as group:
        yield Stage(Mistral(lab), group)


def main() -> None:
    """Run the scenarios that are named, or all."""
    by_name: Dict[str, Callable[[Stage], None]] = {one.__name__: one for one in SCENARIOS}
    chosen = [by_name[name] for name in sys.argv[1:]] or list(SCENARIOS)
    right = 0
    with ExitStack() as entered:
        directory = Path(entered.enter_context(tempfile.TemporaryDirectory(prefix="mistral-")))
        stage = entered.enter_context(stage_in(entered.enter_context(Lab(directory, pacing="0.1"))))
        for scenario in chosen:
            begin = time.monotonic()
            try:
                scenario(stage)
            except Exception:
                traceback.print_exc()
                print(f"WRONG  {scenario.__name__}", flush=True)
            else:
                right += 1
                print(f"right  {scenario.__name__} ({time.monotonic() - begin:.0f} s)", flush=True)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    print(f"{len(chosen)} scenarios, {right} right; {seconds:.0f} s of processor time")
    sys.exit(right != len(chosen))


if __name__ == "__main__":
    main()
