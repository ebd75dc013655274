"""The tests of apt and dnf on other releases of Debian: tests/run matrix [RELEASE...] [SUITE...] [PYTEST ARGUMENT...]

Each release has two roots of its own, made once by mmdebstrap and kept below .test-venv/matrix (250 MB each). One has
apt: bullseye (apt 2.2), bookworm (2.6), trixie (3.0), and sid (3.3 or later). The other one has dnf: bullseye-dnf (dnf
4.5 with rpm 4.16 on Berkeley DB, which stand for EL 8), bookworm-dnf (4.14 with 4.18), trixie-dnf (4.23 with 4.20), and
sid-dnf (4.24 and dnf 5 with rpm 6). Each suite runs in each root that it is made for, with the release's own Python:
contract, line, apt, dnf, and faults are the folders of that name, demo is the newcomer's command, kills has its tests
of dnf. The table has the numbers of tests and the seconds. The exit status is 1 if a test has failed.

    tests/run matrix trixie contract     one suite on one release
    tests/run matrix sid apt -k pinned   what stands behind the first option goes to pytest

    OS_UPDATE_AGENT_TEST_MIRROR   a mirror of Debian; default: the one that this machine's apt uses
    OS_UPDATE_AGENT_TEST_MATRIX   the directory of the roots; several checkouts can share one

test_matrix.py runs some tests on trixie for tests/run. roots.py makes the roots, and suites.py runs pytest in one.
inside.py is the program that mounts and enters it, in namespaces of its own.
"""
