"""The scripts of packages that leave: wrapped for one attempt, and never left so."""

import os
import subprocess
from pathlib import Path

import pytest

from os_update_agent.model.packages import Package
from os_update_agent.packages.apt.leaving import unwrap_scripts, wrap_scripts
from os_update_agent.packages.complaints import complaints_in, is_of_leaving

TOOL, LIB = Package("tool", "amd64", "1"), Package("lib", "amd64", "1")
FAILS = "#!/bin/sh\necho works\nexit 3\n"


@pytest.fixture
def info(tmp_path: Path) -> Path:
    info = tmp_path / "info"
    info.mkdir()
    for name in ("tool.prerm", "tool.preinst", "lib:amd64.postrm", "other.prerm", "tool.list"):
        (info / name).write_text(FAILS, encoding="utf-8")
        (info / name).chmod(0o755)
    return info


def run(script: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    names = {"DPKG_MAINTSCRIPT_PACKAGE": "tool", "DPKG_MAINTSCRIPT_NAME": script.suffix[1:]}
    return subprocess.run(
        [str(script), *arguments], env={**os.environ, **names}, capture_output=True, text=True, check=False
    )


def test_a_wrapped_script_runs_and_its_failure_is_a_complaint_of_a_leaving_package(info: Path) -> None:
    wrap_scripts(info.parent, [TOOL, LIB])
    done = run(info / "tool.prerm", "upgrade", "2")
    assert done.returncode == 0 and done.stdout.startswith("works\n")
    (complaint,) = complaints_in(done.stdout)
    assert is_of_leaving(complaint) and complaint.endswith("tool: prerm upgrade ended with exit status 3")
    assert run(info / "lib:amd64.postrm", "purge").returncode == 0
    assert run(info / "other.prerm").returncode == 3 and run(info / "tool.preinst").returncode == 3


def test_a_package_that_stays_gets_its_scripts_back(info: Path) -> None:
    wrap_scripts(info.parent, [TOOL, LIB])
    # Again, as after its package was unpacked again.
    (info / "tool.prerm").write_text(FAILS, encoding="utf-8")
    wrap_scripts(info.parent, [TOOL, LIB])
    (info / "lib:amd64.postrm").unlink()
    unwrap_scripts(info.parent)
    assert (info / "tool.prerm").read_text(encoding="utf-8") == FAILS
    assert sorted(path.name for path in info.iterdir()) == ["other.prerm", "tool.list", "tool.preinst", "tool.prerm"]


def test_the_script_of_the_version_that_has_come_is_kept(info: Path) -> None:
    wrap_scripts(info.parent, [TOOL])
    (info / "tool.prerm").write_text("#!/bin/sh\n", encoding="utf-8")
    unwrap_scripts(info.parent)
    assert (info / "tool.prerm").read_text(encoding="utf-8") == "#!/bin/sh\n"
    # Nothing is wrapped.
    unwrap_scripts(info.parent)
