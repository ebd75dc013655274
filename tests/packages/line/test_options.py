"""What a review has found in the steps, the options, the first delivery and the directories."""

import os
import stat

import pytest

from os_update_agent.testing.repository import Deb
from packages.line.test_cut_off_runs import BACK, LIB, NEW, TOOL, command
from packages.line.test_locks import held
from packages.node import VERSIONS_ONE, Node

FRONT_LOCK = "var/lib/dpkg/lock-frontend"

# --- what fails beside the update


def test_an_archive_that_cannot_be_cleaned_up_takes_nothing_from_an_update(based: Node) -> None:
    based.offer(TOOL)
    based.archive.mkdir(mode=0o700)
    stray = based.archive / "stray.deb"
    stray.write_text("x")
    # What something is mounted on cannot be removed, by root neither.
    based.wrapper = ("unshare", "--mount", "sh", "-c", f'set -e; mount --bind {stray} {stray}; exec "$@"', "sh")
    done = based.succeed("UPDATE", "v2")
    assert stray.exists()
    assert "the archive could not be cleaned up" in done.complaint
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}
    assert based.history().current == "v2"
    based.wrapper = ()
    based.succeed("UPDATE", "v1")
    assert not stray.exists()
    assert based.versions() == VERSIONS_ONE


@pytest.mark.parametrize("value", ["v2", "v3"])
def test_a_node_that_was_left_outside_is_brought_back_by_a_run_that_fails_before_its_plan(
    based: Node, value: str
) -> None:
    step = based.step(BACK, "exit 9")
    based.offer(TOOL)
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


# --- operation: download


def test_a_first_delivery_that_only_downloads_is_the_baseline(node: Node) -> None:
    one = node.packages()
    node.succeed("CREATE", "v1", operation="download")
    assert node.history().current == "v1"
    node.offer(LIB, TOOL)
    node.succeed("UPDATE", "v2", operation="update")
    assert node.versions() == NEW
    node.succeed("UPDATE", "v1", operation="update")
    assert node.packages() == one


def test_a_download_and_an_update_with_one_history_are_created_without_an_update(node: Node) -> None:
    one = node.packages()
    node.offer(LIB, TOOL)
    node.succeed("CREATE", "v1", resource="fetch", operation="download", state_key="web")
    node.succeed("CREATE", "v1", resource="apply", state_key="web")
    assert node.packages() == one
    node.succeed("UPDATE", "v2", resource="fetch", operation="download", state_key="web")
    assert node.packages() == one
    done = node.succeed("UPDATE", "v2", resource="apply", state_key="web")
    assert set(done.changes) == {"libapp1", "tool"}
    node.succeed("UPDATE", "v1", resource="fetch", operation="download", state_key="web")
    node.succeed("UPDATE", "v1", resource="apply", state_key="web")
    assert node.packages() == one


# --- by hand what Heat's deployment asks for


def test_by_hand_the_options_of_the_deployment_count_too(based: Node) -> None:
    based.offer(LIB, TOOL)
    based.succeed("UPDATE", "v2", exclude="tool*")
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "1.5-1"}
    based.install_by_hand("tool")

    plan = command(based, "plan", "v1")
    assert plan.returncode == 0, plan.stderr
    assert "the way back to 'v1' would change:" in plan.stdout and "libapp1: 1.5-1 -> 1.0-1" in plan.stdout
    assert "tool" not in plan.stdout
    back = command(based, "rollback", "v1")
    assert back.returncode == 0, back.stderr
    assert based.versions() == {**VERSIONS_ONE, "tool": "2.0-1"}

    based.offer(Deb("libapp1", "3.0-1"), Deb("tool", "3.0-1"))
    forth = command(based, "update", "v3")
    assert forth.returncode == 0, forth.stderr
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "3.0-1", "tool": "2.0-1"}
    assert "excluded by 'tool*' (exclude)" in forth.stdout
    all_of_it = command(based, "update", "v4", "--exclude", "libapp1")
    assert all_of_it.returncode == 0, all_of_it.stderr
    assert based.versions() == {**VERSIONS_ONE, "libapp1": "3.0-1", "tool": "3.0-1"}


# --- which packages


def test_an_excluded_package_is_not_removed_for_another_one(based: Node) -> None:
    based.offer_two()
    done = based.succeed("UPDATE", "v2", exclude="oldname")
    versions = based.versions()
    assert versions["oldname"] == "1.0-1" and versions["useold"] == "1.0-1"
    assert "newname" not in versions
    assert "oldname" in done.held_back["useold"]
    assert versions["app"] == "2.0-1"


# --- directories that are not ours


@pytest.mark.parametrize("name", ["log", "run"])
def test_an_open_directory_of_somebody_else_is_refused_and_left_as_it_is(based: Node, name: str) -> None:
    based.offer(TOOL)
    somebody_s = based.directory / "somebody"
    somebody_s.mkdir()
    somebody_s.chmod(0o755)
    conf = based.conf.read_text()
    based.conf.write_text(conf.replace(f"{name} = {getattr(based, name)}\n", f"{name} = {somebody_s}\n"))
    failed = based.fail("UPDATE", "v2")
    assert str(somebody_s) in failed.complaint and "open to others" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert stat.S_IMODE(os.stat(somebody_s).st_mode) == 0o755
    assert based.versions() == VERSIONS_ONE
    assert [request.body.decode() for request in failed.received] == [failed.stdout]

    # The failure was told: nothing of it is done later.
    based.conf.write_text(conf)
    based.succeed("CREATE", "v1")
    done = command(based, "resume")
    assert done.returncode == 0, done.stderr
    assert based.versions() == VERSIONS_ONE
    assert based.history().current == "v1"
    with based.ledger() as ledger:
        assert ledger.open_runs() == ()


# --- the first and the last delivery


def test_a_first_update_that_could_not_begin_is_no_baseline_when_heat_replaces_it(node: Node) -> None:
    one = node.packages()
    node.offer(TOOL)
    with held(node, FRONT_LOCK):
        failed = node.fail("UPDATE", "2026-02-01", lock_timeout=1)
    assert "nothing was changed" in failed.complaint
    done = node.succeed("CREATE", "2026-02-01")
    assert "baseline" not in done.told
    assert done.changes == {"tool": ("1.0-1", "2.0-1")}
    assert node.history().first_state is not None
    # The one before the first update: what it was is told by no value of Heat's.
    node.succeed("UPDATE", "2026-01-01")
    assert node.packages() == one


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND", "RESUME"])
def test_a_wrong_option_matters_to_nobody_where_nothing_is_done(based: Node, action: str) -> None:
    based.offer(TOOL)
    done = based.succeed(action, "v2", exlude="x")
    assert len(done.received) == 1
    assert based.versions() == VERSIONS_ONE
    assert based.history().current == "v1"
