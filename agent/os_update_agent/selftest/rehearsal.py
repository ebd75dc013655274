"""Plays deliveries with real packages in a private root of this node: the demo, as a process that may be ended."""

import sys
import tempfile
from pathlib import Path

from os_update_agent.model.errors import AgentError
from os_update_agent.node.process import run_to_file
from os_update_agent.packages.disk_space import free_bytes
from os_update_agent.selftest.findings import Finding, attention, failed, not_checked, ok
from os_update_agent.selftest.questions import text_of
from os_update_agent.testing.stage import STAGES

SECONDS = 180.0
_LAUNCH = Path(__file__).parents[1] / "launch.py"
_BYTES = 50 * 10**6
_LEAST_CHECKS = 10


def rehearse(backend: str, work: Path, *, is_root: bool) -> Finding:
    """Build packages of two versions below ``work``, update, verify, roll back and verify.

    Everything the demo makes is below ``work``. A demo that takes longer than 180 s is ended. Raises TimedOut.
    """
    stage = STAGES[backend]
    missing = stage.missing_tools()
    if missing:
        return not_checked(f"no packages can be built without {' and '.join(missing)}", stage.needs)
    if stage.needs_root and not is_root:
        return not_checked("rpm enters the private root with chroot, which needs root", "run the selftest as root")
    if free_bytes(work) < _BYTES:
        return not_checked(f"less than 50 MB are free in {work}", "make room, or set TMPDIR to another directory")
    place = work / "rehearsal"
    argv = [sys.executable, "-I", "-B", str(_LAUNCH), "os_update_agent.__main__", "demo"]
    with tempfile.TemporaryFile() as output:
        argv += ["--directory", str(place), "--backend", backend]
        done = run_to_file(argv, output, ok=None, env={"TMPDIR": str(work)}, timeout=SECONDS)
        output.seek(0)
        said = output.read().decode("utf-8", "replace").splitlines()
    good = [line for line in said if line.startswith("  ok ")]
    if done.returncode or len(good) < _LEAST_CHECKS:
        wrong = [line.removeprefix("WRONG").strip() for line in said if line.startswith("WRONG")]
        why = "; ".join(wrong) or " ".join(said[-2:]) or f"exit status {done.returncode}"
        return failed(why, f"run 'os-update-agent demo --backend {backend} --directory DIR' and look around in DIR")
    try:
        log = text_of(place / "log/worker.log")
    except OSError as error:
        raise AgentError(f"the log of the rehearsal cannot be read: {error}") from error
    found = (
        f"update, failed update with its undo, rollback and update again, with real packages in {place}: {len(good)}"
        " comparisons hold"
    )
    if "as a session" in log:
        return attention(
            f"{found}; systemd-run refused to start the worker, which ran as a session",
            "'systemd-run --wait true' shows the reason; until it works, a restart of os-collect-config ends runs",
        )
    return ok(found)
