"""The suites of the matrix, how each runs in a root, and what came of it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple
from xml.etree import ElementTree

from matrix import roots

# Folders and files below tests/.
SUITES: Dict[str, str] = {
    "contract": "packages/contract",
    "line": "packages/line",
    "apt": "packages/apt",
    "faults": "faults",
    "demo": "cli/test_demo.py",
}
# Those of the roots with dnf.
DNF_SUITES: Dict[str, str] = {
    "contract": "packages/contract",
    "dnf": "packages/dnf",
    "demo": "cli/test_demo.py",
    "kills": "kills/test_kills.py",
}
ALL: Tuple[str, ...] = tuple(dict.fromkeys((*SUITES, *DNF_SUITES)))
# The first lays another release's Python over that of the release, so it needs a newer libc than some have. The others
# are about results on their way to Heat, and need the libraries of the chain, which is not in these roots.
LEFT_OUT = ("test_new_python.py", "test_answers.py", "test_undelivered_results.py")
# No dnf is in the roots with apt.
APT_ALONE = "not dnf and not rpm"
# The names that a suite's tests of dnf 4 and of both dnfs have.
OF_DNF4 = {"contract": "dnf4", "dnf": "not dnf5", "demo": "[dnf] or rpm", "kills": "-dnf-"}
OF_BOTH = {"contract": "dnf4 or dnf5", "dnf": "dnf", "demo": "[dnf] or rpm", "kills": "dnf"}


class Outcome(NamedTuple):
    """The numbers of tests of one suite on one release, and the seconds it took. ``failures`` are their names."""

    passed: int
    failures: Tuple[str, ...]
    skipped: int
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.passed > 0 and not self.failures

    @property
    def text(self) -> str:
        numbers = f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped"
        return f"{numbers}, {self.seconds:.0f} s"


def run(name: str, arguments: Sequence[str]) -> Outcome:
    """Run tests in the root of that name; pytest prints as it does. Raises Impossible if there is no root.

    A pytest that ends without a report counts as one failure.
    """
    root = roots.root(name)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=roots.directory(), prefix=f"run-{name}-") as scratch:
        status = _pytest(root, Path(scratch), arguments)
        report = Path(scratch, "tmp/report.xml")
        document = report.read_text(encoding="utf-8") if report.exists() else ""
    passed, failures, skipped = counts(document) if document else (0, ["pytest, without a report"], 0)
    if status and not failures:
        failures = [f"pytest ended with {status}"]
    return Outcome(passed, tuple(failures), skipped, time.monotonic() - begin)


def suites_of(name: str) -> Dict[str, str]:
    """Return the suites that run in a root."""
    return DNF_SUITES if name.endswith(roots.DNF) else SUITES


def arguments_of(name: str, suite: str, options: Sequence[str]) -> List[str]:
    """Return pytest's arguments for a suite. -k of the options chooses among the tests of what the root has."""
    given = list(options)
    chosen = APT_ALONE
    if name.endswith(roots.DNF):
        chosen = (OF_BOTH if name == f"sid{roots.DNF}" else OF_DNF4)[suite]
    if "-k" in given[:-1]:
        place = given.index("-k")
        chosen = f"({chosen}) and ({given[place + 1]})"
        del given[place : place + 2]
    return [suites_of(name)[suite], "-k", chosen, *given]


def counts(document: str) -> Tuple[int, List[str], int]:
    """Return from JUnit's XML how many tests passed, the names of those that failed, and how many were skipped."""
    passed, failures, skipped = 0, [], 0
    for case in ElementTree.fromstring(document).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failures, skipped


def _pytest(root: Path, scratch: Path, arguments: Sequence[str]) -> int:
    tests = roots.CHECKOUT / "tests"
    given = [f"tests/{one}" if (tests / one.partition("::")[0]).exists() else one for one in arguments]
    # The workers write no bytecode themselves.
    compiled = '/usr/bin/python3 -m compileall -q agent/os_update_agent/packages; exec /usr/bin/python3 "$@"'
    pytest = (
        "sh",
        "-c",
        compiled,
        "sh",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--junitxml=/tmp/report.xml",
        "-q",
        *(f"--ignore=tests/packages/line/{name}" for name in LEFT_OUT),
    )
    spaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--uts")
    inside = (sys.executable, "-m", "matrix.inside", str(root), str(scratch), str(roots.CHECKOUT))
    done = subprocess.run(
        # All of it ends with this process.
        ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *spaces, "--", *inside, *pytest, *given],
        env=_environment(root.name),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


def _environment(name: str) -> Dict[str, str]:
    """Return the environment of a root: the paths of Python, and nothing of the caller's."""
    # The root itself has dnf 5.
    dnf5 = {"OS_UPDATE_AGENT_TEST_SID": "/"} if name == f"sid{roots.DNF}" else {}
    return {
        **dnf5,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": os.pathsep.join(str(roots.CHECKOUT / name) for name in ("agent", "tests")),
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }
