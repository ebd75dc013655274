"""The newcomer's command, as a process of its own."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

import pytest

from os_update_agent.model.errors import AgentError
from os_update_agent.testing.demo import tell
from os_update_agent.testing.stage import chosen

AGENT = Path(__file__).parents[2] / "agent"


def demo(*argv: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    environment: Dict[str, str] = {**os.environ, "PYTHONPATH": str(AGENT), **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "os_update_agent", "demo", *argv],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize("backend", ["apt", "dnf"])
def test_the_demo_tells_the_story_and_leaves_nothing_behind(tmp_path: Path, backend: str) -> None:
    done = demo("--backend", backend, environment={"TMPDIR": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^--- \d\.", done.stdout, re.M)) == 6
    assert "WRONG" not in done.stdout and "All as promised" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_plays_where_there_is_no_apt_get_on_an_rpm_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [chosen(name) for name in ("auto", "apt", "dnf")] == ["apt", "apt", "dnf"]
    (tmp_path / "rpm").symlink_to(str(shutil.which("rpm", path=os.defpath)))
    assert chosen("auto") == "dnf"
    (tmp_path / "apt-get").symlink_to(str(shutil.which("apt-get", path=os.defpath)))
    assert chosen("auto") == "apt"


def test_the_demo_with_rpm_says_that_it_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AgentError, match="the demo with dnf and rpm needs root"):
        tell(backend="dnf")


def test_the_demo_works_for_a_plain_user() -> None:
    """Everything that it needs is copied to where another user can read it: this checkout, this Python may lie below
    /root.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        # requests guesses encodings with the one or, up to 2.25, the other.
        guesser = "charset_normalizer" if importlib.util.find_spec("charset_normalizer") else "chardet"
        for module in ("os_update_agent", "requests", "urllib3", "idna", "certifi", guesser):
            spec = importlib.util.find_spec(module)
            assert spec is not None and spec.origin is not None, f"{module} is not installed"
            shutil.copytree(
                Path(spec.origin).parent, place / "agent" / module, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copytree(AGENT.parent / "hooks", place / "hooks")
        home = place / "home"
        home.mkdir()
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if user:
            os.chown(home, 65534, 65534)
        environment = {
            "PYTHONPATH": str(place / "agent"),
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
        }
        argv = [*user, "/usr/bin/python3", "-m", "os_update_agent", "demo"]
        done = subprocess.run(
            argv, env=environment, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "All as promised" in done.stdout, done.stdout + done.stderr


def test_the_demo_says_what_is_missing(tmp_path: Path) -> None:
    done = demo(environment={"PATH": str(tmp_path)})
    assert done.returncode == 1 and "apt-get" in done.stderr and "dpkg-deb" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_refuses_a_directory_that_is_there(tmp_path: Path) -> None:
    done = demo("--directory", str(tmp_path))
    assert done.returncode == 2 and "must be a new one" in done.stderr
