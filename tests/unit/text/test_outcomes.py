"""What is told: one text per kind of outcome, and in every failure what has become of the node."""

from dataclasses import replace
from typing import Any, Mapping

import pytest

from os_update_agent.heat.outcome import complaint
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.errors import AgentError, BadOption
from os_update_agent.model.node_facts import UNKNOWN, Drift, NodeFacts
from os_update_agent.model.packages import Change, HeldBack, Package
from os_update_agent.model.phases import CHANGED, NOT_UNDONE, OUT_OF_SERVICE, UNDONE
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Progress, Run
from os_update_agent.text.outcomes import (
    SHOWN_CHANGES,
    Facts,
    outcome_of_baseline,
    outcome_of_error,
    outcome_of_nothing,
    outcome_of_run,
    shown,
    when,
    with_node,
)
from os_update_agent.text.outputs import OUTPUTS

NOON = 1795435200.0
CHANGES = (
    Change(Package("app", "amd64", "1"), Package("app", "amd64", "2")),
    Change(None, Package("extra", "all", "2")),
    Change(Package("old", "amd64", "1"), None),
)
RUN = Run(
    id=7,
    key="k",
    value="v2",
    kind="update",
    phase="finished",
    started=NOON,
    finished=NOON + 60,
    log="/var/log/agent/000007.log",
    plan=Plan(CHANGES),
)
REACHED = replace(RUN, progress=Progress(CHANGED, reached=True))
FAILED = replace(RUN, failure="app: cannot bind to port 80", status=1)
FACTS = Facts(changes=CHANGES, node=NodeFacts("abc", (), (), (), restorable=True, drift=Drift()))


def run_outcome(run: Run, facts: Facts = FACTS, **changed: Any) -> Outcome:
    return outcome_of_run(replace(run, **changed), facts)


def test_an_update_tells_every_change() -> None:
    outcome = run_outcome(REACHED)
    assert outcome.status_code == 0
    assert (
        outcome.stdout == "updated to 'v2': 3 packages changed\n  app: 1 -> 2\n  extra: 2 (new)\n  old: 1 -> removed\n"
        "log on the node: /var/log/agent/000007.log\n"
    )
    assert outcome.stderr == ""
    assert outcome.outputs == {
        "changes": {"count": 3, "changes": [
            {"name": "app", "arch": "amd64", "before": "1", "after": "2", "security": False},
            {"name": "extra", "arch": "all", "before": None, "after": "2", "security": False},
            {"name": "old", "arch": "amd64", "before": "1", "after": None, "security": False},
        ]},
        "held_back": [],
        "state_digest": "abc",
        "restored_from": "",
        "restorable": True,
        "reboot_required": False,
        "services_to_restart": [],
        "drift": {"count": 0, "changes": [], "others": []},
    }  # fmt: skip


def test_a_restore_tells_when_its_state_was_reached() -> None:
    outcome = run_outcome(REACHED, kind="restore", value="v1", reached_before=NOON)
    assert outcome.stdout.startswith(
        "restored 'v1': 3 packages changed; the state reached 2026-11-23T12:00:00Z is back\n"
    )
    assert outcome.outputs["restored_from"] == "'v1', reached 2026-11-23T12:00:00Z"
    assert "left as it is" not in outcome.stdout


def test_a_restore_that_is_not_exact_says_what_it_left() -> None:
    outcome = run_outcome(REACHED, FACTS._replace(is_exact=False), kind="restore")
    assert "left as it is: what other deployments or operators have changed" in outcome.stdout


def test_a_restore_says_of_which_packages_it_compared_the_versions_alone() -> None:
    outcome = run_outcome(REACHED, FACTS._replace(unknown_builds=("app", "lib")), kind="restore")
    assert "only the versions were compared, because the recorded state has no digest of the packages: app, lib\n" in (
        outcome.stdout
    )


def test_a_restore_that_could_not_set_a_mark_says_of_which_packages() -> None:
    outcome = run_outcome(REACHED, FACTS._replace(other_marks=("app", "lib")), kind="restore", reached_before=NOON)
    assert "; the state reached 2026-11-23T12:00:00Z is back, but for the marks of app, lib\n" in outcome.stdout
    assert "left as it is" not in outcome.stdout


