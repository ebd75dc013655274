"""Whatever a keystone, a Heat, or a proxy sends, and however much: a try costs a bounded amount of memory and time, and
leaves no thread behind. The client is a process of its own, whose largest size is measured.
"""

import gzip
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, Dict, Iterator, NamedTuple

import pytest

from os_update_agent.heat.bounded_http import ANSWER_LIMIT

AGENT = Path(__file__).parents[2] / "agent"
MIB = 1 << 20
# A try may keep an answer of the largest size three times: as blocks, as bytes, and as text.
ROOM = 4 * ANSWER_LIMIT + 4 * MIB
# Seconds for each of the limits: for an answer that has no end, and for one that has.
SHORT, LONG = 0.4, 20.0

OK = b"HTTP/1.1 201 Created\r\nX-Subject-Token: t\r\nContent-Type: application/json\r\n"
ZEROS = b"0" * MIB
Answer = Callable[[], Iterator[bytes]]


def endless(*parts: bytes) -> Answer:
    """An answer whose last part is repeated for ever."""
    return lambda: itertools.chain(parts[:-1], itertools.repeat(parts[-1]))


PACKED = gzip.compress(b"0" * (50 * MIB), 1)


def bomb() -> Iterator[bytes]:
    """400 MB of zeros, packed."""
    packed = PACKED
    yield OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (8 * len(packed))
    yield from itertools.repeat(packed, 8)


def one(text: bytes) -> Answer:
    return lambda: iter([OK + b"Content-Length: %d\r\n\r\n" % len(text) + text])


class Case(NamedTuple):
    answer: Answer
    reason: str


LIMIT = "the answer of keystone is longer than 4 MiB"
TIME = "no answer"
CASES: Dict[str, Case] = {
    "a packed answer": Case(bomb, "has the content encoding 'gzip', which was not asked for"),
    "a long answer": Case(
        endless(OK + b"Content-Length: 400000000\r\n\r\n", ZEROS), f"{LIMIT} (it has 400000000 bytes)"
    ),
    "a length of many digits": Case(endless(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", ZEROS), LIMIT),
    "an answer without a length": Case(endless(OK + b"\r\n", ZEROS), LIMIT),
    "endless chunks": Case(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n" + ZEROS + b"\r\n"), LIMIT),
    "an endless line in place of a chunk": Case(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", ZEROS), TIME),
    "endless trailers": Case(
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"x" * 999 + b"\r\n"), TIME
    ),
    "endless headers": Case(endless(OK, b"X: " + b"x" * 999 + b"\r\n"), TIME),
    "a header of any length": Case(endless(OK + b"X: ", ZEROS), TIME),
    "a status line of any length": Case(endless(b"HTTP/1.1 200 ", ZEROS), TIME),
    "endless 1xx answers": Case(endless(b"HTTP/1.1 100 Continue\r\n\r\n"), TIME),
    "an error with an endless page": Case(endless(b"HTTP/1.1 500 No\r\nContent-Type: text/html\r\n\r\n", ZEROS), LIMIT),
    "a redirect with an endless page": Case(
        endless(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", ZEROS), "keystone answered 302"
    ),
    "a redirect to itself": Case(
        endless(b"HTTP/1.1 307 Again\r\nLocation: /v3/auth/tokens\r\nContent-Length: 0\r\n\r\n", b""),
        "keystone answered 307",
    ),
    "a nested answer": Case(one(b"[" * 100_000), "is no token with a catalog"),
    "no object": Case(one(b"[]"), "keystone answered 201 without a token"),
    "a catalog of another shape": Case(
        one(json.dumps({"token": {"catalog": [[]]}}).encode()), "the answer of keystone"
    ),
    "an alphabet whose decoder is slow": Case(
        lambda: iter(
            [
                b"HTTP/1.1 401 No\r\nContent-Type: text/plain; charset=punycode\r\nContent-Length: 3000000\r\n\r\n",
                b"a-" * 1_500_000,
            ]
        ),
        "keystone answered 401",
    ),
}

CLIENT = """
import json, resource, sys, threading, time
from os_update_agent.heat import signal
from os_update_agent.model.deliveries import SignalTarget
def size():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def target(url):
    secret = {"auth_url": url + "/v3", "user_id": "u", "password": "p", "project_id": "p"}
    return SignalTarget("HEAT_SIGNAL", "stack/1", "r", "POST", secret)
signal.send(target("http://127.0.0.1:9"), "{}", connect=1, read=1)
for line in sys.stdin:
    before, start = size(), time.monotonic()
    transport, url, given = line.split()
    signal.GRACE = float(given)
    to = target(url) if transport == "HEAT_SIGNAL" else SignalTarget(transport, secret={"url": url + "/"})
    answer = signal.send(to, "{}", connect=float(given), read=float(given))
    seconds = time.monotonic() - start
    end = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < end:
        time.sleep(0.01)
    print(json.dumps([*answer, size() - before, seconds, threading.active_count()]), flush=True)
"""


class Server:
    """Answers each request with what ``answer`` yields, until the client goes."""

    def __init__(self) -> None:
        self.answer: Answer = lambda: iter([])
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.requests += 1
            threading.Thread(target=self._respond, args=(connection, self.answer), daemon=True).start()

    def _respond(self, connection: socket.socket, answer: Answer) -> None:
        with connection:
            try:
                received = connection.recv(MIB)
                while b"\r\n\r\n" not in received:
                    received += connection.recv(MIB)
                headers, _, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\ncontent-length: *(\d+)", headers)
                # A connection that ends with an unread request is reset, and the client may lose the answer.
                while length is not None and len(body) < int(length[1]):
                    body += connection.recv(MIB)
                for part in answer():
                    connection.sendall(part)
            except OSError:
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def client() -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-c", CLIENT]
    with subprocess.Popen(
        argv, env={"PYTHONPATH": str(AGENT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def tried(client: "subprocess.Popen[str]", transport: str, server: Server, case: Case) -> "tuple[str, str]":
    """Return the verdict and the reason of one try, after its cost was checked."""
    server.answer, server.requests = case.answer, 0
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(f"{transport} {server.url} {SHORT if case.reason == TIME else LONG}\n")
    client.stdin.flush()
    verdict, reason, growth, seconds, threads = json.loads(client.stdout.readline())
    assert growth < ROOM, f"{growth >> 20} MiB more"
    assert seconds < 2 * LONG
    assert threads == 1, "a thread is still at the answer"
    return verdict, reason


@pytest.mark.parametrize("name", CASES)
def test_an_answer_of_keystone_costs_a_bounded_amount(
    server: Server, client: "subprocess.Popen[str]", name: str
) -> None:
    verdict, reason = tried(client, "HEAT_SIGNAL", server, CASES[name])
    assert CASES[name].reason in reason
    assert verdict in ("again", "never")
    assert server.requests == 1


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("a packed answer", "delivered"),
        ("an answer without a length", "delivered"),
        ("an endless line in place of a chunk", "delivered"),
        ("endless headers", "again"),
        ("endless 1xx answers", "again"),
        ("a redirect with an endless page", "never"),
    ],
)
def test_an_answer_to_the_signal_itself_costs_a_bounded_amount(
    server: Server, client: "subprocess.Popen[str]", name: str, verdict: str
) -> None:
    case = CASES[name] if verdict == "again" else CASES[name]._replace(reason="any")
    assert tried(client, "CFN_SIGNAL", server, case)[0] == verdict
    assert server.requests == 1
