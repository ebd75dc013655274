"""The answer of 'plan' about a way back, compared with the way back itself."""

from packages.node import Node
from packages.scene import Pkg


def test_an_impossible_way_back_cannot_be_done_says_the_plan(based: Node) -> None:
    """What the operator has installed since needs what the key's own update has brought."""
    based.offer(Pkg("libapp1", "2.0"), Pkg("needy", "1.0", requires=("libapp1 >= 2.0",)))
    based.succeed("UPDATE", "v2", packages="libapp1", restore="changes")
    possible = based.plan("v1", "--set", "restore=changes")
    assert (possible["can_be_done"], possible["reason"]) == (True, "")
    based.install_by_hand("needy")
    found = based.plan("v1", "--set", "restore=changes")
    assert found["can_be_done"] is False and "needy" in found["reason"]
    # The run says the same.
    failed = based.fail("UPDATE", "v1", restore="changes")
    assert found["reason"] in failed.complaint and "nothing was changed" in failed.complaint