@pytest.mark.parametrize(("kind", "start"), [("assess", "assessed for 'v2'"), ("download", "downloaded for 'v2'")])
def test_what_only_looks_or_fetches_tells_what_would_change(kind: str, start: str) -> None:
    outcome = run_outcome(REACHED, FACTS._replace(changes=()), kind=kind, progress=Progress(reached=True))
    assert outcome.stdout.startswith(f"{start}: 3 packages would change\n  app: 1 -> 2\n")
    assert outcome.outputs["changes"]["count"] == 3


def test_one_package_is_one_package() -> None:
    assert "'v2': 1 package changed\n" in run_outcome(REACHED, Facts(changes=CHANGES[:1])).stdout
    assert "'v2': 0 packages changed\n" in run_outcome(REACHED, Facts()).stdout


def test_a_long_list_is_cut_in_the_text_and_counted() -> None:
    many = tuple(Change(None, Package(f"p{number}", "all", "1")) for number in range(SHOWN_CHANGES + 5))
    outcome = run_outcome(REACHED, Facts(changes=many))
    assert outcome.stdout.count(" (new)\n") == SHOWN_CHANGES
    assert "\n  and 5 more\n" in outcome.stdout
    assert outcome.outputs["changes"]["count"] == SHOWN_CHANGES + 5


def test_what_an_operator_has_to_know_is_told() -> None:
    drift = Drift(CHANGES[:1], ("lib: 1 installed -> 1 installed on hold",))
    node = NodeFacts(
        "abc",
        ("package linux-image asks for it",),
        ("nginx.service", "ssh.service"),
        (HeldBack("held", "on hold"),),
        restorable=False,
        drift=drift,
    )
    facts = FACTS._replace(node=node)
    outcome = run_outcome(
        REACHED,
        facts,
        plan=Plan(
            CHANGES,
            (HeldBack("held", "on hold"),),
            lost=("app:amd64 1",),
            rebuilt=("old:amd64 1",),
            removes_foreign=("old",),
            undo_refused=("apt would not go back: no",),
            undo_unchecked=("the way back could not be rehearsed",),
        ),
        notes=("an earlier interruption was repaired: app",),
    )
    for line in (
        "held back: held: on hold",
        "cannot be undone for: app:amd64 1",
        "cannot be undone: apt would not go back: no",
        "not checked: the way back could not be rehearsed",
        "kept as rebuilt packages, with any local edits in them: old:amd64 1",
        "removes packages that the agent did not install: old",
        "reboot required: package linux-image asks for it",
        "services that still run replaced code: nginx.service, ssh.service",
        "changed by others since the last result: app: 1 -> 2, lib: 1 installed -> 1 installed on hold",
    ):
        assert outcome.stdout.count(f"\n{line}\n") == 1
    assert outcome.stderr == "an earlier interruption was repaired: app\n"
    assert outcome.outputs["held_back"] == [{"name": "held", "reason": "on hold"}]
    assert outcome.outputs["restorable"] is False
    assert outcome.outputs["reboot_required"] is True
    assert outcome.outputs["services_to_restart"] == ["nginx.service", "ssh.service"]
    assert outcome.outputs["drift"] == {
        "count": 1,
        "changes": [CHANGES[0].as_json()],
        "others": ["lib: 1 installed -> 1 installed on hold"],
    }


