"""Two deployments on one node, one of which builds on what the other has updated."""

from typing import Any, Dict

from packages.node import RESOURCE, Node
from packages.scene import VERSIONS_ONE, Pkg, version_file

SERVER = "servers"
OF: Dict[str, Dict[str, Any]] = {
    RESOURCE: {"packages": "libapp1"},
    SERVER: {"packages": "app", "resource": SERVER},
}
BOTH_NEW = {**VERSIONS_ONE, "libapp1": "2.0-1", "app": "2.0-1"}
# The server's new version does not run with the old library.
RELEASE = (
    Pkg("libapp1", "2.0", files=version_file("libapp1", "2")),
    Pkg("app", "2.0", requires=("libapp1 >= 2.0",), files={"/etc/app.conf": "a=2\n"}, configs=("/etc/app.conf",)),
)


def test_a_way_back_takes_along_what_another_key_has_built_on_it(node: Node) -> None:
    for resource in OF:
        node.succeed("CREATE", "1", **OF[resource])
    one = node.packages()
    node.offer(*RELEASE)
    for resource in OF:
        node.succeed("UPDATE", "2", **OF[resource])
    assert node.versions() == BOTH_NEW

    # Heat rolls back in the order of its phases.
    first = node.succeed("UPDATE", "1", **OF[RESOURCE])
    assert node.packages() == one and node.hand.faults() == ""
    assert "which no longer stands at '2', are taken along" in first.told and SERVER in first.told
    assert "app: 2.0-1 -> 1.0-1" in first.told.rpartition("taken along")[2]
    assert (node.history().current, node.history(SERVER).current) == ("1", None)
    second = node.succeed("CREATE", "1", **OF[SERVER])
    assert second.changes == {} and "found there: run 3, the restore of '1' for key 'web/68c97fbe/update" in second.told
    assert (node.packages(), node.history(SERVER).current) == (one, "1")
