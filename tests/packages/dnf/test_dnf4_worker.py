"""The child that speaks dnf's API: how it ends, what is told of it then, and that the next request gets another one."""

import os
import signal
import socket
import time
from typing import List, Tuple

import pytest

from os_update_agent.model.errors import Busy
from os_update_agent.model.packages import Package, Selection, Transaction
from os_update_agent.packages.dnf.answers import as_todo
from os_update_agent.packages.dnf.protocol import Reasons, Transact
from os_update_agent.packages.rpm.database import native_architecture
from os_update_agent.packages.transition import Transition
from os_update_agent.packages.worker.wire import receive_reply
from packages.dnf.world import World


def test_a_child_that_was_killed_is_told_with_its_status_and_another_one_answers(world: World) -> None:
    backend = world.backend()
    with backend.session():
        child = backend._worker()
        for _ in range(2):
            assert child.ask(Reasons(str(world.root)), None).answer
        os.kill(child._process.pid, signal.SIGKILL)
        said = child.ask(Reasons(str(world.root)), None).error
        assert "dnf ended with exit status -9 and without an answer" in said and "\0" not in said
        assert not child.is_alive
        backend.refresh()
        assert backend._worker() is not child
        after = backend._worker()._process
    assert after.returncode == 0


def test_a_request_that_is_not_understood_is_an_error_by_name_and_the_child_goes_on(world: World) -> None:
    """The agent may have been replaced by another version of itself while its child was there."""
    backend = world.backend()
    with backend.session(), open(os.devnull, "ab") as output:
        child = backend._worker()
        for line, said in (
            (b'{"action": "nonsense", "root": "/"}\n', "the worker knows no action 'nonsense'"),
            (b'{"action": "reasons"}\n', "the request 'reasons' needs the field 'root'"),
        ):
            socket.send_fds(child._socket, [b"!"], [output.fileno()])
            child._socket.sendall(line)
            reply = receive_reply(child._socket)
            assert reply is not None and reply.error == said
        assert child.ask(Reasons(str(world.root)), None).answer


def update_of(two: World, name: str) -> Tuple[Package, Transaction]:
    """The newer package that the plan has for a name, and what installs it alone."""
    new = next(change.after for change in two.plan()[0] if change.name == name)
    assert new is not None and two.obtain([new]) == ()
    return new, Transaction(install=(new,), files=tuple(map(str, two.archive.files([new]))))


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


def test_a_transaction_that_nobody_waits_for_any_more_is_not_begun(two: World) -> None:
    """The agent was killed while dnf resolved it: the next agent has found no lock and may be at work by now."""
    one = two.state()
    new, todo = update_of(two, "epochy")
    request = Transact(str(two.root), "", as_todo(todo, native_architecture(), forced=True))
    two.ask_and_leave(request)
    assert two.state() == one
    assert not two.backend().interrupted()
    # It is the very request that works where somebody waits for it.
    with two.log.open("ab", buffering=0) as output:
        assert two.backend().transact(todo, output, forced=True) == ()
    assert two.versions()["epochy"] == new.version


def test_who_is_told_busy_again_and_again_waits_no_longer_than_the_patience(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look finds the lock free, and dnf finds it taken: only the clock of the whole can end that."""
    backend = two.backend()
    monkeypatch.setattr(backend, "lock_timeout", 1.0)
    granted: List[float] = []
    monkeypatch.setattr(backend, "_wait", granted.append)
    _, todo = update_of(two, "epochy")
    (two.root / "var/lib/dnf/rpmdb_lock.pid").write_text(str(os.getpid()), encoding="ascii")
    with (
        backend.session(),
        two.log.open("ab", buffering=0) as output,
        pytest.raises(Busy, match=f"locked by {os.getpid()}"),
    ):
        backend.transact(todo, output, forced=True)
    assert len(granted) > 1 and granted == sorted(granted, reverse=True) and granted[-1] < 1.0


def test_a_lock_that_another_dnf_has_taken_in_the_last_moment_is_no_failure(two: World) -> None:
    """Between our look and dnf's own. The transaction is asked for again when the lock is free."""
    one = two.state()
    new, todo = update_of(two, "epochy")
    lock = two.root / "var/lib/dnf/rpmdb_lock.pid"
    backend = two.backend()
    with backend.session(), two.log.open("ab", buffering=0) as output:
        backend.effect(todo, forced=True)
        lock.write_text(str(os.getpid()), encoding="ascii")
        request = Transact(str(two.root), "", as_todo(todo, native_architecture(), forced=True))
        assert f"already locked by {os.getpid()}" in backend._worker().ask(request, output).busy
        assert two.state() == one
        lock.unlink()
        assert backend.transact(todo, output, forced=True) == ()
    assert two.versions()["epochy"] == new.version


def test_after_a_transaction_another_child_is_asked(two: World) -> None:
    """It may have replaced dnf itself."""
    one = two.state()
    assert two.update() == ()
    backend = two.backend()
    with backend.session(), two.log.open("ab", buffering=0) as output:
        child = backend._worker()
        assert Transition(backend, two.archive, two.root, output).go(one, forced=True) == ()
        assert not child.is_alive and child._process.returncode == 0
        assert backend._worker() is not child
    assert two.state().digest == one.digest


def test_a_rehearsal_holds_for_the_very_same_database_only(two: World) -> None:
    new, todo = update_of(two, "epochy")
    backend = two.backend()
    with backend.session(), two.log.open("ab", buffering=0) as output:
        assert {version for _, version in backend.effect(todo, forced=True)} == {new.version}
        two.dnf("remove", "app")
        # Resolved anew: what it had thought of is no more.
        assert backend.transact(todo, output, forced=True) == ()
    assert two.versions()["epochy"] == new.version and "app" not in two.versions()
    assert not two.backend().interrupted()


def test_what_was_rehearsed_is_done_under_its_own_name(two: World) -> None:
    new, todo = update_of(two, "epochy")
    backend = two.backend()
    with backend.session(), two.log.open("ab", buffering=0) as output:
        backend.effect(todo, forced=True)
        assert backend.transact(todo, output, forced=True) == ()
    assert "os-update-agent transact" in two.dnf("history", "info", "last")
    assert two.versions()["epochy"] == new.version
