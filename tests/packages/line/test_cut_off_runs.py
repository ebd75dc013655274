"""A run that cannot write any more, or whose worker is killed each time it is started."""

import json
import sys
from pathlib import Path
from typing import Tuple

import pytest

from os_update_agent.ledger import reserve
from os_update_agent.testing.repository import Deb
from packages.node import PATIENCE, VERSIONS_ONE, Node, Result, wait_until

LIB = Deb("libapp1", "1.5-1")
NEW = {**VERSIONS_ONE, "libapp1": "1.5-1", "tool": "2.0-1"}
BACK = "post-update.d/10-back"


def mounted(node: Node, directory: Path, size: str, afterwards: str = "true") -> Tuple[str, ...]:
    """A wrapper under which the directory lies, with its files, on a small file system of its own; ``afterwards`` is
    run there too.
    """
    saved = directory.with_name(f"{directory.name}.saved")
    script = (
        f"set -e; mkdir -p -m 0700 {directory}; cp -a {directory} {saved}; "
        f"mount -t tmpfs -o size={size},mode=0700 none {directory}; cp -a {saved}/. {directory}/; "
        f'"$@"; {afterwards}; cp -a {directory}/. {saved}/'
    )
    return "unshare", "--mount", "sh", "-c", script, "sh"


# --- a file system that is full in the transaction


@pytest.mark.parametrize("reaction", ["fails", "does not mind"])
def test_a_log_that_cannot_be_written_in_the_transaction_ends_no_run_halfway(based: Node, reaction: str) -> None:
    one = based.packages()
    based.step("pre-update.d/10-out")
    based.step(BACK)
    noise = "head -c 2000000 /dev/zero | tr '\\0' x"
    based.offer(LIB, Deb("tool", "2.0-1", scripts={"postinst": noise if reaction == "fails" else f"{noise} || true"}))
    based.wrapper = mounted(based, based.log, "256k")
    answer = based.deliver("UPDATE", "v2")
    assert "nothing was changed" not in answer.stdout
    assert based.last_run().finished is not None
    assert [request.body.decode() for request in answer.received] == [answer.stdout]
    assert (answer.status == 0) == (reaction != "fails")
    if answer.status == 0:
        assert based.versions() == NEW
        assert based.history().current == "v2"
    else:
        assert "the node has the packages that it had before" in answer.complaint
        assert based.packages() == one
        assert based.history().current == "v1"
    outcome = "success" if answer.status == 0 else "undone"
    assert based.ran() == ["pre-update.d/10-out v2 update []", f"{BACK} v2 update [{outcome}]"]

    based.wrapper = ()
    based.succeed("CREATE", "v1")
    assert based.packages() == one
    assert based.history().current == "v1"


def test_a_ledger_that_cannot_be_written_in_the_transaction_is_told_and_resume_ends_the_run(based: Node) -> None:
    one = based.packages()
    based.step(BACK)
    fill = based.state / "fill"
    # Without its reserve: with it, the ledger can be written on a full disk.
    full = f"rm -f {based.state}/{reserve.NAME}; dd if=/dev/zero of={fill} bs=1k 2> /dev/null || true"
    based.offer(LIB, Deb("tool", "2.0-1", scripts={"postinst": full}))
    # A directory in its place: the package must not fill the disk a second time.
    resumed = f"cp {based.directory}/ran {based.directory}/ran.first || true; rm -f {fill}; mkdir {fill}"
    resumed += f"; {sys.executable} -m os_update_agent resume > {based.directory}/resume.out 2>&1; rmdir {fill}"
    based.wrapper = mounted(based, based.state, "16m", resumed)
    running = based.start("UPDATE", "v2")
    # A worker that ends at once is waited for rather long, and five are tried.
    running.process.wait(4 * PATIENCE)
    failed = running.wait()
    assert failed.returncode == 0, failed.stderr
    assert failed.status != 0
    assert "nothing was changed" not in failed.complaint
    # Each worker brought the node back, though it had no room to write that down; and Heat was told once.
    assert set((based.directory / "ran.first").read_text(encoding="utf-8").splitlines()) == {
        f"{BACK} v2 update [failed]"
    }
    (told,) = (json.loads(request.body) for request in failed.received)
    assert told["deploy_status_code"] != 0 and "nothing was changed" not in told["deploy_stderr"]
    assert based.versions() == NEW

    for path in (based.state.with_name("state.saved")).iterdir():
        if path.is_file():
            (based.state / path.name).write_bytes(path.read_bytes())
    assert based.last_run().result == "success"
    assert based.history().current == "v2"
    assert based.ran()[-1] == f"{BACK} v2 update [success]"
    # The kept package files went with the small disk; the repository has them.
    based.wrapper = ()
    based.succeed("CREATE", "v1")
    assert based.packages() == one


# --- a worker that is killed each time


def killed(node: Node) -> Result:
    """A run is cut off: the package kills the worker, whose process id is in the node's lock, as often as it is
    configured.
    """
    pid = "$(sed 's/.*\"pid\": \\([0-9]*\\).*/\\1/' " + f"{node.run}/lock)"
    script = f"if [ ! -e {node.directory}/mended ]; then kill -9 {pid}; exit 1; fi"
    node.step("pre-update.d/10-out")
    node.step(BACK)
    node.offer(LIB, Deb("tool", "2.0-1", scripts={"postinst": script}))
    failed = node.fail("UPDATE", "v2")
    assert [request.body.decode() for request in failed.received] == [failed.stdout]
    return failed


def settled(node: Node) -> bool:
    """Has the worker, which may go on after an answer, come to its end?"""
    with node.ledger() as ledger:
        return not ledger.open_runs() and not ledger.unfinished()


def test_a_run_whose_worker_is_killed_each_time_is_undone_and_heat_is_told_so(based: Node) -> None:
    one = based.packages()
    failed = killed(based)
    assert "cut off" in failed.complaint and "was undone" in failed.complaint
    assert "nothing was changed" not in failed.complaint
    wait_until(lambda: settled(based), "the run that was cut off to be ended")
    assert based.packages() == one
    assert based.history().current == "v1"
    assert based.ran()[-1] == f"{BACK} v2 update [undone]"
    again = based.succeed("CREATE", "v1")
    assert "stands at this value" in again.told
    assert based.packages() == one


def test_a_process_that_a_script_has_left_outlives_the_worker_and_is_not_waited_for(based: Node) -> None:
    """It has the files of its script open, and stays for ten minutes."""
    starts = 'sleep 600 & echo $! > "$DPKG_ROOT/run/daemon"'
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": starts}))
    based.succeed("UPDATE", "v2")
    daemon = int(based.text("run/daemon"))
    wait_until(lambda: list(based.processes()) == [daemon], "the end of everything else")
