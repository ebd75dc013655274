"""Which Base of dnf the worker takes for a request: opened anew, unless one that it has still tells the truth."""

from typing import Any, Callable, Dict, List, Optional

import pytest

from os_update_agent.packages.dnf.worker import server

PLAN = {"install": [[["app", "noarch", "2-1"], "user"]], "files": ["/a/app.rpm"], "remove": [], "forced": False}


class Desk(server.Desk):
    """Each Base is the number of its opening; what is asked for answers with it."""

    def __init__(self) -> None:
        super().__init__()
        self.database = "one"
        self.opened_so_far = 0
        self.resolved: List[int] = []
        self.closed: List[Any] = []

    def actions(self) -> Dict[str, Callable[[Any, server.Request], Any]]:
        def resolving(base: int, request: server.Request) -> Any:
            server.rehearsed(request, lambda: self.resolved.append(base))
            return base

        reading = dict.fromkeys(("refresh", "candidates", "available", "fetch", "mark"), lambda base, request: base)
        return {**reading, "effect": resolving, "transact": resolving, "refused": self._refused}

    def _refused(self, base: int, request: server.Request) -> Any:
        raise server.Refused("no")

    def opened(self, request: server.Request) -> int:
        self.opened_so_far += 1
        return self.opened_so_far

    def close(self, base: Any) -> None:
        self.closed.append(base)

    def cookie(self, root: str) -> str:
        return self.database

    def failure(self, error: Exception) -> Optional[Dict[str, str]]:
        return None

    def bases(self, *actions: str) -> List[int]:
        return [self.answer({"action": action, "root": "/", **PLAN})["answer"] for action in actions]


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
    assert Desk().bases(*actions) == bases


def test_a_rehearsed_transaction_is_resolved_once() -> None:
    desk = Desk()
    desk.bases("effect", "transact")
    assert desk.resolved == [1]
    desk.bases("transact")
    assert desk.resolved == [1, 2]


def test_nobody_waits_while_a_base_is_closed() -> None:
    desk = Desk()
    assert desk.bases("refresh", "effect", "transact") == [1, 2, 2] and desk.closed == [1]
    desk.tidy()
    assert desk.closed == [1, 2]
    desk.tidy()
    assert desk.closed == [1, 2]


def test_another_transaction_and_another_database_are_resolved_for_themselves() -> None:
    desk = Desk()
    desk.bases("effect")
    assert desk.answer({"action": "transact", "root": "/", **PLAN, "files": ["/b/app.rpm"]}) == {"answer": 2}
    desk.bases("effect")
    desk.database = "two"
    assert desk.bases("transact") == [4] and desk.resolved == [1, 2, 3, 4]


def test_after_a_failure_nothing_is_kept() -> None:
    desk = Desk()
    desk.bases("effect")
    assert desk.answer({"action": "refused", "root": "/"}) == {"error": "no"}
    assert desk.bases("transact") == [3]