@pytest.mark.parametrize(("changed", "fate"), [
    ({}, "nothing was changed"),
    ({"progress": Progress(service=OUT_OF_SERVICE)}, "nothing was changed"),
    ({"progress": Progress(UNDONE)}, "the {kind} was undone: the node has the packages that it had before"),
    ({"progress": Progress(CHANGED)}, "the node is left as it is (3 packages changed)"),
    ({"progress": Progress(NOT_UNDONE)}, "the {kind} could not be undone: 3 packages not as before"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["update", "restore", "download", "assess"])
def test_every_failure_says_what_happened_to_the_node(changed: Mapping[str, Any], fate: str, kind: str) -> None:
    outcome = run_outcome(FAILED, kind=kind, **changed)
    name = {"update": "update to", "restore": "restore of", "download": "download for", "assess": "assessment for"}[
        kind
    ]
    assert outcome.status_code == 1
    assert outcome.stderr.splitlines()[:2] == [
        f"{name} 'v2' failed: app: cannot bind to port 80",
        fate.format(kind=kind),
    ]
    assert "full log on the node: /var/log/agent/000007.log" in outcome.stderr


@pytest.mark.parametrize(("changed", "step"), [
    ({}, "fix the cause named above, then send the same value again"),
    ({"progress": Progress(UNDONE)}, "fix the cause named above, then send the same value again"),
    ({"failure": "tool.deb: package architecture (i386) does not match system (amd64)"},
     "run 'dpkg --add-architecture i386' on the node, then send the same value again"),
    ({"failure": "package tool-1.0-1.x86_64 does not verify: Header V4 RSA/SHA256 Signature, key ID 1f2e: NOKEY"},
     "run 'rpm --import FILE' on the node with the key that is named above, then send the same value again"),
    ({"progress": Progress(NOT_UNDONE), "departing": "v1"},
     "shows what differs, and 'rollback VALUE' tries again; VALUE is 'v1'"),
    ({"progress": Progress(NOT_UNDONE)}, "'os-update-agent status' says how it stands"),
])  # fmt: skip
def test_every_failure_ends_with_the_next_step_and_the_log(changed: Mapping[str, Any], step: str) -> None:
    *_, advice, log = run_outcome(FAILED, **changed).stderr.splitlines()
    assert advice.startswith("next: ") and advice.endswith(step)
    assert log == "full log on the node: /var/log/agent/000007.log"


def test_what_a_tool_says_with_an_empty_line_in_it_does_not_end_the_complaint() -> None:
    failed = replace(FAILED, failure="apt-get ended with exit status 100: E: one\n\n \nE: two")
    said = run_outcome(failed, FACTS._replace(log_tail="dpkg: error"), progress=Progress(UNDONE)).stderr
    assert complaint(said).splitlines()[1] == "  E: two" and complaint(said).endswith(
        "full log on the node: /var/log/agent/000007.log"
    )
    assert said.endswith("\n\ndpkg: error\n")


def test_a_failure_tells_plan_notes_and_the_end_of_the_log() -> None:
    outcome = run_outcome(
        FAILED,
        FACTS._replace(log_tail="dpkg: error"),
        notes=("the undo failed: no space",),
        progress=Progress(NOT_UNDONE),
    )
    assert outcome.stdout.startswith("update to 'v2': 3 packages planned\n  app: 1 -> 2\n")
    assert "\nthe undo failed: no space\n" in outcome.stderr
    assert outcome.stderr.endswith("\n\ndpkg: error\n")


@pytest.mark.parametrize(("changed", "stays"), [
    ({"progress": Progress(UNDONE)}, False),
    ({}, False),
    ({"progress": Progress(CHANGED)}, True),
    ({"progress": Progress(reached=True), "kind": "download"}, True),
    ({"progress": Progress(NOT_UNDONE)}, True),
])  # fmt: skip
def test_an_undone_update_does_not_say_that_it_cannot_be_undone(changed: Mapping[str, Any], stays: bool) -> None:
    plan = Plan(CHANGES, undo_refused=("apt would not go back: no",), undo_unchecked=("the scripts",))
    outcome = run_outcome(FAILED, plan=plan, **changed)
    assert ("cannot be undone: " in outcome.stdout) is stays and ("not checked: " in outcome.stdout) is stays


def test_a_failure_before_there_was_a_plan() -> None:
    outcome = run_outcome(FAILED, Facts(), plan=Plan())
    assert outcome.stdout == "update to 'v2'\n"


@pytest.mark.parametrize(("status", "told"), [(0, 1), (1, 1), (75, 75), (70, 70)])
def test_a_failure_never_has_the_status_of_a_success(status: int, told: int) -> None:
    assert run_outcome(FAILED, status=status).status_code == told
    error = AgentError("bad")
    error.exit_status = status
    assert outcome_of_error(error).status_code == told


def test_nothing_to_do_says_why() -> None:
    assert outcome_of_nothing("the node stands at this value already", "v2") == Outcome(
        0, "nothing to do for 'v2': the node stands at this value already\n"
    )
    assert outcome_of_nothing("the trigger input has no value", "").stdout == "the trigger input has no value\n"


def test_a_baseline_says_that_nothing_was_changed() -> None:
    assert outcome_of_baseline("v1", 803) == Outcome(
        0, "'v1' is the baseline: the state of 803 installed packages is recorded; nothing was changed\n"
    )


def test_a_delivery_that_does_nothing_tells_what_the_node_needs() -> None:
    facts = NodeFacts("abc", ("/run/reboot-required is there",), ("ssh.service",), (HeldBack("held", "on hold"),), True)
    outcome = with_node(outcome_of_nothing("x", "v"), facts._replace(drift=Drift(CHANGES)))
    assert outcome.stdout.splitlines()[1:] == [
        "held back: held: on hold",
        "changed by others since the last result: app: 1 -> 2, extra: 2 (new), old: 1 -> removed",
        "reboot required: /run/reboot-required is there",
        "services that still run replaced code: ssh.service",
    ]
    assert outcome.outputs["reboot_required"] is True and outcome.outputs["drift"]["count"] == 3
    assert outcome.outputs["changes"] == {"count": 0, "changes": []}


def test_an_error_tells_what_is_known_of_the_node_in_its_outputs_only() -> None:
    error = outcome_of_error(AgentError("x"))
    told = with_node(error, NodeFacts("abc", ("a new kernel",)))
    assert (told.stdout, told.stderr) == (error.stdout, error.stderr)
    assert told.outputs["reboot_required"] is True and told.outputs["state_digest"] == "abc"
    assert told.outputs["restorable"] is told.outputs["drift"] is told.outputs["held_back"] is None


def test_an_error_says_that_nothing_was_changed_and_what_to_do() -> None:
    error = BadOption("keep is 'many'; it must be a number")
    assert outcome_of_error(error) == Outcome(2, "", f"{error}; nothing was changed\nnext: {BadOption.advice}\n")


@pytest.mark.parametrize("outcome", [
    run_outcome(REACHED), run_outcome(FAILED), outcome_of_nothing("x", "v"), outcome_of_baseline("v", 1),
    outcome_of_error(AgentError("x")),
])  # fmt: skip
def test_every_outcome_has_every_output_and_no_error_output(outcome: Outcome) -> None:
    assert set(with_node(outcome, UNKNOWN).outputs) == set(OUTPUTS)


def test_a_value_is_shown_in_one_short_line() -> None:
    assert shown("a\nb\x1b[31m") == "'a\\nb\\x1b[31m'"
    assert len(shown("x" * 1_000_000)) < 100


def test_a_moment_is_shown_as_utc() -> None:
    assert (when(NOON), when(None), when(0)) == ("2026-11-23T12:00:00Z", "-", "1970-01-01T00:00:00Z")


def test_a_result_says_which_changes_are_security_updates() -> None:
    app = Change(Package("app", "amd64", "1"), Package("app", "amd64", "2"), is_security=True)
    outcome = run_outcome(REACHED, Facts(changes=(app, *CHANGES[1:])))
    assert "\n  app: 1 -> 2 [security]\n  extra: 2 (new)\n" in outcome.stdout
    assert [change["security"] for change in outcome.outputs["changes"]["changes"]] == [True, False, False]


def test_two_changes_of_one_name_are_told_apart_by_their_architecture() -> None:
    native, foreign = (
        Change(Package("libc6", arch, "2.36-9"), Package("libc6", arch, "2.36-10")) for arch in ("amd64", "i386")
    )
    outcome = run_outcome(REACHED, Facts(changes=(native, foreign)))
    assert "\n  libc6:amd64: 2.36-9 -> 2.36-10\n  libc6:i386: 2.36-9 -> 2.36-10\n" in outcome.stdout
