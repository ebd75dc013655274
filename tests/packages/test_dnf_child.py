"""The child that speaks dnf's API: how it ends, what is told of it then, and that the next request gets another one."""

import os
import signal
import time

from os_update_agent.model import Selection
from packages.test_dnf_backend import World, release, two, world

__all__ = ["release", "two", "world"]


def test_a_child_that_was_killed_is_told_with_its_status_and_another_one_answers(world: World) -> None:
    backend = world.backend()
    with backend.session():
        child = backend._worker()
        for _ in range(2):
            answer = child.ask({"action": "nonsense", "root": str(world.root)}, None)
            assert "nonsense" in answer["error"]
        os.kill(child._process.pid, signal.SIGKILL)
        said = child.ask({"action": "reasons", "root": str(world.root)}, None)["error"]
        assert "dnf ended with exit status -9 and without an answer" in said and "\0" not in said
        assert not child.is_alive
        backend.refresh()
        assert backend._worker() is not child
        after = backend._worker()._process
    assert after.returncode == 0


def test_a_child_whose_parent_is_gone_ends_by_itself(world: World) -> None:
    child = world.backend()._worker()
    child.close.detach()
    child._socket.close()
    end = time.monotonic() + 60
    while child._process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert child._process.returncode == 0


def test_what_the_child_keeps_locks_nobody_out_and_is_dropped_when_it_is_no_longer_true(two: World) -> None:
    backend = two.backend()
    with backend.session():
        backend.refresh()
        planned = {change.name for change in backend.candidates(backend.capture(), Selection())[0]}
        assert {"app", "epochy"} <= planned
        two.dnf("upgrade", "epochy")
        changes, _ = backend.candidates(backend.capture(), Selection())
        assert {change.name for change in changes} == planned - {"epochy"}
        new = [change.after for change in changes if change.after]
        assert set(backend.available(new)[0]) == set(new)
        two.dnf("upgrade")
        assert backend.candidates(backend.capture(), Selection()) == ((), ())
