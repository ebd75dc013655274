"""Ended in the middle of a transaction: everything at once, as when the power fails, or the package manager alone; then
on, or back.
"""

import signal
from typing import Iterator

import pytest

from packages.node import Node, wait_until
from packages.scene import VERSIONS_ONE, VERSIONS_TWO, Pkg, version_file

NEW = Pkg("tool", "2.0", files=version_file("tool", "2"), waits=True)
VERSIONS_NEW = {**VERSIONS_TWO, "tool": "2.0-1"}


@pytest.fixture
def stuck(based: Node) -> Iterator[Node]:
    """Release two is offered, and its tool waits for us in the middle of the transaction."""
    based.hand.add(NEW)
    based.offer_two()
    yield based
    based.hand.let_go()


def test_what_was_cut_off_goes_on_and_ends_well(stuck: Node) -> None:
    one, tree = stuck.packages(), stuck.tree()
    stuck.cut_off("UPDATE", "v2")
    assert stuck.packages() != one
    stuck.succeed("CREATE", "v2")
    assert stuck.versions() == VERSIONS_NEW
    assert stuck.hand.faults() == ""
    assert "extra" in stuck.hand.auto()
    stuck.succeed("UPDATE", "v1")
    assert stuck.packages() == one
    assert stuck.tree() == tree
    assert stuck.hand.faults() == ""


def test_what_was_cut_off_goes_back_exactly(stuck: Node) -> None:
    one, tree = stuck.packages(), stuck.tree()
    digest = stuck.recorded("v1").digest
    stuck.cut_off("UPDATE", "v2")
    back = stuck.succeed("UPDATE", "v1")
    assert back.body["state_digest"] == digest
    assert stuck.packages() == one
    assert stuck.tree() == tree
    assert stuck.versions() == VERSIONS_ONE
    assert stuck.text("usr/share/tool") == "1\n"
    assert stuck.hand.faults() == ""


def test_a_complaint_that_only_the_log_heard_is_a_failure_all_the_same(based: Node) -> None:
    """The agent alone is killed; its package manager goes on, and a script of it fails."""
    one = based.packages()
    based.hand.add(Pkg("tool", "2.0", waits=True, fails="broken here"))
    based.offer_two()
    deployment = based.deployment("UPDATE", "v2")
    running = based.start_with(deployment)
    try:
        wait_until(based.hand.is_waiting, "the script")
        based.kill(set(based.processes()) - set(based.package_managers()))
        running.process.wait()
    finally:
        based.hand.let_go()
    wait_until(lambda: not based.processes(), "the end of all processes")
    failed = based.start_with(deployment).wait()
    assert failed.status and "tool" in failed.complaint
    assert based.packages() == one
    assert based.hand.faults() == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_package_manager_that_is_ended_alone_leaves_one_state_or_the_other(stuck: Node, number: int) -> None:
    one = stuck.packages()
    running = stuck.start("UPDATE", "v2")
    wait_until(stuck.hand.is_waiting, "the script")
    stuck.kill(stuck.package_managers(), number)
    stuck.hand.let_go()
    result = running.wait()
    assert stuck.hand.faults() == ""
    if result.status:
        assert "the node has the packages that it had before" in result.complaint
        assert stuck.packages() == one
    else:
        assert stuck.versions() == VERSIONS_NEW
    if number == signal.SIGKILL:
        assert result.status
    if number == signal.SIGTERM and stuck.hand.suffix == "rpm":
        # rpm ends what it has begun, and dnf writes it down.
        assert result.status == 0, result.complaint
    stuck.succeed("CREATE", "v2")
    assert stuck.versions() == VERSIONS_NEW


def test_somebody_elses_package_manager_is_waited_for_and_named(based: Node) -> None:
    based.offer(Pkg("byhand", "1.0", waits=True), Pkg("libapp1", "1.5"))
    operator = based.hand.start_installing("byhand")
    try:
        wait_until(based.hand.is_waiting, "the script")
        failed = based.fail("UPDATE", "v2", lock_timeout="0.5")
        assert failed.status == 75
        assert f"(process {operator.pid})" in failed.complaint or "is held by" in failed.complaint
        assert based.versions()["libapp1"] == "1.0-1"
        patient = based.start("CREATE", "v2")
    finally:
        based.hand.let_go()
        operator.wait(60)
    assert patient.wait().status == 0
    assert based.versions() == {**VERSIONS_ONE, "byhand": "1.0-1", "libapp1": "1.5-1"}
