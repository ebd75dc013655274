"""The proof on real packages: python -m real [--keep] [--old-sources], tests/run real

Makes a private root of Debian 12 with a web server, a database, PHP, a DNS server, a kernel, a foreign architecture,
holds, edited configuration files, a package that is removed but not purged, and packages of the site's own. The agent
updates it and goes back, and after each way back the whole tree is compared with the tree before:

    release   the versions of the suite itself, as they are installed
    security  the suite with its updates and its security updates
    release   back, without any network
    security  the same value again, restored without any network
    next      the next release of Debian
    security  back, without any network

An operator replaces the sources of the old release by those of the next one. The old packages are in no repository
then, and the agent rebuilds those that its archive does not have. With --old-sources the old ones stay beside the new.

Not part of tests/run: it needs root, a Debian mirror, 5 GB of disk, and 11 minutes on two cores (at most 30).

It prints every difference: the path, what differs (type, mode, owner, content, extended attributes) and the package
that lists the path. ``allowed.py`` lists the differences that are allowed, with the reason of each; all others make the
exit status 1. Times of files are not compared.

Everything happens below .test-venv/real, in mount and PID namespaces of its own: this machine is read-only there, and
what is mounted or still runs goes with the namespace. A second start first removes what an interrupted one has left.

    .test-venv/real/cache   downloaded packages, for the next time
    .test-venv/real/node    the root, and the agent's state, logs and settings; --keep keeps it
    .test-venv/real/logs    the report, and the agent's logs of the last time

    OS_UPDATE_AGENT_TEST_MIRROR     a mirror of Debian; default: the one that this machine's apt uses
    OS_UPDATE_AGENT_TEST_SECURITY   the same for the security updates

mirrors.py finds the mirrors, root.py builds the root and content.py makes it a node with a history; inside.py is the
program that runs in the namespaces, and node.py calls it; legs.py is the way there and back; tree.py reads and compares
trees, settings.py reads rows, marks, diversions, statoverrides and alternatives; allowed.py judges differences;
report.py prints; machine.py sees that this machine stays as it is.
"""
