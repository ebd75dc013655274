"""Requests to dnf's worker: typed on both sides, and an error by name where the two sides do not agree."""

import json
import os
import socket
from typing import Any, Dict

import pytest

from os_update_agent.packages.dnf import protocol
from os_update_agent.packages.dnf.protocol import KINDS, Refused, Reply, Todo
from os_update_agent.packages.worker import lines, wire

APP = ("app", "noarch", "1:2-1")
TODO = Todo(((APP, "user"),), ("/a/app.rpm",), (), "x86_64", False)
SIDE = protocol.Side((APP,), (), ("/a/app.rpm",))
REQUESTS = (
    protocol.Refresh("/"),
    protocol.Reasons("/"),
    protocol.Candidates("/", "x86_64", ("app*",), (), True, False),
    protocol.Available("/", (APP,)),
    protocol.Fetch("/", (APP,), ("",), ("/a/app.rpm",), "/a", "/a/progress"),
    protocol.Effect("/", TODO),
    protocol.Transact("/", "v2", TODO),
    protocol.Mark("/", "v2", (APP,), "user"),
    protocol.Complete("/", "x86_64", "/a", False),
    protocol.Erase("/", "x86_64", (APP,), (APP,)),
    protocol.Enable("/", (("perl", "5.26"),)),
    protocol.CheckUndo("/", "/w", SIDE, SIDE),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=protocol.action_of)
def test_a_request_arrives_as_it_was_sent_with_its_file(request_: protocol.Request) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull, "wb") as output:
        wire.send_request(ours, request_, output.fileno())
        line, descriptors = wire.receive_request(theirs)
        assert len(descriptors) == 1 and os.path.samestat(os.fstat(descriptors[0]), os.fstat(output.fileno()))
        os.close(descriptors[0])
    received = lines.parse_request(line, KINDS)
    assert received == request_ and type(received) is type(request_)


def test_an_end_of_the_other_side_is_no_request_and_no_reply() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b'{"answer": 1')
        theirs.close()
        assert wire.receive_reply(ours) is None
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        assert wire.receive_request(theirs) == (b"", [])


def test_a_reply_arrives_with_lists_as_tuples() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send_reply(theirs, Reply(protocol.Outcome([APP], [])))
        assert wire.receive_reply(ours) == Reply(((APP,), ()))


GOOD: Dict[str, Any] = {"action": "effect", "root": "/", "todo": {**TODO._asdict()}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**GOOD, "action": "nonsense"}, "knows no action 'nonsense'"),
        ({**GOOD, "action": 7}, "knows no action 7"),
        ({"root": "/"}, "knows no action None"),
        ([GOOD], "knows no action None"),
        ({"action": "effect"}, "the request 'effect' needs the field 'root', 'todo'"),
        ({**GOOD, "root": 1}, "'root' of the request 'effect' is no str"),
        ({**GOOD, "todo": []}, "'todo' of the request 'effect' is no dict"),
        ({**GOOD, "todo": {**GOOD["todo"], "files": "/a"}}, "'files' of 'todo' of the request 'effect' is no list"),
        ({**GOOD, "todo": {**GOOD["todo"], "forced": 1}}, "'forced' of 'todo' of the request 'effect' is no bool"),
    ],
)
def test_what_the_worker_does_not_understand_is_named(document: Any, said: str) -> None:
    with pytest.raises(Refused) as refused:
        lines.parse_request(json.dumps(document).encode() + b"\n", KINDS)
    assert said in str(refused.value)


@pytest.mark.parametrize("line", [b"{\n", b"\xff\n"])
def test_a_line_that_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(Refused, match="is not JSON"):
        lines.parse_request(line, KINDS)


def test_a_field_of_another_version_of_the_agent_is_ignored() -> None:
    """An update may have replaced the agent on the disk: its process asks a worker of another version then."""
    newer = {**GOOD, "zeal": 1, "todo": {**GOOD["todo"], "hurry": True}}
    assert lines.parse_request(json.dumps(newer).encode(), KINDS) == lines.parse_request(
        json.dumps(GOOD).encode(), KINDS
    )
