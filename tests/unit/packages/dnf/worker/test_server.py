"""Which Base of dnf the worker takes for a request: opened anew, unless the one that it has still serves."""

import socket
from typing import Any, List

import pytest

from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import Done, Outcome, Planned, Refused, Reply, Todo, UndoChecked
from os_update_agent.packages.dnf.worker.server import Desk, Dnf
from os_update_agent.packages.worker.caller import Caller

TODO = Todo(((("app", "noarch", "2-1"), "user"),), ("/a/app.rpm",), (), "x86_64", False)


class Base:
    def __init__(self, number: int) -> None:
        self.number = number
        self.rehearsed = False


class Bench:
    """A desk whose dnf numbers its Bases, and notes which one each request has got."""

    def __init__(self) -> None:
        self.database = "one"
        self.opened: List[Base] = []
        self.got: List[int] = []
        self.resolved: List[int] = []
        self.closed: List[int] = []
        # Never asked: here nobody looks whether the agent is still there.
        self.caller = Caller(socket.socket())
        self.desk = Desk(self.dnf)

    def dnf(self) -> Dnf:
        reading = (self._noting(()), self._noting({}), self._noting(Planned((), (), ())), self._noting(()))
        return Dnf(
            self._open, lambda base: self.closed.append(base.number), lambda root: self.database, lambda error: None,
            *reading, self._noting(None), self._noting(UndoChecked((), ())), self._effect, self._transact,
            self._noting(None), self._refuse, self._refuse, self._noting(None),
        )  # fmt: skip

    def _open(self, request: protocol.Request) -> Base:
        self.opened.append(Base(len(self.opened) + 1))
        return self.opened[-1]

    def _noting(self, answer: Any) -> Any:
        def act(base: Base, *_: object) -> Any:
            self.got.append(base.number)
            return answer

        return act

    def _effect(self, base: Base, request: protocol.Effect) -> Outcome:
        self.got.append(base.number)
        self.resolved.append(base.number)
        base.rehearsed = True
        return Outcome((), ())

    def _transact(self, base: Base, request: protocol.Transact, caller: Caller) -> Done:
        self.got.append(base.number)
        if not base.rehearsed:
            self.resolved.append(base.number)
        return Done((), ())

    def _refuse(self, base: Base, request: object, caller: Caller) -> List[str]:
        raise Refused("no")

    def ask(self, request: protocol.Request) -> Reply:
        return self.desk.answer(request, self.caller)

    def bases(self, *actions: str) -> List[int]:
        """The Bases that these actions get, one after the other."""
        before = len(self.got)
        for action in actions:
            self.ask(REQUESTS[action])
        return self.got[before:]


REQUESTS: "dict[str, protocol.Request]" = {
    protocol.action_of(request): request
    for request in (
        protocol.Refresh("/"),
        protocol.Candidates("/", "x86_64", (), (), False, True),
        protocol.Available("/", ()),
        protocol.Fetch("/", (), (), (), "/a", "/a/progress"),
        protocol.Effect("/", TODO),
        protocol.Transact("/", "v2", TODO),
        protocol.Mark("/", "v2", (), "user"),
        protocol.Complete("/", "x86_64", "/a", False),
    )
}


@pytest.mark.parametrize(
    ("actions", "bases"),
    [
        (("refresh", "candidates", "available", "fetch"), [1, 1, 1, 1]),
        (("refresh", "candidates", "candidates"), [1, 1, 2]),
        (("refresh", "refresh"), [1, 2]),
        (("refresh", "effect", "transact", "mark"), [1, 2, 2, 3]),
        (("effect", "available"), [1, 2]),
        (("effect", "effect", "transact", "transact"), [1, 2, 2, 3]),
        (("fetch", "transact"), [1, 2]),
    ],
)
def test_a_base_serves_what_it_was_filled_for(actions: "tuple[str, ...]", bases: List[int]) -> None:
    assert Bench().bases(*actions) == bases


def test_a_rehearsed_transaction_is_resolved_once() -> None:
    bench = Bench()
    bench.bases("effect", "transact")
    assert bench.resolved == [1]
    bench.bases("transact")
    assert bench.resolved == [1, 2]


def test_nobody_waits_while_a_base_is_closed() -> None:
    bench = Bench()
    assert bench.bases("refresh", "effect", "transact") == [1, 2, 2] and bench.closed == [1]
    bench.desk.tidy()
    assert bench.closed == [1, 2]
    bench.desk.tidy()
    assert bench.closed == [1, 2]


def test_another_transaction_and_another_database_are_resolved_for_themselves() -> None:
    bench = Bench()
    bench.bases("effect")
    bench.ask(protocol.Transact("/", "v2", TODO._replace(files=("/b/app.rpm",))))
    assert bench.got[-1] == 2
    bench.bases("effect")
    bench.database = "two"
    assert bench.bases("transact") == [4] and bench.resolved == [1, 2, 3, 4]


def test_after_a_failure_nothing_is_kept() -> None:
    bench = Bench()
    bench.bases("effect")
    assert bench.ask(REQUESTS["complete"]) == Reply(error="no")
    assert bench.bases("transact") == [3]
