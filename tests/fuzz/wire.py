"""Targets that read bytes from a socket: answers of Heat, keystone and proxies, and lines of dnf's worker. The peer is
the other end of a socket pair, so everything from http.client on is real.
"""

import json
import os
import socket
from typing import List, Sequence
from unittest import mock

import urllib3.util.connection

from fuzz.files import written
from fuzz.target import Target, as_bytes
from os_update_agent.heat import signal
from os_update_agent.heat.alternate_targets import other_targets
from os_update_agent.heat.bounded_http import Connections
from os_update_agent.heat.signal_answers import AGAIN, DELIVERED, NEVER, Answer
from os_update_agent.model.deliveries import SignalTarget
from os_update_agent.packages.dnf import wire
from os_update_agent.packages.dnf.lines import parse_request
from os_update_agent.packages.dnf.protocol import Refused

_HEADS = (
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\nSet-Cookie: a=b; Path=/\r\n\r\n{}",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1/elsewhere?a=b\r\nConnection: close\r\n\r\nmoved",
    "HTTP/1.1 500 Internal Server Error\r\nContent-Encoding: gzip\r\nContent-Type: text/html; charset=utf-8\r\n\r\nx",
)
_CATALOG = [
    {
        "type": kind,
        "name": kind,
        "id": kind,
        "endpoints": [{"interface": "public", "region": "r", "region_id": "r", "id": "e", "url": "http://127.0.0.1/x"}],
    }
    for kind in ("orchestration", "messaging")
]
_TOKEN = {
    "methods": ["password"],
    "catalog": _CATALOG,
    "expires_at": "2999-01-01T00:00:00.000000Z",
    "issued_at": "2026-01-01T00:00:00.000000Z",
    "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
    "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}},
}
_HEAD = "HTTP/1.1 201 Created\r\nX-Subject-Token: t\r\nContent-Type: application/json\r\n\r\n"
_SECRET = {"auth_url": "http://127.0.0.1/v3", "user_id": "u", "password": "p", "project_id": "p", "region_name": "r"}
_HEAT = SignalTarget("HEAT_SIGNAL", "stack/1", "r", "POST", _SECRET)
_QUEUE = SignalTarget("ZAQAR_SIGNAL", "stack/1", "r", "POST", {**_SECRET, "queue_id": "q"})


def _peer(answer: bytes) -> socket.socket:
    """Return a connection whose other end has sent the answer and is closed for writing."""
    ours, theirs = socket.socketpair()
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    _OPEN.append(theirs)
    return ours


_OPEN: List[socket.socket] = []


def _signaled(target: SignalTarget, answers: Sequence[bytes]) -> Answer:
    """Send a signal whose connections get these answers, one after the other, and the last one again and again."""
    left = list(answers)

    def connect(*_: object, **__: object) -> socket.socket:
        return _peer(left.pop(0) if len(left) > 1 else left[0])

    os.environ["no_proxy"] = "*"
    attempt = signal._Try(True, 1.0, 1.0, Connections())
    try:
        with mock.patch.object(urllib3.util.connection, "create_connection", connect):
            answer = signal._WAYS[target.transport](target, b"{}", attempt)
    finally:
        attempt.connections.close()
        while _OPEN:
            _OPEN.pop().close()
    assert answer.verdict in (DELIVERED, AGAIN, NEVER)
    assert answer.reason.isprintable()
    return answer


def _answer(text: str) -> object:
    target = SignalTarget("CFN_SIGNAL", "stack/1", "r", "POST", {"url": "http://127.0.0.1/v1/signal?Signature=s"})
    return _signaled(target, [as_bytes(text)])


def _keystone(text: str) -> None:
    _signaled(_HEAT, [as_bytes(text), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])


def _catalog(text: str) -> None:
    """A token whose head is right and whose body is anything."""
    for target in (_HEAT, _QUEUE):
        answers = [_HEAD.encode() + as_bytes(text), b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"]
        _signaled(target, answers)


def _url(text: str) -> None:
    """A signed URL of any shape, and what is made of it when Heat refuses it."""
    target = SignalTarget("CFN_SIGNAL", "stack/1", "r", "POST", {"url": text})
    _signaled(target, [b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"])
    other_targets(target, written("[cfn]\naccess_key_id = k\nsecret_access_key = s\n", "collect.conf"))


def _wire(text: str) -> None:
    """What dnf's worker, or the agent, gets through the socket."""
    for receive in (wire.receive_reply, lambda link: parse_request(wire.receive_request(link)[0])):
        link = _peer(as_bytes(text))
        try:
            receive(link)
        except (OSError, ValueError, Refused):
            continue
        finally:
            link.close()
            _OPEN.pop().close()


_URLS = ("http://127.0.0.1:80/v1/signal/arn%3Aa?Signature=a%2B&Timestamp=t#x", "https://[::1]/", "http://é/")

TARGETS = (
    Target("answer of Heat", _answer, _HEADS, (), share=0.4),
    Target("answer of keystone", _keystone, [_HEAD + json.dumps({"token": _TOKEN})], (), share=0.15),
    Target("token and catalog", _catalog, [json.dumps({"token": _TOKEN})], (), share=0.15),
    Target("signal URL", _url, _URLS, (), share=0.3),
    Target("wire of dnf", _wire, ['{"answer": [1]}\n', '!{"action": "resolve", "root": "/"}\n'], (), share=0.5),
)
