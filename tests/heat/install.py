#!/usr/bin/env python3
"""Install a real keystone and a real Heat for the tests: python3 tests/heat/install.py [DIRECTORY]

DIRECTORY is else $OS_UPDATE_AGENT_TEST_HEAT, else .test-venv/heat in the checkout. It becomes a virtual environment
with both, the WSGI server that they run in, and the openstack command. What is already there stays. MariaDB comes from
the distribution.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
COMMAND = "python3 tests/heat/install.py"
SERVICES = ("openstack-heat==27.0.1", "keystone==30.0.0", "waitress==3.0.2", "PyMySQL==1.2.4")
# For the transports that do not go through Heat itself.
STORES = ("swift==2.38.3", "zaqar==23.0.1")
CLIENTS = ("python-openstackclient==10.5.0", "python-heatclient==5.3.0")
CONSTRAINTS = HERE / "constraints.txt"
# Of the packages mariadb-server-core and mariadb-client-core, which start no service.
PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb")
DONE = "installed.txt"


def directory() -> Path:
    return Path(os.environ.get("OS_UPDATE_AGENT_TEST_HEAT") or CHECKOUT / ".test-venv/heat").absolute()


def content() -> str:
    """What an installed directory says of itself."""
    return "\n".join((*SERVICES, *STORES, *CLIENTS, CONSTRAINTS.read_text(encoding="utf-8")))


def is_installed(target: Path) -> bool:
    done = target / DONE
    return done.exists() and done.read_text(encoding="utf-8") == content()


def program(name: str) -> str:
    """The path of one of MariaDB's programs. Fails when it is not there."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed; tests/run installs mariadb-server-core and mariadb-client-core"
    return found


def install(target: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(target)], check=True)
    argv = [
        str(target / "bin/python"),
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        str(CONSTRAINTS),
        *SERVICES,
        *STORES,
        *CLIENTS,
    ]
    subprocess.run(argv, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True)
    (target / DONE).write_text(content(), encoding="utf-8")


def main() -> None:
    target = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else directory()
    if not is_installed(target):
        install(target)
    print(f"Heat is installed in {target}")


if __name__ == "__main__":
    main()
