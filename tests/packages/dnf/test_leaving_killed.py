"""A way back that was killed ends at its state as well, whatever a leaving package complains about (rpm, both dnfs)."""

import pytest

from os_update_agent.testing.rpm_repository import Rpm
from packages.hand_rpm import WAITS
from packages.node import Node

FAILS = 'error("it cannot be")'
ARMED = f'if posix.stat("/run/armed") then {FAILS} end'
HELD = f'if posix.stat("/run/held") then {WAITS} end'


@pytest.mark.parametrize("owner", ["itself", "epoch"])
def test_a_killed_restore_completes_past_a_leaving_package(based: Node, owner: str) -> None:
    """The completion runs the scriptlets that fail: its own, and the trigger of a package with an epoch."""
    one, tree = based.packages(), based.tree()
    own = {"preun": FAILS} if owner == "itself" else {}
    trigger = {"triggerin -- tool": ARMED} if owner == "epoch" else {}
    based.offer(
        Rpm("tool", "2.0", files={"/usr/share/tool": "2\n"}, scripts=own),
        Rpm("libapp1", "2.0", epoch="1", files={"/usr/share/libapp1": "2\n"}, scripts={"preun": HELD, **trigger}),
    )
    based.succeed("UPDATE", "v2")
    for flag in ("held", "armed"):
        (based.root / "run" / flag).touch()
    deployment = based.cut_off("UPDATE", "v1")
    (based.root / "run/held").unlink()
    done = based.start_with(deployment).wait()
    assert done.status == 0, done.complaint
    assert based.packages() == one and based.tree() == tree and based.hand.faults() == ""
    if owner == "itself":
        assert "of a leaving package: tool 2.0-1 had to be erased without its scriptlets" in done.complaint


def test_a_killed_undo_notes_what_has_failed_before_the_kill(based: Node) -> None:
    """The %post of a package that has come back does not run again: only the log has its failure."""
    based.offer(Rpm("tool", "1.1", files={"/usr/share/tool": "1.1\n"}, scripts={"post": ARMED}))
    based.succeed("UPDATE", "v1.1")
    based.offer(
        Rpm("tool", "2.0", files={"/usr/share/tool": "2\n"}),
        Rpm("libapp1", "1.5", files={"/usr/share/libapp1": "2\n"}, scripts={"preun": HELD}),
    )
    run = based.root / "run"
    based.step("health.d/10", f"touch {run}/armed {run}/held; exit 1")
    deployment = based.cut_off("UPDATE", "v2")
    for flag in ("held", "armed"):
        (run / flag).unlink()
    done = based.start_with(deployment).wait()
    said = done.complaint.partition("full log on the node")[0]
    assert "the update was undone" in said and "the package manager complained on the way back: Error in" in said
    assert "scriptlet in rpm package tool" in said
