"""The packages that the elements ask for: what diskimage-builder's own programs make of them on each distribution, and
who needs them.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, FrozenSet, List, Set

import diskimage_builder
import pytest
import yaml

from chain import install as chain
from image.build import ELEMENTS

PROGRAMS = Path(diskimage_builder.__file__).parent / "elements"
WITH_PACKAGES = sorted(path.parent.name for path in ELEMENTS.glob("*/package-installs.yaml"))
# What each distribution calls what is to be installed there.
DEBIAN = frozenset({"python3-apt", "python3-requests", "python3-yaml", "logrotate"})
REDHAT = frozenset({"python3-requests", "python3-pyyaml", "logrotate"})
INSTALLED: Dict[str, FrozenSet[str]] = {
    **dict.fromkeys(("debian", "ubuntu"), DEBIAN),
    **dict.fromkeys(("centos", "rhel", "rocky", "almalinux"), REDHAT),
    # dnf 5's and rpm's Python bindings: agent/os_update_agent/packages/dnf5*.py
    "fedora": REDHAT | {"python3-libdnf5", "python3-rpm"},
}
# Why: modules that are imported under the system's Python, and the packages that bring them, as Debian calls them.
PACKAGE_OF = {"yaml": "python3-yaml", "requests": "python3-requests"}


def wanted(distribution: str, directory: Path) -> Dict[str, List[str]]:
    """The packages of our elements, each with its element, once the conditions are looked at."""
    outfile = directory / "packages.json"
    argv = [sys.executable, str(PROGRAMS / "package-installs/bin/package-installs-squash")]
    argv += ["--elements", " ".join(WITH_PACKAGES), "--path", str(ELEMENTS), str(outfile)]
    environment = {"PATH": os.environ["PATH"], "DISTRO_NAME": distribution, "ARCH": "amd64", "DIB_PYTHON_VERSION": "3"}
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    by_element: Dict[str, List[str]] = {}
    for package, element in json.loads(outfile.read_text())["install.d"]["install"]:
        by_element.setdefault(element, []).append(package)
    return by_element


@pytest.mark.parametrize("distribution", sorted(INSTALLED))
def test_every_distribution_gets_what_it_calls_them(distribution: str, tmp_path: Path) -> None:
    found: Set[str] = set()
    for element, packages in wanted(distribution, tmp_path).items():
        # Without --missing-ok, which would take our name for theirs.
        argv = [
            sys.executable,
            str(PROGRAMS / "pkg-map/bin/pkg-map"),
            "--pkg-map",
            str(ELEMENTS / element / "pkg-map"),
            *packages,
        ]
        done = subprocess.run([*argv, "--distro", distribution], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        names = done.stdout.split()
        assert len(names) == len(packages)
        found.update(names)
    assert found == INSTALLED[distribution]


def test_debian_has_packages_of_these_names() -> None:
    done = subprocess.run(["apt-cache", "show", "--no-all-versions", *sorted(DEBIAN)], capture_output=True, text=True)
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("Package: ")} == DEBIAN, done.stderr


def test_the_scripts_that_the_systems_python_runs_find_their_modules() -> None:
    """55-heat-config and heat-config-notify; what they import under ``try:`` they can do without."""
    heat_config = chain.scripts(chain.directory())
    scripts = (heat_config / "os-refresh-config/configure.d/55-heat-config", heat_config / "bin/heat-config-notify")
    needed: Set[str] = set()
    for script in scripts:
        assert script.read_text().startswith("#!/usr/bin/env python3\n")
        for node in ast.parse(script.read_text()).body:
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            needed.update(module.partition(".")[0] for module in modules)
    assert needed - set(sys.stdlib_module_names) == set(PACKAGE_OF)
    asked_for = set(yaml.safe_load((ELEMENTS / "os-config-agents/package-installs.yaml").read_text()))
    assert set(PACKAGE_OF.values()) == asked_for
