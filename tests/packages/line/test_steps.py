"""The operator's own steps around an update, and what may end it early: health, a deadline, another operation than
update.
"""

import hashlib
import time

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model import phases
from os_update_agent.runs import engine
from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_ONE, Node

TWO = Deb("tool", "2.0-1")
BACK = "post-update.d/10-back"


def test_a_step_sees_the_packages_of_its_moment(based: Node) -> None:
    status = (
        f"dpkg-query --admindir={based.root}/var/lib/dpkg --show --showformat '${{Version}}\\n' tool >>"
        f" {based.directory}/ran"
    )
    based.step("pre-update.d/10", status)
    based.step("post-update.d/10", status)
    based.offer(TWO)
    based.succeed("UPDATE", "v2")
    assert based.ran() == ["pre-update.d/10 v2 update []", "1.0-1", "post-update.d/10 v2 update [success]", "2.0-1"]


def test_a_value_is_data_for_a_step(based: Node) -> None:
    value = f"$(touch {based.directory}/pwned); touch {based.directory}/pwned\n`reboot` 'é"
    place = based.directory
    based.step(
        "pre-update.d/10", f'printf %s "$OS_UPDATE_VALUE" > {place}/value; echo $OS_UPDATE_VALUE_SHA256 >> {place}/ran'
    )
    based.offer(TWO)
    based.succeed("UPDATE", value)
    assert (based.directory / "value").read_text() == value
    assert based.ran()[-1] == hashlib.sha256(value.encode()).hexdigest()
    assert not (based.directory / "pwned").exists()


def test_a_failing_health_check_with_on_failure_keep_leaves_the_new_packages(based: Node) -> None:
    based.step("health.d/10-ping", "exit 1")
    based.step("post-update.d/10-back")
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2", on_failure="keep")
    assert based.versions()["tool"] == "2.0-1"
    assert "left as it is (1 package changed)" in failed.complaint
    assert based.ran()[-1] == "post-update.d/10-back v2 update [failed]"
    assert based.history().current is None


@pytest.mark.parametrize("place", ["pre-update.d", "health.d", "post-update.d"])
def test_a_step_that_would_not_be_run_is_found_before_the_node_leaves(based: Node, place: str) -> None:
    based.step("pre-update.d/10-drain")
    based.step(f"{place}/20-open").chmod(0o775)
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert f"no step of 20-open is run: {based.directory}" in failed.complaint
    assert "can be written by its group" in failed.complaint and "nothing was changed" in failed.complaint
    assert "pre-update.d/10-drain v2 update []" not in based.ran()
    assert based.versions() == VERSIONS_ONE


def test_delete_is_answered_although_somebody_could_write_the_state(based: Node) -> None:
    based.succeed("CREATE", "v1")
    (based.directory / "state").chmod(0o777)
    assert "can be written by everybody" in based.fail("UPDATE", "v2").complaint
    based.succeed("DELETE", "v1")


def test_a_failing_post_step_fails_the_run_and_is_run_again_with_the_same_value(based: Node) -> None:
    step = based.step("post-update.d/10-back", "exit 9")
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert "post-update.d/10-back ended with exit status 9" in failed.complaint
    assert "the node may still be outside" in failed.complaint
    assert based.versions()["tool"] == "2.0-1"
    assert "could not be undone" not in failed.complaint
    assert based.history().current is None

    step.write_text(step.read_text().replace("exit 9", ""))
    based.ran()
    based.succeed("CREATE", "v2")
    assert based.ran() == ["post-update.d/10-back v2 update [success]"]
    assert based.history().current == "v2"


def test_going_back_after_a_failing_post_step_brings_the_node_back_too(based: Node) -> None:
    step = based.step("post-update.d/10-back", "exit 9")
    based.step("pre-update.d/10-drain", "exit 1")
    based.offer(TWO)
    based.fail("UPDATE", "v2")
    assert based.versions() == VERSIONS_ONE
    step.write_text(step.read_text().replace("exit 9", ""))
    based.ran()
    based.succeed("CREATE", "v1")
    assert based.ran() == ["post-update.d/10-back v1 restore [success]"]


