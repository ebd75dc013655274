"""The tests of apt on other releases of Debian: tests/run matrix [RELEASE...] [SUITE...] [PYTEST ARGUMENT...]

Each release has a root of its own, made once by mmdebstrap and kept below .test-venv/matrix (250 MB each): bullseye
(apt 2.2), bookworm (2.6), trixie (3.0), and sid (3.3 or later). Each suite runs in each root, with the release's own
Python, apt, dpkg, and python3-apt: contract, line, apt, and faults are the folders of that name, demo is the newcomer's
command. The table has the numbers of tests and the seconds. The exit status is 1 if a test has failed.

    tests/run matrix trixie contract     one suite on one release
    tests/run matrix sid apt -k pinned   what stands behind the first option goes to pytest

    OS_UPDATE_AGENT_TEST_MIRROR   a mirror of Debian; default: the one that this machine's apt uses
    OS_UPDATE_AGENT_TEST_MATRIX   the directory of the roots; several checkouts can share one

test_matrix.py runs some tests on trixie for tests/run. roots.py makes the roots, and suites.py runs pytest in one.
inside.py is the program that mounts and enters it, in namespaces of its own.
"""
