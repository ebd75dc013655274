"""Lists the checks of this node in the order of the output, and runs them."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Sequence

from os_update_agent.config.settings import Settings
from os_update_agent.model.errors import PackageError
from os_update_agent.packages.detect import APT, manager_of
from os_update_agent.selftest import apt_checks, node_checks, rehearsal, rpm_checks
from os_update_agent.selftest.examine import Check, examine
from os_update_agent.selftest.findings import Checked, Finding, failed, not_checked, ok

SECONDS = 290.0


def selftest(settings: Settings) -> Iterator[Checked]:
    """Yield the result of each check. All files are made in a temporary directory, which is removed at the end."""
    with _directory() as work:
        yield from examine([*node_checks.checks(settings), *_of_packages(settings, work)], SECONDS)


def _of_packages(settings: Settings, work: Path) -> Sequence[Check]:
    try:
        manager = manager_of(settings.backend)
    except PackageError as error:
        why = str(error)
        rest = ("bindings", "database", "rehearsal")
        left_out = [Check(name, lambda: not_checked("there is no package manager")) for name in rest]
        return [
            Check("package manager", lambda: failed(why, "set backend in agent.conf, or install apt or dnf")),
            *left_out,
        ]
    backend = "apt" if manager == APT else "dnf"
    # Not generated in the directory of the rehearsal.
    settings_of_apt = work / "apt"
    settings_of_apt.mkdir()
    own = apt_checks.checks(settings, settings_of_apt) if manager == APT else rpm_checks.checks(settings, manager)

    def rehearsed() -> Finding:
        return rehearsal.rehearse(backend, work, is_root=os.geteuid() == 0)

    found: List[Check] = [Check("package manager", lambda: ok(f"{manager} on {settings.root}")), *own]
    return [*found, Check("rehearsal", rehearsed, rehearsal.SECONDS + 10)]


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory for this user alone. What a rehearsal that was ended still writes does not stop the removal."""
    before = os.umask(0o022)
    try:
        place = Path(tempfile.mkdtemp(prefix="os-update-agent-selftest-")).resolve()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.umask(before)
