"""The program that reads apt's index through apt's own library: ``python3 -I -B worker/main.py ROOT DESCRIPTOR``.

It runs under the system's Python (3.9 or later), which has python-apt; the agent's own Python may be another one.
DESCRIPTOR is the socket of WorkerProcess. ROOT is only for people who read the list of processes: APT_CONFIG leads apt
to a private root. The program changes no package and takes no lock.
"""

import os
import sys

# Appended, never first: this directory is no place for imports. No pathlib: it takes a tenth of the worker's start.
sys.path.append(__file__.rsplit("/", 5)[0])

from os_update_agent.packages.apt.worker.desk import AptDesk
from os_update_agent.packages.worker.server import serve

if __name__ == "__main__":
    # Reasons follow the dependencies of packages as deep as they go.
    sys.setrecursionlimit(8000)
    serve(int(sys.argv[2]), AptDesk())
    # To take apt's cache apart piece by piece would only make the agent wait.
    os._exit(0)
