#!/usr/bin/env python3
"""Install a real Mistral for the tests: python3 tests/heat/install_mistral.py [DIRECTORY]

DIRECTORY is else $OS_UPDATE_AGENT_TEST_MISTRAL, else .test-venv/mistral in the checkout. It becomes a virtual
environment of its own, for Mistral's dependencies need not be those of Heat. What is already there stays.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
COMMAND = "python3 tests/heat/install_mistral.py"
# mistral-extra has the actions for Heat, python-mistralclient the command "openstack workflow".
PACKAGES = (
    "mistral==23.0.0",
    "mistral-extra==17.0.0",
    "waitress==3.0.2",
    "PyMySQL==1.2.4",
    "python-openstackclient==10.5.0",
    "python-mistralclient==6.3.0",
)
CONSTRAINTS = HERE / "constraints-mistral.txt"
DONE = "installed.txt"


def directory() -> Path:
    return Path(os.environ.get("OS_UPDATE_AGENT_TEST_MISTRAL") or CHECKOUT / ".test-venv/mistral").absolute()


def content() -> str:
    """Return what an installed directory says of itself."""
    return "\n".join((*PACKAGES, CONSTRAINTS.read_text(encoding="utf-8")))


def is_installed(target: Path) -> bool:
    done = target / DONE
    return done.exists() and done.read_text(encoding="utf-8") == content()


def install(target: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(target)], check=True)
    argv = [str(target / "bin/python"), "-m", "pip", "install", "-q", "-c", str(CONSTRAINTS), *PACKAGES]
    subprocess.run(argv, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True)
    (target / DONE).write_text(content(), encoding="utf-8")


def main() -> None:
    target = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else directory()
    if not is_installed(target):
        install(target)
    print(f"Mistral is installed in {target}")


if __name__ == "__main__":
    main()
