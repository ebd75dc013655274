"""The elements by their own conventions: dib-lint, shellcheck, bash -n, and nothing that nobody knows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
import yaml

from image.build import CHECKOUT, ELEMENTS

OURS = sorted(path.name for path in ELEMENTS.iterdir() if path.is_dir())
# The agent brings scripts of its own, which install-hook puts onto the node; hooks/ has those of the templates.
ROOTS = (ELEMENTS, CHECKOUT / "tests/image", CHECKOUT / "tests/docs", CHECKOUT / "agent", CHECKOUT / "hooks")
# Most of it is shtab's text; the part that is ours is tests/docs/completion.bash.
GENERATED = CHECKOUT / "agent/os_update_agent/install/files/completion.bash"


def scripts() -> List[Path]:
    found = [path for root in ROOTS for path in sorted(root.rglob("*")) if path.is_file()]
    return [
        path for path in found if path.suffix == ".bash" or path.read_bytes().startswith((b"#!/bin/bash", b"#!/bin/sh"))
    ]


def test_dib_lint_finds_nothing(tmp_path: Path) -> None:
    # It looks only at what git knows or would take, and asks python and flake8 by these names.
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ELEMENTS_DIR": str(ELEMENTS),
        "LIB_DIR": str(ELEMENTS),
    }
    lint = shutil.which("dib-lint", path=environment["PATH"])
    assert lint, "install diskimage-builder into the environment of the tests"
    done = subprocess.run(["bash", lint], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, "\n".join(
        line for line in done.stdout.splitlines() if not line.startswith(("Checking", "Parsing"))
    )
    assert "Skipping" not in done.stdout and f"Checking {ELEMENTS}/heat-config-package-update" in done.stdout


def test_shellcheck_finds_nothing() -> None:
    """By each script's own first line: what dash runs must not need bash."""
    ours = [str(script) for script in scripts() if script != GENERATED]
    done = subprocess.run(["shellcheck", *ours], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.name)
def test_bash_reads_it(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("element", OURS)
def test_what_is_named_in_the_map_is_installed_somewhere(element: str) -> None:
    names, wanted = ELEMENTS / element / "pkg-map", ELEMENTS / element / "package-installs.yaml"
    assert names.exists() == wanted.exists()
    if names.exists():
        families = json.loads(names.read_text())["family"]
        assert {package for family in families.values() for package in family} == set(
            yaml.safe_load(wanted.read_text())
        )


def test_what_an_element_needs_is_ours_or_diskimage_builders() -> None:
    import diskimage_builder

    theirs = {path.name for path in (Path(diskimage_builder.__file__).parent / "elements").iterdir()}
    # heat-config is the one that comes from heat-agents' release.
    known = theirs | set(OURS) | {"heat-config"}
    for file in ELEMENTS.rglob("element-deps"):
        assert set(file.read_text().split()) <= known, file
