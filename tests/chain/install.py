#!/usr/bin/env python3
"""Install the real chain of Heat's guest side for the tests: python3 tests/chain/install.py [DIRECTORY]

DIRECTORY is else $OS_UPDATE_AGENT_TEST_TOOLS, else .test-venv/chain in the checkout. It becomes a virtual environment
with os-collect-config, os-refresh-config and os-apply-config; beside them lie the scripts of heat-agents. What is
already there stays.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Dict

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = "python3 tests/chain/install.py"
CHAIN = ("os-collect-config==14.1.0", "os-refresh-config==14.1.0", "os-apply-config==14.1.0", "dib-utils==0.0.11")
# What 55-heat-config and heat-config-notify import.
LIBRARIES = ("python-heatclient", "python-zaqarclient", "requests", "PyYAML")
# The wheel of heat-agents holds only release notes; the scripts are in its source archive.
HEAT_AGENTS = "heat-agents==13.0.0"
DONE = "installed.txt"
CONTENT = "\n".join((*CHAIN, *LIBRARIES, HEAT_AGENTS)) + "\n"


def directory() -> Path:
    return Path(os.environ.get("OS_UPDATE_AGENT_TEST_TOOLS") or CHECKOUT / ".test-venv/chain").absolute()


def is_installed(target: Path) -> bool:
    done = target / DONE
    return done.exists() and done.read_text(encoding="utf-8") == CONTENT


def scripts(target: Path) -> Path:
    """Where the part of heat-agents lies that runs hooks."""
    return target / HEAT_AGENTS.replace("-", "_").replace("==", "-") / "heat-config"


def install(target: Path) -> None:
    python = target / "bin/python3"
    _run(sys.executable, "-m", "venv", str(target))
    _run(str(python), "-m", "pip", "install", "-q", *CHAIN, *LIBRARIES)
    _run(
        str(python),
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        "heat-agents",
        "-d",
        str(target),
        HEAT_AGENTS,
    )
    with tarfile.open(next(target.glob("heat_agents-*.tar.gz"))) as archive:
        archive.extractall(target, **_safely())
    assert scripts(target).is_dir(), f"{HEAT_AGENTS} does not hold {scripts(target)}"
    (target / DONE).write_text(CONTENT, encoding="utf-8")


def main() -> None:
    target = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else directory()
    if not is_installed(target):
        install(target)
    print(f"the chain is installed in {target}")


def _run(*argv: str) -> None:
    subprocess.run(argv, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True)


def _safely() -> Dict[str, Any]:
    """Python 3.12 warns of an archive that is unpacked without a filter; early releases of 3.9 do not know filters."""
    return {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


if __name__ == "__main__":
    main()