def test_a_step_that_takes_too_long_is_ended_and_the_update_is_undone(based: Node) -> None:
    based.step("health.d/10-slow", "sleep 600")
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2", script_timeout=1)
    assert "health.d/10-slow" in failed.complaint and "after 1 s" in failed.complaint
    assert based.versions() == VERSIONS_ONE


def test_a_step_that_everybody_can_write_is_not_run(based: Node) -> None:
    based.step("pre-update.d/10-open", mode=0o757)
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert "10-open" in failed.complaint and "chmod o-w" in failed.complaint
    assert based.ran() == []
    assert based.versions() == VERSIONS_ONE


def test_nothing_to_update_takes_no_node_out_of_service(based: Node) -> None:
    based.step("pre-update.d/10-drain")
    based.step("post-update.d/10-back")
    based.succeed("UPDATE", "v2")
    assert based.ran() == []


def test_a_deadline_that_has_passed_stops_before_the_transaction(based: Node) -> None:
    based.step("pre-update.d/10-drain")
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2", deadline="0.001")
    assert "deadline is 0.001 s" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert based.versions() == VERSIONS_ONE
    assert based.ran() == []
    based.succeed("CREATE", "v2", deadline="3600")


def test_a_failing_pre_step_changes_nothing_and_the_node_is_brought_back(based: Node) -> None:
    based.step("pre-update.d/10-drain", "echo the cluster says no >&2; exit 7")
    based.step("pre-update.d/20-never")
    based.step("post-update.d/10-back")
    based.offer(TWO)
    failed = based.fail("UPDATE", "v2")
    assert based.ran() == ["pre-update.d/10-drain v2 update []", "post-update.d/10-back v2 update [failed]"]
    assert based.versions() == VERSIONS_ONE
    assert "pre-update.d/10-drain ended with exit status 7: the cluster says no" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert based.history().current == "v1"


def test_a_deadline_that_passes_while_the_node_leaves_stops_before_the_transaction(based: Node) -> None:
    based.step("pre-update.d/10-drain")
    based.step("post-update.d/10-back")
    based.offer(TWO)
    ran = based.directory / "ran"
    site = based.site()._replace(clock=lambda: time.time() + (10_000.0 if ran.exists() else 0.0))
    run = engine.begin(site, Policy(value="v2", key="k", deadline=5000.0), phases.UPDATE, config_id="by-hand")
    done = engine.perform(site, run)
    site.ledger.close()
    assert "deadline is 5000 s" in done.failure and not done.progress.change_began
    assert based.versions() == VERSIONS_ONE
    assert [line.split()[0] for line in based.ran()] == ["pre-update.d/10-drain", "post-update.d/10-back"]


def test_a_transaction_that_was_begun_is_not_cut_by_its_deadline(based: Node) -> None:
    """The clock jumps over the deadline as soon as the ledger says that the transaction is begun."""
    based.offer(TWO)
    ledger = based.site().ledger
    site = based.site()._replace(
        clock=lambda: time.time() + 10_000.0 * any(run.progress.change_began for run in ledger.runs())
    )
    run = engine.begin(site, Policy(value="v2", key="k", deadline=5000.0), phases.UPDATE, config_id="by-hand")
    done = engine.perform(site, run)
    site.ledger.close()
    ledger.close()
    assert done.finished is not None and done.finished - done.started > 5000.0
    assert done.progress.reached and not done.failure
    assert based.versions()["tool"] == "2.0-1"


@pytest.mark.parametrize("value", ["v2", "v3"])
def test_a_node_that_was_left_outside_is_brought_back_by_a_run_that_fails_before_its_plan(
    based: Node, value: str
) -> None:
    step = based.step(BACK, "exit 9")
    based.offer(TWO)
    based.fail("UPDATE", "v2")
    step.write_text(step.read_text().replace("exit 9", ""))
    based.ran()
    based.use_sources(f"deb [trusted=yes] file:{based.directory}/nowhere ./")
    failed = based.fail("CREATE", value)
    assert "nothing was changed" in failed.complaint
    assert based.ran() == [f"{BACK} {value} update [failed]"]
    # Once is enough.
    based.fail("CREATE", value)
    assert based.ran() == []
